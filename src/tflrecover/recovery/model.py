"""From a file to a functional Keras model."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from tflrecover.errors import UnsupportedOperators
from tflrecover.inputs import OTHER_SIZES, SIZES, FreeShape, end_names
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
    free, found = _freest(file)
    if rounds:
        # What is free is asked without rounding, as a number between two steps would look like an answer.
        found = _Maker(file, free, rounds=True).made()
    for note in found.notes:
        _log.info("%s: %s", file.source, note)
    return found


@dataclass(frozen=True, slots=True)
class _Free:
    """What inputs of a model leave open.

    Attributes:
        batch: The first axis.
        sizes: Other axes that the file leaves open.
    """

    batch: bool
    sizes: bool


def _freest(file: TFLiteModel) -> tuple[_Free, Recovered]:
    """As free as can be proved."""
    shapes = [one.shape for one in FileNetwork(file, False).inputs]
    has_sizes = any(shape is not None and None in shape[1:] for shape in shapes)
    for free in [_Free(True, True), _Free(False, True)] if has_sizes else []:
        found = _attempt(file, free)
        if found is not None and _is_proved(file, found, free):
            return free, found
        _log.info("%s: sizes are part of what it computes and stay fixed", file.source)
    free = _Free(True, False)
    found = _attempt(file, free)
    if found is not None and batch.is_free(found.model):
        return free, found
    _log.info("%s: the batch is part of what it computes and stays as it is", file.source)
    free = _Free(False, False)
    return free, _Maker(file, free).made()


def _is_proved(file: TFLiteModel, found: Recovered, free: _Free) -> bool:
    """Whether on other sizes it gives what the file gives, looked at on those."""
    other = _attempt(file, _Free(False, False), OTHER_SIZES[0])
    same = other is not None and batch.are_same(found.model, other.model)
    return same and (not free.batch or batch.is_free(found.model))


def _attempt(file: TFLiteModel, free: _Free, size: int = SIZES[0]) -> Recovered | None:
    """None where operators do not fit what is free."""
    try:
        maker = _Maker(file, free, size=size)
        # A state has the batch that the file gives it, and a condition is one for all examples.
        is_fixed = maker.draft.has("STATE") or has_conditions(maker.draft)
        return None if free.batch and is_fixed else maker.made()
    except UnsupportedOperators as error:
        _log.info("%s: %s: %s", file.source, free, error)
        return None


class _Maker:
    """Makes one model."""

    def __init__(self, file: TFLiteModel, free: _Free, *, rounds: bool = False, size: int = SIZES[0]) -> None:
        self.file, self.rounds = file, rounds
        network = FileNetwork(file, False, conditions=True)
        opened = [one.shape for one in network.inputs]
        stored = [file.graph.values[value].shape or () for value in file.graph.inputs]
        shapes = [_sizes(shape, own, size) for shape, own in zip(stored, opened, strict=True)]
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
        for name, value, shape, own in zip(names, self.draft.inputs, shapes, opened, strict=True):
            dtype = real_dtype(file.graph.values[file.graph.inputs[len(self.inputs)]])
            made = keras.Input(batch_shape=_freed(shape, own, free), dtype=dtype, name=name)
            self.inputs.append(made)
            self.known[value] = made
        self.builder.anchor = self.inputs[0] if self.inputs else None
        self.assembly = Assembly(self.draft, self.builder, free.batch, self.known, outputs=self.outputs, sizes=sizes)

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


def _sizes(stored: Shape, opened: FreeShape | None, size: int) -> Shape:
    """The shape of an input that is looked at: of a free batch one, of other free sizes a few."""
    if opened is None:
        return stored
    return tuple(n if n is not None else 1 if axis == 0 else size for axis, n in enumerate(opened))


def _freed(shape: Shape, opened: FreeShape | None, free: _Free) -> FreeShape:
    """The same as the model has it."""
    is_open = [free.sizes and opened is not None and opened[axis] is None for axis in range(len(shape))]
    return tuple(None if (free.batch if axis == 0 else is_open[axis]) else n for axis, n in enumerate(shape))


def _single(tensors: list[Any]) -> Any:
    """A model of one input is called on a tensor, not on a list of one."""
    return tensors[0] if len(tensors) == 1 else tensors


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    counted = Names()
    return tuple(counted.unique(name) for name in names)
