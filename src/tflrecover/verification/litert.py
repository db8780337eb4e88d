"""Runs a file with LiteRT, keeping every intermediate tensor."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from tflrecover.arrays import load_arrays
from tflrecover.comparison.inputs import end_names, free_shape
from tflrecover.errors import EvaluationError, MissingDependency
from tflrecover.ir import Op, Quantization, Shape, Value
from tflrecover.tflite import TFLiteModel, flattened
from tflrecover.tflite.nodedef import PREFIX
from tflrecover.verification.indices import Range, ranges
from tflrecover.verification.interpreter import Elsewhere, Failed, Here, Start
from tflrecover.weight import Array

Inputs = Sequence[Any] | Mapping[str, Any]

# Of integers that nothing is looked up by.
_SMALL = (0, 10)


def given(file: TFLiteModel, inputs: Inputs | str | os.PathLike[str]) -> list[Array]:
    """A user's inputs as arrays, one per input of the file, in file order.

    Args:
        file: The file.
        inputs: Arrays in file order, or by name; for a file with one input also the array itself; or the path of a
            ``.npz`` or ``.npy`` file of these.

    Raises:
        EvaluationError: a name, a number or a shape does not fit, or there are no arrays that can be read safely.
    """
    names = end_names(file, "inputs")
    if isinstance(inputs, (str, os.PathLike)):
        inputs = cast("Inputs", load_arrays(os.fspath(inputs)))
    if isinstance(inputs, Mapping):
        missing, unknown = sorted(set(names) - set(inputs)), sorted(set(inputs) - set(names))
        if missing or unknown:
            told = [f"{what} {those}" for what, those in (("missing", missing), ("unknown", unknown)) if those]
            raise EvaluationError(f"the file's inputs are {list(names)}; of those given, {', '.join(told)}")
        inputs = [inputs[name] for name in names]
    # Not a sequence of inputs but one; its first axis is the batch.
    listed = [inputs] if hasattr(inputs, "shape") else list(inputs)
    if len(listed) != len(names):
        raise EvaluationError(f"the file has {len(names)} inputs {list(names)}, got {len(listed)} arrays")
    arrays = [np.asarray(array) for array in listed]
    for name, (_, value), array in zip(names, _inputs(file), arrays, strict=True):
        shape = free_shape(value)
        is_right = len(shape) == array.ndim and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
        if value.shape is not None and not is_right:
            shown = f"({', '.join('?' if n is None else str(n) for n in shape)})"
            raise EvaluationError(f"input {name!r} has shape {shown}, got an array of {array.shape}")
    return arrays


def random(file: TFLiteModel, shapes: Mapping[int, Shape]) -> list[Array]:
    """Reproducible inputs: uniform numbers in [0, 1), over all its range where an input has a scale; small integers.

    Integers that the file looks something up by are rows of what it looks them up in, and of all of it.

    Args:
        file: The file.
        shapes: Value id to shape of inputs whose sizes the file leaves free.
    """
    rng, rows = np.random.default_rng(0), ranges(flattened(file))
    resized = [(v, replace(value, shape=shapes.get(v, value.shape))) for v, value in _inputs(file)]
    return [_random(value, rng, rows.get(v)) for v, value in resized]


def _inputs(file: TFLiteModel) -> list[tuple[int, Value]]:
    return [(v, file.graph.values[v]) for v in file.graph.inputs]


def _random(value: Value, rng: np.random.Generator, rows: Range | None) -> Array:
    shape, found = value.shape or (), value.quantization
    if found is not None and found.scale.size and not str(value.dtype).startswith("float"):
        info, (scale, zero) = np.iinfo(_dtype(value)), _parameters(found)
        low, high = (info.min - zero) * scale, (info.max - zero) * scale
        return rng.uniform(low, high, shape).astype(np.float32)
    is_real = str(value.dtype).startswith("float") or found is not None
    if is_real and rows is None:
        return rng.uniform(0, 1, shape).astype(np.float32)
    integers = rng.integers(*(rows or _SMALL), shape)
    return integers.astype(np.float32) if is_real else integers


def _dtype(value: Value) -> np.dtype[Any]:
    try:
        return np.dtype(str(value.dtype))
    except TypeError as error:
        raise EvaluationError(f"input {value.name!r} is of type {value.dtype}, which no array holds") from error


def quantize(array: Array, value: Value) -> Array:
    """Real numbers as the file stores them.

    Raises:
        EvaluationError: numpy lacks the type.
    """
    dtype = _dtype(value)
    if dtype.kind not in "iu" or array.dtype.kind != "f" or value.quantization is None:
        return array.astype(dtype)
    scale, zero = _parameters(value.quantization)
    info = np.iinfo(dtype)
    return np.asarray(np.clip(np.round(array / scale) + zero, info.min, info.max)).astype(dtype)


def dequantize(array: Array, value: Value) -> Array:
    """Stored numbers as real ones."""
    if array.dtype.kind not in "iu" or value.quantization is None or not value.quantization.scale.size:
        return array
    scale, zero = _parameters(value.quantization)
    return np.asarray((array.astype(np.float32) - zero) * scale)


def _parameters(quantization: Quantization) -> tuple[float, int]:
    scale = float(quantization.scale[0]) if quantization.scale.size else 1.0
    return scale or 1.0, int(quantization.zero_point[0]) if quantization.zero_point.size else 0


class FileRun:
    """One run of a file; tensors are fetched one at a time, as real numbers.

    Args:
        file: The file.
        arrays: Its inputs, in file order.
        is_isolated: Run it in a process of its own, which a damaged file may end.

    Attributes:
        evaluated: Custom operators that LiteRT lacks and that were evaluated in its place.

    Raises:
        EvaluationError: LiteRT cannot run the file.
        MissingDependency: LiteRT is not installed.
    """

    def __init__(self, file: TFLiteModel, arrays: Sequence[Array], *, is_isolated: bool = False) -> None:
        if importlib.util.find_spec("ai_edge_litert") is None:
            raise MissingDependency("verifying needs LiteRT: pip install ai-edge-litert")
        self._file = file
        self.evaluated: tuple[Op, ...] = ()
        given = {v: quantize(array, value) for (v, value), array in zip(_inputs(file), arrays, strict=True)}
        start: Start = Elsewhere if is_isolated else Here
        with self._telling():
            try:
                self._run = start(file.content, given)
            except Failed:
                if not any(op.custom for op in file.graph.ops()) or not self._substituted(start, given):
                    raise
        self._shapes: dict[int, Shape | None] = {}

    def _substituted(self, start: Start, given: dict[int, Array]) -> bool:
        """Runs the file with custom operators evaluated, from those that need no other to those that do."""
        from tflrecover.verification.substitutes import by_depth, substitutes, without

        found, values = substitutes(self._file), self._file.graph.values
        if not found:
            return False
        content = without(self._file.content, found)
        unknown = {v: values[v] for one in found for v in one.outputs}
        given |= {v: np.zeros(value.shape or (), _dtype(value)) for v, value in unknown.items()}
        for group in by_depth(found).values():
            self._run = start(content, given)
            for one in group:
                results = zip(one.outputs, one.results(self._known), strict=False)
                given |= {v: quantize(result, values[v]) for v, result in results}
        self._run = start(content, given)
        self.evaluated = tuple(self._file.graph.op(one.index) for one in found)
        return True

    def _known(self, index: int) -> Array:
        found = self.tensor(index)
        if found is None:
            raise EvaluationError(f"tensor {self._file.graph.values[index].name!r} was kept by a delegate")
        return found

    def shape(self, index: int) -> Shape | None:
        """A tensor's shape, or None where a delegate kept it to itself."""
        self.look_at([index])
        return self._shapes[index]

    def look_at(self, indices: Iterable[int]) -> None:
        """Asks for the shapes of tensors all at once: thousands of questions take longer than the run."""
        unseen = [index for index in dict.fromkeys(indices) if index not in self._shapes]
        if unseen:
            with self._telling():
                self._shapes.update(zip(unseen, self._run.shapes(unseen), strict=True))

    def tensor(self, index: int) -> Array | None:
        """A tensor's contents as real numbers, or None where a delegate kept them to itself."""
        with self._telling():
            found = self._run.tensor(index)
        return None if found is None else dequantize(found, self._file.graph.values[index])

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except Failed as error:
            raise EvaluationError(f"{self._file.source}: LiteRT cannot run this file: {self._why(error)}") from error

    def _why(self, error: Failed) -> str:
        """What LiteRT says; of operators that it lacks, it speaks to those who build it."""
        types = {str(op.type) for op in flattened(self._file).ops()}
        lacking = sorted(name for name in types if name.startswith(PREFIX))
        if not lacking:
            return str(error)
        return f"its operators {lacking} are TensorFlow's own, which this LiteRT lacks; diff and port work without it"
