"""``RESHAPE(RESHAPE(x, a), b) = RESHAPE(x, b)`` and ``RESHAPE(x, shape of x) = x``."""

from __future__ import annotations

from tflrecover.rewrite.draft import Draft, merged_origins


def merge_reshapes(draft: Draft) -> int:
    """``RESHAPE(RESHAPE(x, a), b)`` becomes ``RESHAPE(x, b)``; a reshape that changes nothing goes."""
    count = 0
    for op in draft.of_type("RESHAPE"):
        before = draft.producer(op.inputs[0])
        if before is not None and before.type == "RESHAPE":
            # The first reshape stays when somebody else takes its result too; pruning removes it otherwise.
            op = op.evolve(inputs=before.inputs, origins=merged_origins(op, before))
            draft.replace(op)
            count += 1
        value = op.inputs[0]
        if value is not None and draft.shape(value) == draft.shape(op.outputs[0]) != ():
            draft.remove(op.id)
            draft.redirect(op.outputs[0], value)
            count += 1
    return count
