"""Differences that are none.

``SUB(x, NEG(y)) = ADD(x, y)``: a sum that has to be written as a difference (:mod:`tflrecover.ops.sums`).
``SUB(0, x) = NEG(x)``: of a fused batch norm whose offset the code gives as zeros, as inside a layer norm of tf_keras.
"""

from __future__ import annotations

from tflrecover.rewrite.draft import Draft, merged_origins
from tflrecover.rewrite.scalars import is_zeros


def subtract_negatives(draft: Draft) -> int:
    """What a negative is subtracted from, something is added to."""
    count = 0
    for op in draft.of_type("SUB"):
        negative = draft.producer(op.inputs[1])
        if negative is not None and negative.type == "NEG" and negative.id not in draft.opaque:
            origins = merged_origins(negative, op)
            draft.replace(op.evolve(type="ADD", inputs=(op.inputs[0], negative.inputs[0]), origins=origins))
            count += 1
    return count


def negate(draft: Draft) -> int:
    """What is subtracted from zeros is negated."""
    count = 0
    for op in draft.of_type("SUB"):
        zeros, x = draft.weight(op.inputs[0]), op.inputs[1]
        is_whole = x is not None and draft.shape(x) == draft.shape(op.outputs[0])
        if zeros is not None and is_whole and draft.weight(x) is None and is_zeros(draft, zeros):
            draft.mark_structural(zeros)
            draft.replace(op.evolve(type="NEG", inputs=(x,), attributes={}))
            count += 1
    return count
