"""``CONV_2D(DEPTHWISE_CONV_2D(x, d), 1x1 p, b) = SEPARABLE_CONV_2D(x, d, p, b)``, where nothing lies between."""

from __future__ import annotations

from tflrecover.ir import Op
from tflrecover.rewrite.draft import Draft, merged_origins
from tflrecover.rewrite.match import array


def fuse_separable(draft: Draft) -> int:
    """A depthwise convolution without a bias that a pointwise one alone takes becomes one layer with it."""
    count = 0
    for point in draft.of_type("CONV_2D"):
        depth = draft.producer(point.inputs[0])
        if depth is None or depth.type != "DEPTHWISE_CONV_2D" or depth.id in draft.opaque:
            continue
        if draft.only_consumer(depth.outputs[0]) is None or not _is_pointwise(point) or not _is_bare(draft, depth):
            continue
        attributes = {**depth.attributes, "filters": point.attributes["filters"]}
        if "activation" in point.attributes:
            attributes["activation"] = point.attributes["activation"]
        inputs = (*depth.inputs[:2], *point.inputs[1:])
        made = point.evolve(type="SEPARABLE_CONV_2D", inputs=inputs, attributes=attributes)
        draft.replace(made.evolve(origins=merged_origins(depth, point)))
        count += 1
    return count


def _is_bare(draft: Draft, depth: Op) -> bool:
    """Whether a depthwise convolution has no bias and no activation, and one stride, as Keras's layer."""
    strides, dilation = depth.attributes["strides"], depth.attributes["dilation_rate"]
    # Keras has one stride for all axes, and none beside a dilation.
    has_one_stride = len(set(strides)) == 1 and 1 in (max(strides), max(dilation))
    bias = array(draft, depth.inputs[2])
    has_none = bias is not None and not bias.any()
    return has_none and "activation" not in depth.attributes and has_one_stride


def _is_pointwise(point: Op) -> bool:
    a = point.attributes
    windows = (a["kernel_size"], a["strides"], a["dilation_rate"])
    is_unpadded = a["padding"] in ("same", "valid")
    return is_unpadded and a["groups"] == 1 and all(set(window) == {1} for window in windows)
