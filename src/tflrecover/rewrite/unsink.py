"""``RESHAPE(f(x, c)) = f(RESHAPE(x), c')`` where the RESHAPE moves axes of size 1, and makes that of ``c`` the last.

A transpose of one example is a RESHAPE to a converter, and stands where it did. One that is free passes a bias first.

``TRANSPOSE(AFFINE(x, s, o)) = AFFINE(TRANSPOSE(x), s, o)`` if each is one number for all, RESHAPE likewise: a linear
operator behind can have only what stands right before it in its weights.
"""

from __future__ import annotations

import math

from tflrecover import ops
from tflrecover.ir import Op
from tflrecover.ops.shape import RESHAPE, only_moves_units
from tflrecover.rewrite.affine import pair_of
from tflrecover.rewrite.draft import Draft, merged_origins


def unsink_scalings(draft: Draft) -> int:
    """A scaling along an axis that a RESHAPE makes the last one stands behind it, for whoever takes it there."""
    count = 0
    for reshape in draft.of_type("RESHAPE"):
        op = draft.producer(reshape.inputs[0])
        if op is not None and op.id not in draft.opaque and _becomes_one_per_channel(draft, op, reshape):
            _unsink(draft, op, reshape)
            count += 1
    return count


def _becomes_one_per_channel(draft: Draft, op: Op, reshape: Op) -> bool:
    spec = ops.by_name(op.type)
    inside, outside = draft.shape(op.outputs[0]), draft.shape(reshape.outputs[0])
    if spec is None or not spec.is_elementwise or len(op.inputs) != 2 or not inside or not outside:
        return False
    weights = [draft.weight(value) for value in op.inputs]
    values = [value for value, weight in zip(op.inputs, weights, strict=True) if weight is None]
    constants = [weight for weight in weights if weight is not None]
    if len(values) != 1 or len(constants) != 1 or draft.shape(values[0]) != inside:
        return False
    wide = [(axis - len(constants[0].shape), n) for axis, n in enumerate(constants[0].shape) if n != 1]
    is_last = len(wide) == 1 and wide[0][0] != -1 and all(n == 1 for n in inside[wide[0][0] + 1 :])
    return is_last and only_moves_units(inside, outside) and outside[-1] == wide[0][1]


def _unsink(draft: Draft, op: Op, reshape: Op) -> None:
    shape = draft.shape(reshape.outputs[0])
    inputs: list[int | None] = []
    for value in op.inputs:
        weight = draft.weight(value)
        if weight is not None:
            inputs.append(draft.constant(RESHAPE(weight, shape=shape[-1:], target_shape=shape[-1:])))
        else:
            moved = draft.new_value(shape, draft.values[op.outputs[0]].dtype)
            draft.replace(reshape.evolve(inputs=(value,), outputs=(moved,)))
            inputs.append(moved)
    origins = merged_origins(op)
    draft.add(
        op.evolve(id=f"{op.id} behind {reshape.id}", inputs=tuple(inputs), outputs=reshape.outputs, origins=origins)
    )


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
