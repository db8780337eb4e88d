"""``TRANSPOSE(AFFINE(x, s, o)) = AFFINE(TRANSPOSE(x), s, o)``, RESHAPE likewise, where each is one number.

A linear operator behind can have only what stands right before it in its weights.
"""

from __future__ import annotations

import math

from tflrecover import ops
from tflrecover.ir import Op
from tflrecover.rewrite.affine import pair_of
from tflrecover.rewrite.draft import Draft


def pass_moves(draft: Draft) -> int:
    """A scaling with one number for all stands behind what only moves numbers, for each that takes it there."""
    count = 0
    # What has passed one stands in front of the next.
    for op_id in [op.id for op in draft.ordered()] if draft.has("AFFINE") else ():
        move = draft.ops[op_id]
        scaling = draft.producer(move.inputs[0]) if move.type in ("TRANSPOSE", "RESHAPE") else None
        if scaling is None or scaling.type != "AFFINE" or {scaling.id, op_id} & draft.opaque:
            continue
        if any(weight is not None and math.prod(weight.shape) != 1 for weight in pair_of(draft, scaling)):
            continue
        moved = draft.new_value(draft.shape(move.outputs[0]), draft.values[scaling.outputs[0]].dtype)
        draft.replace(move.evolve(inputs=(scaling.inputs[0], *move.inputs[1:]), outputs=(moved,)))
        inputs = (moved, *scaling.inputs[1:])
        draft.add(scaling.evolve(id=f"{scaling.id} behind {op_id}", inputs=inputs, outputs=move.outputs))
        count += 1
    return count


def transpose_behind(draft: Draft, value: int) -> Op | None:
    """The TRANSPOSE that alone takes a value, once it stands before what lies between the two.

    Scalings with one number for all may do so, and reshapes that only add axes of size 1.
    """
    after = draft.only_consumer(value)
    if after is None or after.id in draft.opaque or after.type == "TRANSPOSE":
        return None if after is None or after.id in draft.opaque else after
    if not (_is_scaling(draft, after, value) or _adds_units(draft, after)):
        return None
    transpose = transpose_behind(draft, after.outputs[0])
    if transpose is None:
        return None
    outside, is_reshape = draft.shape(after.outputs[0]), after.type == "RESHAPE"
    kept = [axis for axis, n in enumerate(outside) if n != 1 or not is_reshape]
    perm = tuple(kept.index(axis) for axis in transpose.attributes["perm"] if axis in kept)
    made = draft.new_value(tuple(outside[kept[axis]] for axis in perm), draft.values[value].dtype)
    inputs = tuple(made if taken == value else taken for taken in after.inputs)
    attributes = {"target_shape": draft.shape(transpose.outputs[0])} if is_reshape else after.attributes
    draft.remove(after.id)
    moved = transpose.evolve(inputs=(value,), outputs=(made,), attributes={"perm": perm})
    draft.replace(moved)
    draft.add(after.evolve(inputs=inputs, outputs=transpose.outputs, attributes=attributes))
    return moved


def _is_scaling(draft: Draft, op: Op, value: int) -> bool:
    """Whether it gives every number of a value the same sum or product."""
    spec = ops.by_name(op.type)
    if spec is None or not (spec.is_elementwise or op.type == "AFFINE"):
        return False
    rest = [draft.weight(other) for other in op.inputs if other is not None and other != value]
    return draft.shape(op.outputs[0]) == draft.shape(value) and all(
        w is not None and math.prod(w.shape) == 1 for w in rest
    )


def _adds_units(draft: Draft, op: Op) -> bool:
    outside = draft.shape(op.outputs[0])
    return op.type == "RESHAPE" and draft.shape(op.inputs[0]) == tuple(n for n in outside if n != 1)
