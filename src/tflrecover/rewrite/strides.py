"""``STRIDED_SLICE(CONV(x), every second) = CONV(x)`` with a stride: Keras has no strides beside a dilation."""

from __future__ import annotations

from dataclasses import replace

from tflrecover.ir import Op
from tflrecover.ops.slicing import WHOLE
from tflrecover.ops.window import window_pads
from tflrecover.rewrite.draft import Draft, merged_origins

_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
# What works number by number, so that it does not matter which numbers were left out before.
_PASSED = ("AFFINE", "RELU", "RELU6", "LOGISTIC", "TANH", "ELU", "SELU", "HARD_SWISH")


def fuse_strides(draft: Draft) -> int:
    """A slice that leaves out places of a convolution without strides is the convolution's strides."""
    count = 0
    for part in draft.of_type("STRIDED_SLICE"):
        x = part.inputs[0]
        strides = _strides(part, len(draft.shape(x)))
        between: list[Op] = []
        op = draft.producer(x)
        while op is not None and op.type in _PASSED and draft.only_consumer(op.outputs[0]) is not None:
            between.append(op)
            op = draft.producer(op.inputs[0])
        if x is None or strides is None or op is None or op.type not in _CONVOLUTIONS or op.id in draft.opaque:
            continue
        if draft.only_consumer(op.outputs[0]) is None or set(op.attributes["strides"]) != {1}:
            continue
        padding = window_pads(draft.shape(op.inputs[0])[1:-1], op.attributes)
        attributes = {**op.attributes, "padding": padding, "strides": strides}
        draft.remove(part.id)
        draft.replace(op.evolve(attributes=attributes, origins=merged_origins(op, part)))
        draft.redirect(part.outputs[0], x)
        for made in (op, *between):
            value = draft.values[made.outputs[0]]
            draft.values[made.outputs[0]] = replace(value, shape=draft.shape(part.outputs[0]))
        count += 1
    return count


def _strides(part: Op, rank: int) -> tuple[int, ...] | None:
    """Steps along height and width of a slice that leaves nothing else out."""
    slices = (*part.attributes["slices"], *[WHOLE] * (rank - len(part.attributes["slices"])))
    if rank != 4 or slices[0] != WHOLE or slices[3] != WHOLE:
        return None
    steps = [place[2] if isinstance(place, tuple) and place[:2] == WHOLE[:2] else 0 for place in slices[1:3]]
    return tuple(steps) if min(steps) > 0 else None
