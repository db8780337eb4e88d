"""From a file to a functional Keras model."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tflrecover import ops
from tflrecover.errors import UnsupportedOperators
from tflrecover.inputs import SIZES, end_names
from tflrecover.ir import Op, Shape
from tflrecover.networks import FileNetwork
from tflrecover.ops.quantize import real_dtype
from tflrecover.ops.spec import Attributes, Unsupported
from tflrecover.recovery.builder import Call, ModelBuilder
from tflrecover.recovery.form import formed
from tflrecover.recovery.layers import is_tensor
from tflrecover.recovery.names import Names, Scheme, legal
from tflrecover.recovery.rounding import keep_rounding
from tflrecover.rewrite.draft import Draft
from tflrecover.tflite import TFLiteModel, flattened
from tflrecover.tflite.quantization import quantized as is_quantized
from tflrecover.weight import evaluate

_log = logging.getLogger(__name__)

_HALVES = ("float16", "bfloat16")


@dataclass(frozen=True, slots=True)
class _Part:
    """See :class:`tflrecover.ops.spec.Part`."""

    op: Op
    draft: Draft
    args: tuple[Any, ...]

    @property
    def type(self) -> str:
        return str(self.op.type)

    @property
    def attributes(self) -> Attributes:
        return self.op.attributes

    @property
    def dtype(self) -> str:
        found = real_dtype(self.draft.values[self.op.outputs[0]])
        # The file computes with halves in float32.
        return "float32" if found in _HALVES else found

    @property
    def results(self) -> int:
        return len(self.op.outputs)

    @property
    def output_shape(self) -> Shape:
        return self.draft.shape(self.op.outputs[0])

    def shape(self, slot: int) -> Shape:
        return self.draft.shape(self.op.inputs[slot])


@dataclass(frozen=True, slots=True, eq=False)
class Recovered:
    """A model and how it was made.

    Attributes:
        model: The model, with the file's weights.
        calls: What was called to make it, in order.
        notes: Sentences on what is not as in the file.
    """

    model: Any
    calls: Sequence[Call]
    notes: tuple[str, ...] = ()


def recovered(file: TFLiteModel, *, quantized: str = "float") -> Recovered:
    """The model that a file is, with a free batch where that changes nothing.

    Args:
        file: The file.
        quantized: ``"float"``, or ``"simulate"`` to round what the file stores as integers.

    Raises:
        UnsupportedOperators: the file has operators that nothing in Keras can be.
        ValueError: ``quantized`` is neither.
    """
    if quantized not in ("float", "simulate"):
        raise ValueError(f"quantized must be 'float' or 'simulate', got {quantized!r}")
    rounds = quantized == "simulate"
    found = _attempt(file, is_free=True)
    is_free = found is not None and _is_free(found.model)
    if not is_free:
        _log.info("%s: the batch is part of what it computes and stays as it is", file.source)
    if found is None or rounds or not is_free:
        # Whether the batch is free is asked without rounding, as a number between two steps would look like an answer.
        found = _attempt(file, is_free=is_free, rounds=rounds)
    assert found is not None
    for note in found.notes:
        _log.info("%s: %s", file.source, note)
    return found


def _attempt(file: TFLiteModel, *, is_free: bool, rounds: bool = False) -> Recovered | None:
    """None where a free batch does not fit what operators do with it."""
    try:
        return _Maker(file, is_free, rounds).made()
    except UnsupportedOperators as error:
        if not is_free:
            raise
        _log.info("%s: no free batch: %s", file.source, error)
        return None


class _Maker:
    """Makes one model."""

    def __init__(self, file: TFLiteModel, is_free: bool, rounds: bool) -> None:
        self.file, self.is_free, self.rounds = file, is_free, rounds
        network = FileNetwork(file, False)
        shapes = [_sizes(file.graph.values[value].shape or (), one.shape) for value, one in _inputs(file, network)]
        side = network.on(shapes, [one.dtype or "float32" for one in network.inputs])
        with side.blamed():
            self.draft = side.draft({})
            if rounds:
                keep_rounding(self.draft)
            formed(self.draft)
        self.scheme = Scheme(self.draft.values[op.outputs[0]].name for op in self.draft.ops.values() if op.outputs)
        self.outputs = _unique([legal(name) or "output" for name in end_names(file, "outputs")])
        names = _unique([legal(name) or "input" for name in end_names(file, "inputs")])
        self.builder = ModelBuilder(Names((*names, *self.outputs)))
        self.known: dict[int, Any] = {}
        self.inputs: list[Any] = []
        for name, value, shape in zip(names, self.draft.inputs, shapes, strict=True):
            dtype = real_dtype(file.graph.values[file.graph.inputs[len(self.inputs)]])
            first = None if is_free and shape else shape[0] if shape else None
            made = keras.Input(batch_shape=(first, *shape[1:]) if shape else (), dtype=dtype, name=name)
            self.inputs.append(made)
            self.known[value] = made
        self.missing: list[tuple[Op, str]] = []
        # Values that nothing makes: what follows from them is no fault of its own.
        self.unknown: set[int | None] = set()

    def made(self) -> Recovered:
        for op in self.draft.ordered():
            self._add(op)
        if self.missing:
            raise UnsupportedOperators(self.file.source, [(op.id, str(op.type), why) for op, why in self.missing])
        outputs = [self._output(value, name) for value, name in zip(self.draft.outputs, self.outputs, strict=True)]
        name = legal(self.file.source.replace("\\", "/").rpartition("/")[2].removesuffix(".tflite")) or "recovered"
        model = keras.Model(_single(self.inputs), _single(outputs), name=name)
        return Recovered(model, self.builder.calls, _notes(self.file, self.rounds))

    def _add(self, op: Op) -> None:
        self.builder.wanted = self._name(op)
        try:
            results = self._made(op)
        except Unsupported as error:
            self._miss(op, str(error))
        # Keras and TensorFlow raise whatever they like at operands that do not fit.
        except Exception as error:
            if not self.unknown.intersection(op.inputs):
                self._miss(op, _first_line(error))
            self._give_up(op)
        else:
            self.known.update(zip(op.outputs, results, strict=False))

    def _made(self, op: Op) -> Sequence[Any]:
        spec = ops.by_name(op.type)
        if spec is None or spec.keras is None or op.id in self.draft.opaque:
            raise Unsupported(self.draft.reasons.get(op.id, "it is not known"))
        made = spec.keras(self.builder, _Part(op, self.draft, tuple(self._arg(value) for value in op.inputs)))
        return made if isinstance(made, (list, tuple)) else [made]

    def _miss(self, op: Op, why: str) -> None:
        self.missing.append((op, why))
        self._give_up(op)

    def _give_up(self, op: Op) -> None:
        """Goes on without an operator, so that every one that is missing is told at once."""
        self.unknown.update(op.outputs)
        self.known.update((value, self._unknown(value)) for value in op.outputs)

    def _unknown(self, value: int) -> Any:
        """Stands for a result that nothing makes."""
        found = self.draft.values[value]
        shape = found.shape or ()
        return keras.KerasTensor((None, *shape[1:]) if self.is_free and shape else shape, dtype=str(found.dtype))

    def _arg(self, value: int | None) -> Any:
        weight = self.draft.weight(value)
        if weight is not None:
            return np.asarray(evaluate(weight, self.draft.env))
        if value is not None and value not in self.known:
            raise Unsupported(f"its operand {self.draft.values[value].name!r} has no contents, and nothing makes it")
        return None if value is None else self.known[value]

    def _name(self, op: Op) -> str:
        """Of the layer that makes a value; the model's outputs are called after the layers that make them."""
        value = op.outputs[0]
        if self.draft.outputs.count(value) == 1:
            return self.builder.names.promised(self.outputs[self.draft.outputs.index(value)])
        return self.scheme.layer(self.draft.values[value].name, op.type)

    def _output(self, value: int, name: str) -> Any:
        made = self._arg(value)
        if not is_tensor(made):
            raise UnsupportedOperators(self.file.source, [(name, "output", "it is a constant, and no layer makes it")])
        layer = getattr(made, "_keras_history", (None,))[0]
        if layer is not None and layer.name == name:
            return made
        self.builder.wanted = self.builder.released(name)
        return self.builder.layer("Identity", made)


