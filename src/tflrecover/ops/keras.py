"""Small builders that many operators share (:data:`~tflrecover.ops.spec.KerasBuilder`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tflrecover.ops import sums
from tflrecover.ops.spec import Builder, KerasBuilder, Part


@dataclass(frozen=True, slots=True)
class Function:
    """A function of ``keras.ops`` on all operands.

    Attributes:
        name: Its name there.
        attributes: Of the operator, which are handed on under their own names.
        fixed: What else it is given.
        is_elementwise: Whether it works number by number on operands that broadcasting repeats.
    """

    name: str
    attributes: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)
    is_elementwise: bool = False

    def __call__(self, builder: Builder, part: Part) -> Any:
        """Calls it."""
        args = aligned(builder, part) if self.is_elementwise else part.args
        return builder.ops(self.name, *args, **{key: part.attributes[key] for key in self.attributes}, **self.fixed)


def function(name: str, *attributes: str, **fixed: Any) -> Function:
    """A function of ``keras.ops`` on all operands; ``attributes`` are handed on under their own names."""
    return Function(name, attributes, fixed)


def elementwise(name: str) -> Function:
    """A function of ``keras.ops`` that works number by number on operands that broadcasting repeats."""
    return Function(name, is_elementwise=True)


def layer(kind: str, *attributes: str, **fixed: Any) -> KerasBuilder:
    """A layer on the first operand; ``attributes`` are handed on under their own names."""

    def build(builder: Builder, part: Part) -> Any:
        return builder.layer(kind, part.args[0], **{key: part.attributes[key] for key in attributes}, **fixed)

    return build


def tensorflow(name: str, *attributes: str, **fixed: Any) -> KerasBuilder:
    """A function of TensorFlow on all operands, for what Keras has no name for."""

    def build(builder: Builder, part: Part) -> Any:
        return builder.tensorflow(name, *part.args, **{key: part.attributes[key] for key in attributes}, **fixed)

    return build


def raw(name: str, *operands: str, **renamed: str) -> KerasBuilder:
    """An operator of TensorFlow with the operands in the file's order; ``argument="attribute"`` names its options."""

    def build(builder: Builder, part: Part) -> Any:
        given = dict(zip(operands, part.args, strict=False))
        options = {new: part.attributes[old] for new, old in renamed.items() if old in part.attributes}
        return builder.tensorflow(f"raw_ops.{name}", **given, **options)

    return build


def merging(kind: str, name: str) -> KerasBuilder:
    """A layer that merges activations; with a constant, which is no input of a layer, the function."""

    def build(builder: Builder, part: Part) -> Any:
        args = aligned(builder, part)
        starts = {(len(arg.shape), *arg.shape[:1]) for arg in args}
        # A layer takes examples, as many in each: it has no use for a number alone.
        is_misread = name == "add" and sums.is_misread(args[0].shape, args[1].shape)
        if any(is_constant(arg) for arg in args) or len(starts) != 1 or (0,) in starts or is_misread:
            return builder.ops(name, *args)
        return builder.layer(kind, args)

    return build


def aligned(builder: Builder, part: Part) -> list[Any]:
    """Operands that broadcast as in the file, whose batch of one is an axis of size 1 like any other.

    A free batch has to stand first in all of them, so that what has fewer axes is given all, ones behind the batch.
    A constant that a converter has filled with one number is that number.
    """
    args = [_single(part, arg) for arg in part.args]
    free = [slot for slot, arg in enumerate(args) if not is_constant(arg) and arg.shape and arg.shape[0] is None]
    rank = max((len(args[slot].shape) for slot in free), default=0)
    for slot in free if len(free) > 1 else ():
        shape = part.shape(slot)
        if len(shape) < rank:
            args[slot] = builder.reshaped(args[slot], shape, (*(1,) * (rank - len(shape)), *shape))
    return args


def _single(part: Part, arg: Any) -> Any:
    if not is_constant(arg) or arg.dtype.kind not in "fiu" or arg.size < 2 or (arg != arg.flat[0]).any():
        return arg
    others = [part.shape(slot) for slot, other in enumerate(part.args) if other is not arg]
    return arg.flat[0].reshape(()) if part.output_shape in others else arg


def is_constant(arg: Any) -> bool:
    """Whether an operand is an array, and no tensor of the model."""
    return type(arg).__module__ == "numpy"
