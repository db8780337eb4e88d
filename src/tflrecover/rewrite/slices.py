"""One element of what was put together, turned round or has no other element.

STRIDED_SLICE(PACK(a, b, c), 1) = b
STRIDED_SLICE(TRANSPOSE(x), i) = STRIDED_SLICE(x, i)              when the axes that stay keep their order
                                                                  likewise through a RESHAPE that moves ones
STRIDED_SLICE(REVERSE_V2(x), i) = STRIDED_SLICE(x, n - 1 - i)
STRIDED_SLICE(x, 0) = RESHAPE(x)                                  along an axis of size 1
STRIDED_SLICE(x, new, 0) = RESHAPE(STRIDED_SLICE(x, 0))           new axes are made behind it
"""

from __future__ import annotations

from tflrecover.ir import Op
from tflrecover.ops.shape import only_moves_units
from tflrecover.ops.slicing import WHOLE
from tflrecover.rewrite.draft import Draft, merged_origins
from tflrecover.rewrite.writer import Writer


def take_apart(draft: Draft) -> int:
    """Simplifies every slice that takes one element along one axis."""
    count = sum(_without_new_axes(draft, op) for op in draft.of_type("STRIDED_SLICE"))
    for op_id in [op.id for op in draft.ordered("STRIDED_SLICE") if op.id not in draft.opaque]:
        while any(rule(draft, draft.ops[op_id]) for rule in _THROUGH):
            count += 1
        count += _element(draft, draft.ops[op_id])
    return count


def _without_new_axes(draft: Draft, op: Op) -> bool:
    places = op.attributes["slices"]
    if "new" not in places:
        return False
    writer = Writer(draft, op)
    slices = tuple(place for place in places if place != "new")
    made = writer.add("STRIDED_SLICE", op.inputs, slices=slices) if slices else op.inputs[0]
    writer.finish(writer.reshaped(made, draft.shape(op.outputs[0])))
    return True


def _place(op: Op) -> tuple[int, int] | None:
    """``(axis, index)`` of a slice that takes one element along one axis and all of the others."""
    *before, last = op.attributes["slices"] or (None,)
    if not isinstance(last, int) or any(place != WHOLE for place in before):
        return None
    return len(before), last


def _transposed(draft: Draft, op: Op) -> bool:
    place, before = _place(op), draft.producer(op.inputs[0])
    if place is None or before is None or before.type != "TRANSPOSE" or before.id in draft.opaque:
        return False
    axis, index = place
    perm = before.attributes["perm"]
    staying = [a for i, a in enumerate(perm) if i != axis]
    if staying != sorted(staying):
        return False
    _take_from(draft, op, before, perm[axis], index)
    return True


def _reshaped(draft: Draft, op: Op) -> bool:
    """Through a RESHAPE that only moves axes of size 1."""
    place, before = _place(op), draft.producer(op.inputs[0])
    if place is None or before is None or before.type != "RESHAPE" or before.id in draft.opaque:
        return False
    inside, outside = draft.shape(before.inputs[0]), draft.shape(before.outputs[0])
    axes, moved = ([i for i, n in enumerate(shape) if n != 1] for shape in (inside, outside))
    if place[0] not in moved or not only_moves_units(inside, outside):
        return False
    axis = axes[moved.index(place[0])]
    shape, result = tuple(n for i, n in enumerate(inside) if i != axis), draft.shape(op.outputs[0])
    if shape != result:
        whole = draft.new_value(shape, draft.values[op.outputs[0]].dtype)
        draft.replace(op.evolve(outputs=(whole,)))
        back = op.evolve(id=f"{op.id}.{whole}", type="RESHAPE", attributes={"target_shape": result})
        draft.add(back.evolve(inputs=(whole,), outputs=op.outputs))
    _take_from(draft, draft.ops[op.id], before, axis, place[1])
    return True


def _reversed(draft: Draft, op: Op) -> bool:
    place, before = _place(op), draft.producer(op.inputs[0])
    if place is None or before is None or before.type != "REVERSE_V2":
        return False
    axis, index = place
    if before.attributes.get("axis") != (axis,):
        return False
    _take_from(draft, op, before, axis, draft.shape(before.inputs[0])[axis] - 1 - index)
    return True


def _take_from(draft: Draft, op: Op, before: Op, axis: int, index: int) -> None:
    """Takes the element from the operand of the operator before instead."""
    attributes = {"slices": (*[WHOLE] * axis, index)}
    draft.replace(op.evolve(inputs=before.inputs[:1], attributes=attributes, origins=merged_origins(op, before)))


_THROUGH = (_transposed, _reshaped, _reversed)


def _element(draft: Draft, op: Op) -> int:
    place = _place(op)
    before, shape = draft.producer(op.inputs[0]), draft.shape(op.inputs[0])
    if place is None or len(shape) <= place[0]:
        return 0
    if before is not None and before.type == "PACK" and before.attributes.get("axis") == place[0]:
        element = before.inputs[place[1]]
        if element is not None:
            draft.remove(op.id)
            draft.redirect(op.outputs[0], element)
            return 1
    if shape[place[0]] != 1:
        return 0
    draft.replace(op.evolve(type="RESHAPE", attributes={"target_shape": draft.shape(op.outputs[0])}))
    return 1
