"""``BATCH_TO_SPACE(CONV(SPACE_TO_BATCH(x, d, p)), d, c) = CONV(x, dilation d, padding p - c)``."""

from __future__ import annotations

from tflrecover.ir import Op
from tflrecover.ops.window import named_padding
from tflrecover.rewrite.draft import Draft, merged_origins


def fuse_dilation(draft: Draft) -> int:
    """A VALID convolution with stride 1 between blocks to batch and back becomes a dilated one."""
    count = 0
    for op in draft.of_type("BATCH_TO_SPACE_ND"):
        conv = draft.producer(op.inputs[0])
        before = draft.producer(conv.inputs[0]) if conv is not None and _is_plain(conv) else None
        if conv is None or before is None or before.type != "SPACE_TO_BATCH_ND" or before.id in draft.opaque:
            continue
        block = op.attributes["block_shape"]
        if block != before.attributes["block_shape"] or len(block) != len(conv.attributes["kernel_size"]):
            continue
        if draft.only_consumer(conv.outputs[0]) is None:
            continue
        pads = zip(before.attributes["paddings"], op.attributes["crops"], strict=True)
        padding = tuple((a - c, b - d) for (a, b), (c, d) in pads)
        attributes = {**conv.attributes, "dilation_rate": block, "padding": padding}
        # SAME was declared, but its numbers depend on the dilation and on the size.
        attributes["padding"] = named_padding(draft.shape(before.inputs[0])[1:-1], attributes)
        draft.remove(op.id)
        draft.replace(
            conv.evolve(
                inputs=(before.inputs[0], *conv.inputs[1:]),
                outputs=op.outputs,
                attributes=attributes,
                origins=merged_origins(conv, before, op),
            )
        )
        count += 1
    return count


def _is_plain(op: Op) -> bool:
    if op.type not in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        return False
    attributes = op.attributes
    return attributes["padding"] == "valid" and {*attributes["strides"], *attributes["dilation_rate"]} == {1}
