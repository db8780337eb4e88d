"""From a file to a functional Keras model."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from tflrecover.comparison.inputs import OTHER_SIZES, SIZES, FreeShape, end_names
from tflrecover.comparison.networks import FileNetwork, refuse_weightless
from tflrecover.errors import TFLRecoverError, UnsupportedOperators
from tflrecover.ir import Shape
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
from tflrecover.stages import stage
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
        WeightlessFile: its weights live in variables that nothing fills.
        ValueError: ``quantized`` is neither.
    """
    if quantized not in ("float", "simulate"):
        raise ValueError(f"quantized must be 'float' or 'simulate', got {quantized!r}")
    refuse_weightless(file)
    stage(f"rebuilding {file.source}")
    try:
        with defaults():
            free, found = _freest(file)
            if quantized == "simulate":
                # What is free is asked without rounding: a number between two steps would look like an answer.
                found = _Maker(file, free, rounds=True).made()
    except TFLRecoverError:
        raise
    # Keras raises whatever it likes at shapes and options that no converter writes.
    except Exception as error:
        told = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UnsupportedOperators(file.source, [("?", "model", f"Keras takes no such network: {told}")]) from error
    for note in found.notes:
        _log.info("%s: %s", file.source, note)
    return found


@contextlib.contextmanager
def defaults() -> Iterator[None]:
    """A file has its channels last and computes in float32, whatever a user has set for layers of their own."""
    config = keras.config
    before = config.image_data_format(), config.dtype_policy(), config.floatx()
    try:
        config.set_image_data_format("channels_last")
        config.set_floatx("float32")
        config.set_dtype_policy("float32")
        yield
    finally:
        config.set_image_data_format(before[0])
        config.set_floatx(before[2])
        config.set_dtype_policy(before[1])


@dataclass(frozen=True, slots=True)
class _Free:
    """What inputs of a model leave open.

    Attributes:
        batch: The first axis.
        sizes: Other axes that the file leaves open.
        made_on: The size that such axes have where the network is looked at.
    """

    batch: bool
    sizes: bool
    made_on: int = SIZES[0]


def _freest(file: TFLiteModel) -> tuple[_Free, Recovered]:
    """As free as can be proved."""
    shapes = [one.shape for one in FileNetwork(file, False).inputs]
    has_sizes = any(shape is not None and None in shape[1:] for shape in shapes)
    sizes = _SIZES[1:-1] if has_sizes else SIZES[:1]
    kinds = [(True, True), (False, True), (True, False), (False, False)] if has_sizes else [(True, False)]
    for free in (_Free(*kind, size) for kind in kinds for size in sizes):
        found = _attempt(file, free)
        if found is not None and _is_proved(file, found, free):
            return free, found
        _log.info("%s: this is not what it computes: %s", file.source, free)
    free = _Free(False, False)
    return free, _Maker(file, free).made()


# What is open is looked at as one of these but the ends, and proved on the next one and on all smaller ones. Where an
# image is enlarged to one size, that may be a multiple of the first; of a network for large images that leaves nothing.
_SIZES = (7, SIZES[0], OTHER_SIZES[0], SIZES[1], 96)
# Examples that an open batch is looked at with besides one.
_BATCH = 3


def _is_proved(file: TFLiteModel, found: Recovered, free: _Free) -> bool:
    """Whether on other sizes it gives what the file gives, looked at on those.

    Of a batch that the file fixes, it is asked whether examples in one batch give what each gives alone.
    """
    shapes = [one.shape for one in FileNetwork(file, False).inputs]
    is_open = any(shape and shape[0] is None for shape in shapes)
    at = _SIZES.index(free.made_on)
    looks = [(size, 1) for size in (_SIZES[at + 1], *_SIZES[:at])] if free.sizes else []
    looks += [(free.made_on, _BATCH)] if free.batch and is_open else []
    others = [_attempt(file, _Free(False, False, size), n) for size, n in looks]
    if looks and others[0] is None:
        return False
    # A smaller size may be too small for the network.
    if not all(batch.are_same(found.model, other.model) for other in others if other is not None):
        return False
    return not free.batch or is_open or batch.is_free(found.model, _fixed_batch(shapes), free.made_on)


def _fixed_batch(shapes: Sequence[FreeShape | None]) -> int:
    return max((shape[0] or 1 for shape in shapes if shape), default=1)


def _attempt(file: TFLiteModel, free: _Free, batch: int = 1) -> Recovered | None:
    """None where operators do not fit what is free."""
    try:
        maker = _Maker(file, free, batch=batch)
        # A state has the batch that the file gives it, and a condition is one for all examples.
        is_fixed = maker.draft.has("STATE") or has_conditions(maker.draft)
        return None if free.batch and is_fixed else maker.made()
    except UnsupportedOperators as error:
        _log.info("%s: %s: %s", file.source, free, error)
        return None


class _Maker:
    """Makes one model."""

    def __init__(self, file: TFLiteModel, free: _Free, *, rounds: bool = False, batch: int = 1) -> None:
        self.file, self.rounds = file, rounds
        network = FileNetwork(file, False)
        opened = [one.shape for one in network.inputs]
        stored = [file.graph.values[value].shape or () for value in file.graph.inputs]
        shapes = [_sizes(shape, own, free.made_on, batch) for shape, own in zip(stored, opened, strict=True)]
        side = network.on(shapes, [one.dtype or "float32" for one in network.inputs])
        with side.blamed():
            draft = self.draft = side.draft({})
            sizes, own_outputs = Sizes(side.source, draft), draft.outputs
            draft.outputs = (*own_outputs, *sizes.wanted)
            if rounds:
                keep_rounding(draft)
            formed(draft)
            draft.outputs = draft.outputs[: len(own_outputs)]
        names = [legal(name) or "input" for name in end_names(file, "inputs")]
        # Keras wants one name once, also of an input and an output.
        ends = _unique([*names, *(legal(name) or "output" for name in end_names(file, "outputs"))])
        names, self.outputs = list(ends[: len(names)]), ends[len(names) :]
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
    notes = [file.other_signatures] if file.other_signatures else []
    found = is_quantized(flattened(file))
    if found is None:
        return tuple(notes)
    told = "Weights are dequantized exactly; activations that are integers in the file are rounded to its real numbers."
    return (*notes, f"The file is quantized ({found.kind}). {told}" if rounds else found.text)


def _sizes(stored: Shape, opened: FreeShape | None, size: int, batch: int) -> Shape:
    """The shape of an input that is looked at."""
    if opened is None:
        return stored
    return tuple(n if n is not None else batch if axis == 0 else size for axis, n in enumerate(opened))


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
