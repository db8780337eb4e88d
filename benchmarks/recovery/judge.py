"""What a recovered model must be: exact, trainable, loaded elsewhere, written as code, ported, a file again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.zoo.judge import CLOSE, MARGIN, real, relative, signal_to_noise, stored
from benchmarks.zoo.models import MODELS, builders
from tests.core.lite import by_order, number
from tflrecover import tolerances

# Integers may come out one step off where two roundings meet, and two where three do.
MOST_STEPS = 2.0
HALF_STEP = 0.5

# Loads what was saved, and runs what was written, where tflrecover is not.
_ELSEWHERE = """
import importlib.util, os, sys
import numpy as np, keras
known = dict(np.load("known.npz", allow_pickle=True))
inputs = [known[f"input_{i}"] for i in range(sum(name.startswith("input_") for name in known))]
def outputs(model):
    made = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    return [np.asarray(one) for one in (made if isinstance(made, (list, tuple)) else [made])]
def judge(what, make):
    try:
        model = make()
        made = outputs(model)
        weights = [known[f"weight_{i}"] for i in range(len(model.weights))]
        exact = all(np.array_equal(a, b) for a, b in zip(model.get_weights(), weights, strict=True))
        close = lambda a, b: np.allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max(initial=0), equal_nan=True)
        same = all(close(one, known[f"output_{i}"]) for i, one in enumerate(made))
        print(what, "ok" if exact and same else "other numbers", flush=True)
    except Exception as error:
        print(what, f"{type(error).__name__}: {error}".splitlines()[0][:160], flush=True)
