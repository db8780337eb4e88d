"""``CONV(PAD(x, p), padding=q) = CONV(x, padding=p + q)`` when PAD writes zeros around height and width."""

from __future__ import annotations

from tflrecover.ir import Op
from tflrecover.ops.window import window_pads
from tflrecover.rewrite.draft import Draft, merged_origins

# A pool does not see its own padding as data, so a PAD before it is another thing.
_PADDED_WITH_ZEROS = ("CONV_2D", "DEPTHWISE_CONV_2D")


def absorb_pads(draft: Draft) -> int:
    """A zero PAD of height and width before a convolution becomes the convolution's own padding.

    Every convolution that takes the PAD absorbs it for itself; the PAD goes when nobody else takes it.
    """
    count = 0
    for op in draft.of_type(*_PADDED_WITH_ZEROS):
        pad = draft.producer(op.inputs[0])
        if pad is None or not _is_spatial_zero_pad(pad):
            continue
        shape = draft.shape(op.inputs[0])
        own = window_pads(shape[1:-1], op.attributes)
        outer = pad.attributes["padding"][1:-1]
        total = tuple((a + c, b + d) for (a, b), (c, d) in zip(outer, own, strict=True))
        draft.replace(
            op.evolve(
                inputs=(pad.inputs[0], *op.inputs[1:]),
                attributes={**op.attributes, "padding": total},
                origins=merged_origins(op, pad),
                attribute_origins={**op.attribute_origins, "padding": pad.origins[0]},
            )
        )
        count += 1
    return count


def _is_spatial_zero_pad(op: Op) -> bool:
    if op.type != "PAD" or op.attributes["value"] != 0.0:
        return False
    padding = op.attributes["padding"]
    return len(padding) >= 3 and padding[0] == padding[-1] == (0, 0)
