"""``(x + b) + C = x + (C + b)``: an offset per channel goes into a constant of other axes that is added behind it.

A converter leaves a dense layer or a convolution no bias where positions are added to its result: it adds both as one.
"""

from __future__ import annotations

import numpy as np

from tflrecover.ir import Op
from tflrecover.ops.conv import no_bias
from tflrecover.ops.elementwise import ADD
from tflrecover.rewrite.affine import LINEAR, pair_of
from tflrecover.rewrite.draft import Draft
from tflrecover.weight import Literal, Weight


def shift_constants(draft: Draft) -> int:
    """The bias of a linear operator, or the offset of an AFFINE, goes into the constant that alone is added to it."""
    count = 0
    for op in draft.of_type("ADD"):
        weights = [draft.weight(value) for value in op.inputs]
        if len(weights) != 2 or (weights[0] is None) == (weights[1] is None):
            continue
        slot = 0 if weights[0] is not None else 1
        constant, x = weights[slot], op.inputs[1 - slot]
        before = draft.producer(x)
        if constant is None or x is None or before is None or draft.only_consumer(x) is None:
            continue
        offset = _offset(draft, before)
        if offset is None or before.id in draft.opaque:
            continue
        shape = np.broadcast_shapes(constant.shape, offset.shape)
        inputs = [
            value if i != slot else draft.constant(ADD(constant, offset, shape=shape))
            for i, value in enumerate(op.inputs)
        ]
        draft.replace(before.evolve(inputs=(*before.inputs[:2], _none(draft, before, offset))))
        draft.replace(op.evolve(inputs=tuple(inputs)))
        count += 1
    return count


def _offset(draft: Draft, op: Op) -> Weight | None:
    """What an operator adds per channel; None where it adds nothing."""
    if op.type == "AFFINE":
        return pair_of(draft, op)[1]
    bias = draft.weight(op.inputs[2]) if op.type in LINEAR else None
    return None if isinstance(bias, Literal) and not bias.array.any() else bias


def _none(draft: Draft, op: Op, offset: Weight) -> int | None:
    return None if op.type == "AFFINE" else draft.constant(no_bias(offset.shape[-1]))
