"""``ADD(ADD(x, a), b) = ADD(x, a + b)`` for constants, as a table of relative positions and a mask.

Where both sides keep the two, they stay: each then tells one weight.
"""

from __future__ import annotations

from tflrecover.ops.elementwise import ADD
from tflrecover.rewrite.common import lone_constant
from tflrecover.rewrite.draft import Draft, merged_origins


def merge_sums(draft: Draft) -> int:
    """A constant that is added to a sum with a constant is added to that one."""
    count = 0
    for op_id in [op.id for op in draft.ordered("ADD")]:
        op = draft.ops[op_id]
        slot, weight = lone_constant(draft, op) or (0, None)
        before = draft.producer(op.inputs[1 - slot])
        if weight is None or before is None or before.type != "ADD" or before.id in draft.opaque:
            continue
        inner, first = lone_constant(draft, before) or (0, None)
        if first is None:
            continue
        inputs = (before.inputs[1 - inner], draft.constant(ADD(first, weight)))
        draft.replace(op.evolve(inputs=inputs, origins=merged_origins(before, op)))
        count += 1
    return count
