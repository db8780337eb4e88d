"""One case: converted, stripped of names, ported into a twin with other weights, and judged by its outputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.kinds import cases
from benchmarks.zoo.judge import MARGIN, signal_to_noise
from tests.core.lite import by_order, stripped

_SEEDS = range(100, 108)
# Decibel. What is as loud as this beside the signal is not the model's output any more.
_NOISE = 3.0


def outcome(key: str, form: str) -> tuple[str, str]:
    """``(word, detail)``; the word is one of ``exact``, ``as close``, ``no file``, ``broken file``, ``refused``,
    ``ambiguous``, ``WRONG`` and ``broke``.

    A port of a file with rounded weights is held against the original model: it must be as close to it as the file is,
    over all inputs together. A file that LiteRT cannot run is no measure; its port must be complete and the detail
    says how close it is.
    """
    try:
        return _outcome(cases.by_key()[key], form)
    except Exception as error:
        return "broke", _first_line(error)


def file_of(key: str, form: str) -> None:
    """Only converts it."""
    kind = cases.by_key()[key]
    model, args, kwargs = kind.build()
    cases.convert(kind, cases.randomize(model, 1), args, kwargs, form)


def _outcome(kind: cases.Kind, form: str) -> tuple[str, str]:
    import keras

    import tflrecover

    keras.utils.clear_session()
    original, args, kwargs = kind.build()
    cases.randomize(original, 1)
    twin = cases.randomize(kind.build()[0], 2)
    try:
        content = cases.convert(kind, original, args, kwargs, form)
    except Exception as error:
        return "no file", _first_line(error)
    given = [cases.feeds(args, kwargs, seed) for seed in _SEEDS]
    wanted = _all(lambda a, k: cases.outputs(original, a, k), given)

    def run() -> list[Any]:
        return _all(lambda a, k: _file(content, a, k), given)

    try:
        tflrecover.port(stripped(content), twin)
    except tflrecover.PortError as error:
        told = " ".join(str(error).split("\n")[1:2])[:200]
        return ("ambiguous", told) if error.report.ambiguities else _refused(wanted, run, told)
    except tflrecover.TFLRecoverError as error:
        return "refused", _first_line(error)
    return _judged(wanted, _all(lambda a, k: cases.outputs(twin, a, k), given), form, run)


def _refused(wanted: list[Any], run: Any, told: str) -> tuple[str, str]:
    """A file that does not compute what its model does is rightly refused: the converter broke it."""
    try:
        theirs = [signal_to_noise(a, b) for a, b in zip(wanted, run(), strict=True)]
    except (RuntimeError, ValueError) as error:
        return "broken file", f"LiteRT cannot run it: {_first_line(error)}; {told}"
    if min(theirs) < _NOISE:
        return "broken file", f"LiteRT gives {min(theirs):.0f} dB; {told}"
    return "refused", told


def _judged(wanted: list[Any], got: list[Any], form: str, run: Any) -> tuple[str, str]:
    from tflrecover import tolerances

    worst = max(float(np.abs(a - b).max() / (np.abs(a).max() or 1.0)) for a, b in zip(wanted, got, strict=True))
    if worst <= tolerances.OUTPUT:
        return "exact", f"{worst:.0e}"
    mine = [signal_to_noise(a, b) for a, b in zip(wanted, got, strict=True)]
    if form == "fp32":
        return "WRONG", f"relative {worst:.0e}"
    try:
        theirs = [signal_to_noise(a, b) for a, b in zip(wanted, run(), strict=True)]
    except (RuntimeError, ValueError) as error:
        return ("as close" if min(mine) > 20 else "WRONG"), f"{min(mine):.0f} dB; LiteRT cannot run it: {error}"[:200]
    told = ", ".join(f"{a:.0f}/{b:.0f} dB" for a, b in zip(mine, theirs, strict=True))
    return ("as close" if all(a >= b - MARGIN for a, b in zip(mine, theirs, strict=True)) else "WRONG"), told


def _all(run: Any, given: list[tuple[Any, Any]]) -> list[Any]:
    return [np.stack(values) for values in zip(*(run(*x) for x in given), strict=True)]


def _file(content: bytes, args: Any, kwargs: Any) -> list[Any]:
    """What LiteRT computes, by the order of its inputs and outputs."""
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(
        model_content=content,
        experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    values = [x for x in tf.nest.flatten((args, kwargs)) if x is not None]
    return [y.astype("float32") for y in by_order(interpreter)(*values)]


def _first_line(error: BaseException) -> str:
    lines = [line.strip(" -") for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:1])}"[:200]
