"""``AVERAGE_POOL_2D(x, window = size of x) = MEAN(x, height and width)``: two ways to average a whole image."""

from __future__ import annotations

from tflrecover.ops.window import window_pads
from tflrecover.rewrite.draft import Draft


def pool_to_mean(draft: Draft) -> int:
    """An average pool with a single window over everything, without padding, becomes a MEAN."""
    count = 0
    for op in draft.of_type("AVERAGE_POOL_2D"):
        before, after = draft.shape(op.inputs[0]), draft.shape(op.outputs[0])
        if len(before) != 4 or len(after) != 4 or after[1:3] != (1, 1) or op.attributes["pool_size"] != before[1:3]:
            continue
        if any(any(pad) for pad in window_pads(before[1:3], op.attributes, "pool_size")):
            continue
        draft.replace(op.evolve(type="MEAN", attributes={"axis": (1, 2), "keepdims": True}))
        count += 1
    return count
