"""Constants that mean nothing, or that stand in another place: ``x · 1 = x``, ``a · (b · s) = (a · b) · s``.

AFFINE(x, 1, 0) = x                   (numbers of the model's code only: a file's own ones may be a batch norm)
MUL(a, AFFINE(b, s, 0)) = AFFINE(MUL(a, b), s, 0)     for one number s; of EINSUM likewise, and through reshapes
AFFINE(EINSUM(a, b), s, 0) = EINSUM(AFFINE(a, s, 0), b)     likewise, where one side has s in the weights that make a
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence

from tflrecover.ir import Op
from tflrecover.rewrite.draft import Draft, OpId, merged_origins
from tflrecover.weight import Array, Literal, Weight, evaluate


def scalar(draft: Draft, value: int | None, neutral: float) -> float | None:
    """A constant operand as one number; ``neutral`` when it is left out; None when it is not one known real number."""
    weight = draft.weight(value)
    if value is None:
        return neutral
    known = None if weight is None else known_array(draft, weight)
    if known is None or known.size != 1 or known.dtype.kind in "cOSU":
        return None
    return float(known.reshape(-1)[0])


def known_array(draft: Draft, weight: Weight) -> Array | None:
    """Contents of a constant where they are known: on the file's side always, on Keras's if no variable is in it."""
    if all(leaf.key in draft.env for leaf in weight.leaves):
        return evaluate(weight, draft.env)
    return None


def is_zeros(draft: Draft, weight: Weight) -> bool:
    """Whether a constant is known to be zeros."""
    array = known_array(draft, weight)
    return array is not None and not array.any()


def _is_all(weight: Weight | None, number: float) -> bool:
    return weight is None or (isinstance(weight, Literal) and bool((weight.array == number).all()))


def drop_neutral(draft: Draft) -> int:
    """``AFFINE(x, 1, 0)`` becomes ``x``."""
    count = 0
    for op in draft.of_type("AFFINE"):
        if (
            _is_all(draft.weight(op.inputs[1]), 1)
            and _is_all(draft.weight(op.inputs[2]), 0)
            and op.inputs[0] is not None
        ):
            draft.remove(op.id)
            draft.redirect(op.outputs[0], op.inputs[0])
            count += 1
    return count


def hoist_scales(draft: Draft) -> int:
    """A factor of one number inside a product comes out behind it; it stays where it was for others that take it."""
    return sum(_hoist(draft, op_id) for op_id in [op.id for op in draft.ordered("MUL")])


def scale_products(draft: Draft) -> int:
    """The same through reshapes and transposes, and of matrix products, too."""
    listed = [op.id for op in draft.ordered("EINSUM", "MUL") if op.id not in draft.opaque]
    return sum(_hoist(draft, op_id, "RESHAPE", "TRANSPOSE") for op_id in listed)


def _hoist(draft: Draft, op_id: OpId, *layouts: str) -> int:
    count = 0
    while (found := _scaled_operand(draft, draft.ops[op_id], layouts)) is not None:
        slot, inner, between = found
        op, x = draft.ops[op_id], inner.inputs[0]
        for layout in between:
            moved = draft.new_value(draft.shape(layout.outputs[0]), draft.values[layout.outputs[0]].dtype)
            draft.add(layout.evolve(id=f"{layout.id} for {moved}", inputs=(x,), outputs=(moved,)))
            x = moved
        product = draft.new_value(draft.shape(op.outputs[0]), draft.values[op.outputs[0]].dtype)
        inputs = tuple(x if i == slot else value for i, value in enumerate(op.inputs))
        draft.replace(op.evolve(inputs=inputs, outputs=(product,)))
        made, outer = f"{inner.id} behind {product}", (product, *inner.inputs[1:])
        draft.add(inner.evolve(id=made, inputs=outer, outputs=op.outputs, origins=merged_origins(inner, op)))
        count += 1
    return count


def scale_operands(draft: Draft) -> int:
    """A factor of one number behind a matrix product goes before it, to the first operand that a linear layer makes.

    Frameworks scale the scores of attention or its queries, and a converter takes the latter into the projection.
    """
    count = 0
    for op in draft.of_type("AFFINE"):
        product = draft.producer(op.inputs[0])
        is_alone = product is not None and draft.only_consumer(product.outputs[0]) is not None
        if product is None or product.type != "EINSUM" or not is_alone or not _is_number(draft, op):
            continue
        slot = next((slot for slot, value in enumerate(product.inputs) if _is_projected(draft, value)), None)
        if slot is None:
            continue
        value = product.inputs[slot]
        scaled = draft.new_value(draft.shape(value), draft.values[op.outputs[0]].dtype)
        inputs = tuple(scaled if i == slot else other for i, other in enumerate(product.inputs))
        draft.remove(op.id)
        draft.replace(product.evolve(inputs=inputs, outputs=op.outputs))
        draft.add(op.evolve(inputs=(value, *op.inputs[1:]), outputs=(scaled,)))
        count += 1
    return count


def _is_projected(draft: Draft, value: int | None) -> bool:
    """Whether a linear layer makes a value for this use alone, but for reshapes and scalings."""
    while value is not None and (op := draft.producer(value)) is not None:
        if draft.only_consumer(value) is None:
            return False
        if op.type in ("FULLY_CONNECTED", "CONV_2D"):
            return True
        if op.type not in ("RESHAPE", "TRANSPOSE", "AFFINE"):
            return False
        value = op.inputs[0]
    return False


def _is_number(draft: Draft, op: Op) -> bool:
    """Whether an AFFINE only multiplies, by one number."""
    weight = draft.weight(op.inputs[1])
    return op.inputs[2] is None and weight is not None and all(n == 1 for n in weight.shape)


def _scaled_operand(draft: Draft, op: Op, layouts: Collection[str]) -> tuple[int, Op, Sequence[Op]] | None:
    """Slot and AFFINE of an operand that is only multiplied by one number, and what of ``layouts`` lies between."""
    for slot, value in enumerate(op.inputs):
        between: deque[Op] = deque()
        while (inner := draft.producer(value)) is not None and inner.type in layouts:
            between.appendleft(inner)
            value = inner.inputs[0]
        if inner is not None and inner.type == "AFFINE" and _is_number(draft, inner):
            return slot, inner, between
    return None
