"""A depthwise convolution and what mixes its channels as one layer of Keras (:mod:`tflrecover.recovery.separable`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from tflrecover.ops.conv import keras_window, padded
from tflrecover.ops.spec import Builder, OpSpec, Part


def _keras(builder: Builder, part: Part) -> Any:
    a = part.attributes
    x, depthwise, pointwise, bias = part.args
    x, padding = padded(builder, x, a["padding"])
    arguments = {"filters": a["filters"], "kernel_size": a["kernel_size"], "padding": padding, **keras_window(a)}
    if a["depth_multiplier"] != 1:
        arguments["depth_multiplier"] = a["depth_multiplier"]
    if a.get("activation"):
        arguments["activation"] = a["activation"]
    weights = (depthwise, pointwise, bias) if np.any(bias) else (depthwise, pointwise)
    arguments |= {} if np.any(bias) else {"use_bias": False}
    return builder.layer(f"SeparableConv{len(a['kernel_size'])}D", x, weights=weights, **arguments)


SEPARABLE_CONV_2D = OpSpec(
    "SEPARABLE_CONV_2D",
    keras=_keras,
    roles=("input", "depthwise_kernel", "pointwise_kernel", "bias"),
    weights=frozenset({"depthwise_kernel", "pointwise_kernel", "bias"}),
    declared=("kernel_size", "strides", "dilation_rate", "padding", "depth_multiplier", "filters"),
)

SPECS = (SEPARABLE_CONV_2D,)