def written():
    spec = importlib.util.spec_from_file_location("written", "written.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load_model()
judge("written", written)
if os.path.exists("own"):
    import tflrecover.recovery.layers
judge("saved", lambda: keras.models.load_model("model.keras"))
assert os.path.exists("own") or "tflrecover" not in sys.modules
"""


@dataclass(frozen=True)
class Verdict:
    """What was found; ``problems`` is empty where all is as it must be."""

    error: float | None
    batch: int | None
    trainable: int
    lines: int
    again: float | None
    problems: tuple[str, ...]
    remarks: tuple[str, ...] = ()


def judge(path: Path, folder: Path) -> Verdict:
    """Recovers one file and looks at everything; ``folder`` is for what is written."""
    import keras
    import tensorflow as tf

    import tflrecover

    keras.utils.clear_session()
    problems: list[str] = []
    remarks: list[str] = []
    model = tflrecover.recover(path)
    inputs = _inputs(model)
    outputs = _called(model, inputs)
    wanted = _run(path.read_bytes(), inputs)
    error = None if isinstance(wanted, str) else max(map(_relative, wanted, outputs))
    limit = CLOSE
    if isinstance(wanted, str):
        remarks.append(f"LiteRT: {wanted}")
    elif error is None or not error < CLOSE:
        limit = _louder(path, inputs, outputs, wanted, problems, remarks)
    _verified(path, model, problems)
    if not model.trainable_weights:
        remarks.append("has no weights")

    weights = model.get_weights()
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / "model.keras")
    own = sorted({type(layer).__name__ for layer in model.layers if type(layer).__module__.startswith("tflrecover")})
    if own:
        remarks.append(f"needs tflrecover's {', '.join(own)}")
        (folder / "own").touch()
    tflrecover.generate(path, folder / "written.py", force=True)
    lines = len((folder / "written.py").read_text(encoding="utf-8").splitlines())
    known = {
        f"{kind}_{i}": array
        for kind, arrays in (("input", inputs), ("output", outputs), ("weight", weights))
        for i, array in enumerate(arrays)
    }
    np.savez(folder / "known.npz", **known)
    done = subprocess.run([sys.executable, "-c", _ELSEWHERE], cwd=folder, capture_output=True, text=True, check=False)
    found = dict(line.split(" ", 1) for line in done.stdout.splitlines() if line.startswith(("saved ", "written ")))
    problems += [
        f"{what}: {found.get(what, done.stderr[-160:])}" for what in ("saved", "written") if found.get(what) != "ok"
    ]

    again = None
    try:
        content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
        made = _run_in_order(content, dict(zip((one.name for one in model.inputs), inputs, strict=True)))
        again = None if isinstance(made, str) else max(map(_relative, outputs, made))
    except Exception as failure:
        remarks.append(f"converted: {type(failure).__name__}")
    if again is not None and not again < limit:
        problems.append(f"its own file is off by {again:.1e}")

    _ported(path, model, weights, problems)
    return Verdict(
        error,
        model.inputs[0].shape[0] if model.inputs else None,
        len(model.trainable_weights),
        lines,
        again,
        tuple(problems),
        tuple(remarks),
    )


def _ported(path: Path, model: Any, weights: Sequence[Any], problems: list[str]) -> None:
    import tflrecover

    generator = np.random.default_rng(1)
    for variable in model.weights:
        variable.assign(generator.normal(0, 0.1, variable.shape))
    try:
        report = tflrecover.port(path, model)
    except tflrecover.TFLRecoverError as refused:
        problems.append(f"ported: {str(refused).splitlines()[0][:160]}")
        return
    states = {one.state for one in report.assignments}
    if states <= {"assigned"} and not all(map(np.array_equal, weights, model.get_weights())):
        problems.append("ported: other weights")


def _verified(path: Path, model: Any, problems: list[str]) -> None:
    """Every part alone, on the file's own values, within the table of tolerances: what rounding explains, no more."""
    import tflrecover

    try:
        report = tflrecover.verify(path, model)
    except tflrecover.TFLRecoverError as refused:
        problems.append(f"verified: {str(refused).splitlines()[0][:160]}")
        return
    if (bad := report.first_divergence) is not None:
        problems.append(f"verified: {bad.tflite_type} {bad.tflite_op} is off by {bad.alone:.1e} of {bad.tolerance:.1e}")
    elif not report.ok:
        problems.append(f"verified: {str(report).splitlines()[0][:160]}")


def _louder(path: Path, inputs: Any, outputs: Any, wanted: Any, problems: list[str], remarks: list[str]) -> float:
    """What differs by more than float32's rounding must have a reason, and each reason its measure.

    Where a file's outputs are rounded, a model that rounds as well is held against them. Where its weights or what is
    computed on the way are, the table of tolerances is the measure, and the original model is told of where it is
    known. A network that makes much of float32's own rounding differs as much between two sets of LiteRT's kernels.

    Returns:
        By how much what the model makes may differ, for its own file is no nearer to it than it is to the file.
    """
    import tflrecover

    graph = tflrecover.read(path).graph
    limit = CLOSE
    steps = [_grid(graph, name) for name in graph.outputs]
    if all(steps):
        rounded = _called(tflrecover.recover(path, quantized="simulate"), inputs)
        most, allowed = _steps_apart(wanted, rounded, steps), MOST_STEPS
        remarks.append(f"simulated: {most:.1f} steps from LiteRT")
        if most > MOST_STEPS:
            # A deep network makes much of one step early on.
            other = _run(path.read_bytes(), inputs, delegate=False)
            allowed = max(allowed, 0.0 if isinstance(other, str) else _steps_apart(wanted, other, steps))
            remarks.append(f"LiteRT with and without XNNPACK: {allowed:.1f} steps")
        # A kernel that interpolates in a table has its own place among the tolerances.
        pairs = zip(wanted, rounded, graph.outputs, strict=True)
        is_off = any(_relative(a, b) > _by_table(graph, name) for a, b, name in pairs)
        if most > allowed + HALF_STEP and is_off:
            problems.append("its rounding is not LiteRT's")
    elif not any(map(_step, graph.values.values())):
        other = _run(path.read_bytes(), inputs, delegate=False)
        limit = max(CLOSE, 0.0 if isinstance(other, str) else max(map(_relative, wanted, other)))
        remarks.append(f"LiteRT with and without XNNPACK: {limit:.1e}")
        if max(map(_relative, wanted, outputs)) > limit:
            problems.append("its outputs are not LiteRT's")
    name, _, mode = path.name.removesuffix(".tflite").rpartition(".")
    if name in MODELS and mode != "fp32":
        zoo = builders()
        original = np.asarray(zoo.randomize(zoo.build(name), 1)(inputs[0], training=False))
        mine, file = signal_to_noise(original, outputs[0]), signal_to_noise(original, wanted[0])
        remarks.append(f"to the original: model {mine:.0f} dB, file {file:.0f} dB")
        if mine < file - MARGIN:
            remarks.append("farther from the original than the file on this input")
    return limit


def _steps_apart(wanted: Any, got: Any, steps: Sequence[float]) -> float:
    """The largest distance of two sets of outputs, each in steps of its own."""
    return max(float(np.abs(a - b).max() / step) for a, b, step in zip(wanted, got, steps, strict=True))


def _grid(graph: Any, name: int) -> float:
    """Step of the grid that an output lies on, also where it is a real number at last; 0 where it is not rounded."""
    return _step(graph.values[_rounded(graph, name)])


def _by_table(graph: Any, name: int) -> float:
    """What the table of tolerances allows, relative to the largest, for the operator that makes an output."""
    value = _rounded(graph, name)
    made = next((op.type for op in graph.ops() if value in op.outputs), "")
    return tolerances.TABLE.get((str(made), str(graph.values[value].dtype)), 0.0)


def _rounded(graph: Any, name: int) -> int:
    """An output as integers."""
    made = next((op for op in graph.ops() if name in op.outputs), None)
    return made.inputs[0] if made is not None and made.type == "DEQUANTIZE" else name


def _step(value: Any) -> float:
    return (
        float(value.quantization.scale[0]) if value.quantization is not None and value.quantization.scale.size else 0.0
    )


def _relative(wanted: Any, got: Any) -> float:
    if wanted.shape != got.shape:
        return float("inf")
    if wanted.dtype.kind in "OSU":
        return 0.0 if np.array_equal(wanted, got) else float("inf")
    exact = wanted.astype(np.complex128 if wanted.dtype.kind == "c" else np.float64)
    return relative(exact, got) if wanted.size else 0.0


def _inputs(model: Any) -> list[Any]:
    generator = np.random.default_rng(9)
    shapes = [[n or 1 for n in tensor.shape] for tensor in model.inputs]
    return [_random(generator, tensor.dtype, shape) for tensor, shape in zip(model.inputs, shapes, strict=True)]


def _random(generator: np.random.Generator, dtype: str, shape: list[int]) -> Any:
    if dtype == "string":
        return generator.choice(np.array([b"a", b"b", b"none of them"], object), shape)
    if dtype.startswith("float"):
        return generator.uniform(0, 1, shape).astype(dtype)
    return generator.integers(0, 2, shape).astype(dtype)


def _called(model: Any, inputs: list[Any]) -> list[Any]:
    made = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    return [np.asarray(one) for one in (made if isinstance(made, (list, tuple)) else [made])]


def _run_in_order(content: bytes, inputs: dict[str, Any]) -> list[Any] | str:
    """Outputs of a file that Keras's converter made, which has them in an order of its own; inputs by their names."""
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_content=content)
        arrays = [inputs[name] for name in sorted(inputs, key=number)]
        return [np.asarray(one) for one in by_order(interpreter)(*arrays)]
    except (RuntimeError, ValueError) as error:
        return str(error).splitlines()[0][:120]


def _run(content: bytes, inputs: list[Any], *, delegate: bool = True) -> list[Any] | str:
    """Outputs as real numbers, or why there are none."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    try:
        kernels = OpResolverType.AUTO if delegate else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = Interpreter(model_content=content, experimental_op_resolver_type=kernels)
        for detail, x in zip(interpreter.get_input_details(), inputs, strict=True):
            interpreter.resize_tensor_input(detail["index"], x.shape)
        interpreter.allocate_tensors()
        for detail, x in zip(interpreter.get_input_details(), inputs, strict=True):
            interpreter.set_tensor(detail["index"], stored(x, detail))
        interpreter.invoke()
        return [real(interpreter, one) for one in interpreter.get_output_details()]
    except (RuntimeError, ValueError) as error:
        return str(error).splitlines()[0][:120]
