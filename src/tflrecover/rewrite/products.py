"""A product of an activation and a constant is a dense layer, whatever its axes: the way converters write it.

EINSUM(x, w) = TRANSPOSE(RESHAPE(FULLY_CONNECTED(RESHAPE(TRANSPOSE(x)), w')))
EINSUM(x, w) = TRANSPOSE(RESHAPE(BATCH_MATMUL(RESHAPE(TRANSPOSE(x)), w')))      where they share an axis that stays
EINSUM(x, w) = TRANSPOSE(MUL(x, RESHAPE(TRANSPOSE(w))))      where nothing is summed and nothing new
BATCH_MATMUL(w, x) = TRANSPOSE(BATCH_MATMUL(TRANSPOSE(x), wᵀ))      the constant is the second operand
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tflrecover.ir import Op, Shape
from tflrecover.ops.conv import no_bias
from tflrecover.ops.einsum import batched, sides
from tflrecover.ops.shape import TRANSPOSE, shaped
from tflrecover.rewrite.draft import Draft
from tflrecover.weight import Weight


def split_products(draft: Draft) -> int:
    """A product of an activation and a constant becomes a dense layer (a batched product where they share axes)."""
    count = 0
    for op in draft.of_type("BATCH_MATMUL"):
        if op.id not in draft.opaque and _has_constant(draft, op):
            count += _split(draft, op, batched(op.attributes, *(draft.shape(value) for value in op.inputs)))
    for op in draft.of_type("EINSUM"):
        if op.id not in draft.opaque and _has_constant(draft, op):
            count += _split(draft, op, sides(op.attributes["equation"]))
    return count


def _has_constant(draft: Draft, op: Op) -> bool:
    """Of two constants (learned queries, and the kernel that projects them) the first is what the layer is given."""
    return len(op.inputs) == 2 and any(draft.weight(value) is not None for value in op.inputs)


@dataclass(frozen=True, slots=True)
class _Axes:
    """The axes of a product by what becomes of them: shared, of the activation, summed, of the constant."""

    shared: str
    kept: str
    summed: str
    new: str

    @staticmethod
    def of(x: str, w: str, out: str) -> _Axes | None:
        """None where an axis is summed on one side alone, or is there twice."""
        if any(len(set(axes)) != len(axes) for axes in (x, w, out)) or not set(out) <= set(x + w):
            return None
        shared = "".join(axis for axis in x if axis in w and axis in out)
        summed = "".join(axis for axis in x if axis in w and axis not in out)
        kept, new = ("".join(axis for axis in mine if axis not in other) for mine, other in ((x, w), (w, x)))
        return _Axes(shared, kept, summed, new) if set(kept + new) <= set(out) else None


def _split(draft: Draft, op: Op, equation: tuple[str, str, str]) -> int:
    x, w, out = equation
    slot = 0 if draft.weight(op.inputs[1]) is not None else 1
    if slot == 1:
        x, w = w, x
    value, constant = op.inputs[slot], draft.weight(op.inputs[1 - slot])
    axes = _Axes.of(x, w, out)
    if axes is None or constant is None:
        return 0
    sizes = dict(zip(w, constant.shape, strict=True)) | dict(zip(x, draft.shape(value), strict=True))
    if any(sizes[axis] != n for axis, n in zip(w, constant.shape, strict=True)):
        return 0

    def shape(names: str) -> Shape:
        return tuple(sizes[axis] for axis in names)

    def total(names: str) -> Shape:
        return (math.prod(shape(names)),)

    chain = _Chain(draft, op, value)
    if axes.shared and total(axes.summed + axes.new) == (1,):
        # Nothing is summed, nothing is new: each number of the constant is a factor.
        stay = "".join(axis for axis in x if axis not in axes.summed)
        chain.reshape(shape(stay))
        along = "".join(axis for axis in stay if axis in w) + axes.summed + axes.new
        factor = _ordered(constant, tuple(w.index(axis) for axis in along))
        chain.then("MUL", shape(stay), {}, shaped(factor, tuple(sizes[axis] if axis in w else 1 for axis in stay)))
        chain.reshape(shape(stay + axes.new))
        chain.transpose(stay + axes.new, out)
        chain.end()
        return 1
    if op.type == "BATCH_MATMUL" and axes.shared and slot == 0 and not any(op.attributes.values()):
        return 0

    kept = total(axes.kept) if axes.shared else shape(axes.kept)
    chain.transpose(x, axes.shared + axes.kept + axes.summed)
    chain.reshape((*shape(axes.shared), *kept, *total(axes.summed)))
    order = axes.shared + axes.summed + axes.new
    kernel = _ordered(constant, tuple(w.index(axis) for axis in order))
    kernel = shaped(kernel, (*shape(axes.shared), *total(axes.summed), *total(axes.new)))
    made = (*shape(axes.shared), *kept, *total(axes.new))
    if axes.shared:
        chain.then("BATCH_MATMUL", made, {"adj_x": False, "adj_y": False}, kernel)
    else:
        chain.then("FULLY_CONNECTED", made, {"units": kernel.shape[-1]}, kernel, no_bias(kernel.shape[-1]))
    chain.reshape(shape(axes.shared + axes.kept + axes.new))
    chain.transpose(axes.shared + axes.kept + axes.new, out)
    chain.end()
    return 1


def _ordered(weight: Weight, perm: tuple[int, ...]) -> Weight:
    return weight if perm == tuple(range(len(perm))) else TRANSPOSE(weight, perm=perm)


class _Chain:
    """Operators in a row that take the place of one."""

    def __init__(self, draft: Draft, op: Op, value: int | None) -> None:
        self._draft = draft
        self._op = op
        self._value = value
        self._made: list[Op] = []

    def then(self, kind: str, shape: Shape, attributes: dict[str, object], *weights: Weight) -> None:
        """One more operator on the value so far."""
        result = self._draft.new_value(shape, self._draft.values[self._op.outputs[0]].dtype)
        inputs = (self._value, *(self._draft.constant(weight) for weight in weights))
        name = f"{self._op.id}.{len(self._made)}"
        self._made.append(Op(name, kind, inputs, (result,), attributes, self._op.layer, self._op.origins))
        self._value = result

    def transpose(self, given: str, wanted: str) -> None:
        """The axes in another order."""
        if given != wanted:
            perm = tuple(given.index(axis) for axis in wanted)
            before = self._draft.shape(self._value)
            self.then("TRANSPOSE", tuple(before[axis] for axis in perm), {"perm": perm})

    def reshape(self, shape: Shape) -> None:
        """The same numbers in another shape."""
        if shape != self._draft.shape(self._value):
            self.then("RESHAPE", shape, {"target_shape": shape})

    def end(self) -> None:
        """The last one makes what the operator made."""
        self._draft.remove(self._op.id)
        for made in self._made[:-1]:
            self._draft.add(made)
        self._draft.add(self._made[-1].evolve(outputs=self._op.outputs))
