"""``(x + b) + C = x + (C + b)``: an offset per channel goes into a constant of other axes that is added behind it.

A converter leaves a dense layer or a convolution no bias where positions are added to its result: it adds both as one.
"""

from __future__ import annotations

import numpy as np

from tflrecover.ir import Op
from tflrecover.ops.conv import is_no_bias, no_bias
from tflrecover.ops.elementwise import ADD
from tflrecover.rewrite.affine import LINEAR, pair_of
from tflrecover.rewrite.common import lone_constant
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.scalars import is_zeros
from tflrecover.weight import Weight


def shift_constants(draft: Draft) -> int:
    """The bias of a linear operator, or the offset of an AFFINE, goes into the constant that alone is added to it."""
    count = 0
    for op in draft.of_type("ADD"):
        found = lone_constant(draft, op)
        if found is None:
            continue
        slot, constant = found
        x = op.inputs[1 - slot]
        before = draft.producer(x)
        if x is None or before is None or before.id in draft.opaque or draft.only_consumer(x) is None:
            continue
        offset = _offset(draft, before)
        if offset is None:
            continue
        shape = np.broadcast_shapes(constant.shape, offset.shape)
        if shape != constant.shape and is_zeros(draft, offset):
            # A file always has a bias: where its network had none, the constant keeps its own axes.
            continue
        both = draft.constant(ADD(constant, offset, shape=shape))
        x = _without_offset(draft, before, offset)
        draft.replace(op.evolve(inputs=(both, x) if slot == 0 else (x, both)))
        count += 1
    return count


def _offset(draft: Draft, op: Op) -> Weight | None:
    """What an operator adds per channel; None where it adds nothing."""
    if op.type == "AFFINE":
        return pair_of(draft, op)[1]
    bias = draft.weight(op.inputs[2]) if op.type in LINEAR else None
    return None if is_no_bias(bias) else bias


def _without_offset(draft: Draft, op: Op, offset: Weight) -> int | None:
    """What is left of an operator that adds per channel: its result, or its operand where it does nothing else."""
    if op.type != "AFFINE":
        draft.replace(op.evolve(inputs=(*op.inputs[:2], draft.constant(no_bias(offset.shape[-1])))))
    elif op.inputs[1] is None:
        return draft.remove(op.id).inputs[0]
    else:
        draft.replace(op.evolve(inputs=(*op.inputs[:2], None)))
    return op.outputs[0]
