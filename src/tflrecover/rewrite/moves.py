"""``TRANSPOSE(AFFINE(x, s, o)) = AFFINE(TRANSPOSE(x), s, o)``, RESHAPE likewise, where each is one number.

A linear operator behind can have only what stands right before it in its weights.
"""

from __future__ import annotations

import math

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
