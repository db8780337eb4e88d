"""``SUB(x, NEG(y)) = ADD(x, y)``: a sum that has to be written as a difference (:mod:`tflrecover.ops.sums`)."""

from __future__ import annotations

from tflrecover.rewrite.draft import Draft, merged_origins


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
