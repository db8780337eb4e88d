"""One element of what was put together, turned round or has no other element.

STRIDED_SLICE(PACK(a, b, c), 1) = b
STRIDED_SLICE(REVERSE_V2(x), i) = STRIDED_SLICE(x, n - 1 - i)
STRIDED_SLICE(x, 0) = RESHAPE(x)                                  along an axis of size 1
"""

from __future__ import annotations

from tflrecover.ir import Op
from tflrecover.rewrite.draft import Draft, merged_origins

_WHOLE = (None, None, 1)


def take_apart(draft: Draft) -> int:
    """Simplifies every slice that takes one element along one axis."""
    count = 0
    for op_id in [op.id for op in draft.ordered() if op.type == "STRIDED_SLICE" and op.id not in draft.opaque]:
        place = _place(draft.ops[op_id])
        if place is not None:
            count += _reversed(draft, draft.ops[op_id], place)
            count += _element(draft, draft.ops[op_id])
    return count


def _place(op: Op) -> tuple[int, int] | None:
    """``(axis, index)`` of a slice that takes one element along one axis and all of the others."""
    *before, last = op.attributes["slices"] or (None,)
    if not isinstance(last, int) or any(place != _WHOLE for place in before):
        return None
    return len(before), last


def _reversed(draft: Draft, op: Op, place: tuple[int, int]) -> int:
    axis, index = place
    before = draft.producer(op.inputs[0])
    if (
        before is None
        or before.type != "REVERSE_V2"
        or before.id in draft.opaque
        or before.attributes["axis"] != (axis,)
    ):
        return 0
    slices = (*[_WHOLE] * axis, draft.shape(before.inputs[0])[axis] - 1 - index)
    origins = merged_origins(op, before)
    draft.replace(op.evolve(inputs=before.inputs, attributes={"slices": slices}, origins=origins))
    return 1


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
