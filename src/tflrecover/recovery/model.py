"""From a file to a functional Keras model."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from tflrecover.errors import UnsupportedOperators
from tflrecover.inputs import SIZES, end_names
from tflrecover.ir import Shape
from tflrecover.networks import FileNetwork
from tflrecover.ops.quantize import real_dtype
from tflrecover.recovery import batch
from tflrecover.recovery.assembly import Assembly
from tflrecover.recovery.builder import Call, ModelBuilder
from tflrecover.recovery.form import formed
from tflrecover.recovery.layers import is_tensor
from tflrecover.recovery.names import Names, legal
from tflrecover.recovery.nest import has_conditions
from tflrecover.recovery.rounding import keep_rounding
from tflrecover.recovery.sizes import Sizes
from tflrecover.tflite import TFLiteModel, flattened
from tflrecover.tflite.quantization import quantized as is_quantized

_log = logging.getLogger(__name__)


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
    is_free = found is not None and batch.is_free(found.model)
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
        maker = _Maker(file, is_free, rounds)
        # A state has the batch that the file gives it, and a condition is one for all examples.
        is_fixed = maker.draft.has("STATE") or has_conditions(maker.draft)
        return None if is_free and is_fixed else maker.made()
    except UnsupportedOperators as error:
        if not is_free:
            raise
        _log.info("%s: no free batch: %s", file.source, error)
        return None


class _Maker:
    """Makes one model."""

    def __init__(self, file: TFLiteModel, is_free: bool, rounds: bool) -> None:
        self.file, self.is_free, self.rounds = file, is_free, rounds
        network = FileNetwork(file, False, conditions=True)
        shapes = [_sizes(file.graph.values[value].shape or (), one.shape) for value, one in _inputs(file, network)]
        side = network.on(shapes, [one.dtype or "float32" for one in network.inputs])
        with side.blamed():
            draft = self.draft = side.draft({})
            sizes, ends = Sizes(side.source, draft), draft.outputs
            draft.outputs = (*ends, *sizes.wanted)
            if rounds:
                keep_rounding(draft)
            formed(draft)
            draft.outputs = draft.outputs[: len(ends)]
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
        self.builder.anchor = self.inputs[0] if self.inputs else None
        self.assembly = Assembly(self.draft, self.builder, is_free, self.known, outputs=self.outputs, sizes=sizes)

    def made(self) -> Recovered:
        if not self.inputs:
            raise UnsupportedOperators(self.file.source, [("none", "model", "it has no input, which Keras asks for")])
        self.assembly.run()
        if missing := self.assembly.missing:
            raise UnsupportedOperators(self.file.source, [(op.id, str(op.type), why) for op, why in missing])
        made = [self.assembly.arg(value) for value in self.draft.outputs]
        made[:1] = map(self.builder.kept, made[:1])
        outputs = [self._output(one, name) for one, name in zip(made, self.outputs, strict=True)]
        name = legal(self.file.source.replace("\\", "/").rpartition("/")[2].removesuffix(".tflite")) or "recovered"
        model = keras.Model(_single(self.inputs), _single(outputs), name=name)
        return Recovered(model, self.builder.calls, _notes(self.file, self.rounds))

    def _output(self, made: Any, name: str) -> Any:
        layer = getattr(made, "_keras_history", (None,))[0]
        if layer is not None and layer.name == name:
            return made
        self.builder.wanted = self.builder.released(name)
        return self.builder.layer("Identity", made) if is_tensor(made) else self.builder.constant(made, self.inputs[0])


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
