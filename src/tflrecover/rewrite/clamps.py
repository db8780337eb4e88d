"""``RELU(RELU(x)) = RELU(x)``, and the like: a clamp after another is the narrower one."""

from __future__ import annotations

from tflrecover.rewrite.draft import Draft, merged_origins

# (first, then) to what both are together.
_TOGETHER = {
    ("RELU", "RELU"): "RELU",
    ("RELU6", "RELU6"): "RELU6",
    ("RELU", "RELU6"): "RELU6",
    ("RELU6", "RELU"): "RELU6",
}


def merge_clamps(draft: Draft) -> int:
    """Two clamps in a row become one."""
    count = 0
    for op_id in [op.id for op in draft.ordered() if op.type in ("RELU", "RELU6")]:
        op = draft.ops[op_id]
        before = draft.producer(op.inputs[0])
        together = _TOGETHER.get((str(before.type), str(op.type))) if before is not None else None
        if before is not None and together is not None:
            # The first stays when somebody else takes its result too; pruning removes it otherwise.
            origins = merged_origins(op, before)
            draft.replace(op.evolve(type=together, inputs=before.inputs, origins=origins))
            count += 1
    return count
