"""Compares every matched operator whose output both sides can show."""

from __future__ import annotations

import numpy as np

from tflrecover import tolerances
from tflrecover.comparison import Comparison
from tflrecover.differences import describe
from tflrecover.errors import EvaluationError
from tflrecover.inputs import end_names
from tflrecover.ir import Check, Op
from tflrecover.verification.litert import FileRun, Inputs, feeds
from tflrecover.weight import Array

# Tensors fetched from the Keras side at a time: bounds the memory that a deep network's activations take.
_BATCH = 64


def check_all(comparison: Comparison, inputs: Inputs) -> tuple[tuple[Check, ...], tuple[str, ...]]:
    """Checks in file order, and notes on what could not be checked.

    Args:
        comparison: File and model.
        inputs: As for :func:`tflrecover.verify`.
    """
    file = comparison.file
    arrays = feeds(file, inputs, end_names(file, "inputs"), comparison.shapes)
    pairs, notes = _observable(comparison)
    order = comparison.alignment.inputs
    if len(order) != len(arrays):
        raise EvaluationError("which input is which is not known; say it in the mapping under `inputs:`")
    theirs = [
        array for _, array in sorted(zip((order[i] for i in range(len(arrays))), arrays, strict=True), key=_first)
    ]
    run = FileRun(file, arrays)
    checks: list[Check] = []
    for start in range(0, len(pairs), _BATCH):
        checks += _checks(comparison, run, theirs, pairs[start : start + _BATCH])
    return tuple(checks), notes


def _first(pair: tuple[int, Array]) -> int:
    return pair[0]


def _observable(comparison: Comparison) -> tuple[list[tuple[Op, Op, int, int]], tuple[str, ...]]:
    """``(file operator, Keras operator, file tensor, Keras value)`` of every pair that both sides can show."""
    alignment, source = comparison.alignment, comparison.file.graph.values
    tensors = comparison.trace.tensors
    found, hidden = [], 0
    for match in comparison.matches:
        f, k = alignment.file.graph.op(match.tflite), alignment.keras.graph.op(match.keras)
        mine, theirs = f.outputs[0], k.outputs[0]
        if mine in source and theirs in tensors:
            found.append((f, k, mine, theirs))
        else:
            # The sum before an activation that the file has fused is nowhere in the file.
            hidden += 1
    found.sort(key=lambda pair: (describe.file_index(pair[0]) or 0, pair[2]))
    note = f"{hidden} operators have no tensor of their own in the file (fused) and are covered by the next one."
    return found, (note,) if hidden else ()


def _checks(
    comparison: Comparison, run: FileRun, inputs: list[Array], pairs: list[tuple[Op, Op, int, int]]
) -> list[Check]:
    from tflrecover.verification.keras import run as run_keras

    outputs = dict(zip(comparison.file.graph.outputs, end_names(comparison.file, "outputs"), strict=True))
    results = run_keras(comparison.trace, inputs, [theirs for _, _, _, theirs in pairs])
    made = []
    for (f, k, mine, _), got in zip(pairs, results, strict=True):
        want = run.tensor(mine)
        if want is None:
            continue
        value = comparison.file.graph.values[mine]
        is_quantized = value.quantization is not None and value.quantization.scale.size > 0
        made.append(_check(comparison, f, k, want, got, outputs.get(mine), is_quantized=is_quantized))
    return made


def _check(
    comparison: Comparison, f: Op, k: Op, want: Array, got: Array, output: str | None, *, is_quantized: bool
) -> Check:
    max_abs, max_rel, rms = errors(want, got)
    limit, measured = (tolerances.QUANTIZED_OUTPUT, rms) if is_quantized else (tolerances.OUTPUT, max_rel)
    return Check(
        describe.file_index(f) or 0,
        describe.file_type(f),
        describe.file_name(comparison.alignment.file, f),
        describe.layer_of(k),
        max_abs,
        max_rel,
        rms,
        measured <= limit,
        output,
    )


def errors(want: Array, got: Array) -> tuple[float, float, float]:
    """``(largest absolute, that relative to the largest magnitude, RMS relative to the RMS)``; inf for other shapes."""
    if want.size != got.size or not np.isfinite(got.astype(np.float64)).all():
        return (float("inf"),) * 3
    a, b = want.astype(np.float64).ravel(), got.astype(np.float64).ravel()
    if not a.size:
        return 0.0, 0.0, 0.0
    worst, peak = float(np.abs(a - b).max()), float(np.abs(a).max())
    rms, power = float(np.sqrt(np.mean((a - b) ** 2))), float(np.sqrt(np.mean(a**2)))
    return worst, worst / (peak or 1.0), rms / (power or 1.0)