def _first_line(error: Exception) -> str:
    """What went wrong, without what Keras writes around it: the call, and colours for a terminal."""
    told = re.sub(r"\x1b\[\d*m|\{\{.*?\}\} ?|\[Op:.*", "", str(error))
    lines = [line.strip() for line in told.splitlines() if line.strip() and not line.startswith("Exception enc")]
    return f"{type(error).__name__}: {lines[0].rstrip('. ')}" if lines else type(error).__name__


def _notes(file: TFLiteModel, rounds: bool) -> tuple[str, ...]:
    found = is_quantized(flattened(file))
    if found is None:
        return ()
    if not rounds:
        return (found.text,)
    told = "Weights are dequantized exactly; activations that are integers in the file are rounded to its real numbers."
    return (f"The file is quantized ({found.kind}). {told}",)


def _inputs(file: TFLiteModel, network: FileNetwork) -> Iterator[tuple[int, Any]]:
    return zip(file.graph.inputs, network.inputs, strict=True)


def _sizes(stored: Shape, free: tuple[int | None, ...] | None) -> Shape:
    """The shape of an input that is looked at: of a free batch one, of other free sizes a few."""
    if free is None:
        return stored
    return tuple(n if n is not None else 1 if axis == 0 else SIZES[0] for axis, n in enumerate(free))


def _single(tensors: list[Any]) -> Any:
    """A model of one input is called on a tensor, not on a list of one."""
    return tensors[0] if len(tensors) == 1 else tensors


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    counted = Names()
    return tuple(counted.unique(name) for name in names)


def _is_free(model: Any) -> bool:
    """Whether two examples in one batch give what each gives alone."""
    generator = np.random.default_rng(0)
    both = [_random(generator, tensor) for tensor in model.inputs]
    try:
        alone = [[np.asarray(one) for one in _called(model, [x[i : i + 1] for x in both])] for i in range(2)]
        together = [np.asarray(one) for one in _called(model, both)]
    # Whatever the backend raises, it is because of the batch.
    except Exception as error:
        _log.info("no free batch: %s", error)
        return False
    pairs = zip(together, *alone, strict=True)
    return all(_same(whole, np.concatenate(parts)) for whole, *parts in pairs if all(np.ndim(p) for p in parts))


def _same(whole: Any, parts: Any) -> bool:
    if whole.shape != parts.shape:
        return False
    scale = np.max(np.abs(parts[np.isfinite(parts)]), initial=0.0) if parts.dtype.kind == "f" else 0.0
    return bool(np.allclose(whole, parts, rtol=0, atol=1e-4 * scale, equal_nan=True))


def _random(generator: np.random.Generator, tensor: Any) -> Any:
    shape = (2, *(1 if n is None else n for n in tensor.shape[1:]))
    if str(tensor.dtype).startswith("float"):
        return generator.uniform(0, 1, shape).astype(tensor.dtype)
    return generator.integers(0, 2, shape).astype(tensor.dtype)


def _called(model: Any, inputs: Sequence[Any]) -> list[Any]:
    made = model(list(inputs) if len(inputs) != 1 else inputs[0], training=False)
    return list(made) if isinstance(made, (list, tuple)) else [made]
