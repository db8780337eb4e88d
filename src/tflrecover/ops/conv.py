"""Convolutions. Canonical kernels have Keras's layout; a bias is always there (zeros when the model has none)."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops import computed
from tflrecover.ops.layout import rearrange
from tflrecover.ops.readers import activation, operand
from tflrecover.ops.shape import RESHAPE
from tflrecover.ops.spec import Attributes, Builder, Lowered, Operand, OpSpec, Part, Source, Unsupported
from tflrecover.ops.window import (
    channels_last,
    is_channels_first,
    lowered_window,
    pair,
    tf_window,
    window_output,
    window_pads,
)
from tflrecover.weight import Literal, Weight

CONV_LAYOUT = "o h w i -> h w i o"
DEPTHWISE_LAYOUT = "1 h w (c m) -> h w c m"
TRANSPOSE_LAYOUT = "o h w i -> h w o i"
WINDOW = ("kernel_size", "strides", "dilation_rate", "padding")


def no_bias(size: int) -> Literal:
    """The bias of a layer that has none."""
    return Literal.of(np.zeros(size, np.float32))


def is_no_bias(weight: Weight | None) -> bool:
    """Whether a bias is that of a layer that has none."""
    return isinstance(weight, Literal) and not weight.array.any()


def bias_of(given: Operand, size: int) -> Operand:
    """A bias along its one axis, zeros where there is none: a converter leaves it the axes of a sum that it was."""
    if given is None:
        return no_bias(size)
    if isinstance(given, int) or len(given.shape) < 2 or math.prod(given.shape) != size:
        return given
    return RESHAPE(given, shape=(size,), target_shape=(size,))


def tflite_window(attributes: Attributes) -> dict[str, Any]:
    """``strides``, ``dilation_rate``, ``padding`` from TFLite's options."""
    padding = attributes["padding"]
    return {
        "strides": pair(attributes, "stride_{}"),
        "dilation_rate": pair(attributes, "dilation_{}_factor") if "dilation_h_factor" in attributes else (1, 1),
        "padding": padding.lower() if isinstance(padding, str) else padding,
    }


def ordered(source: Source, lowered: Lowered) -> Lowered:
    """Notes where a TensorFlow operator has its channels."""
    return replace(lowered, channels_first=is_channels_first(source.attributes))


def _conv(x: Any, kernel: Weight, bias: Any, window: Mapping[str, Any], channels: int, fused: str | None) -> Lowered:
    *sizes, inside, filters = kernel.shape
    attributes = {
        "kernel_size": tuple(sizes),
        **window,
        "filters": filters,
        "groups": channels // inside if inside else 1,
    }
    return Lowered("CONV_2D", (x, kernel, bias_of(bias, filters)), attributes, fused)


def _tflite_conv(source: Source) -> Lowered | None:
    kernel = source.weight(1)
    if kernel is None or not isinstance(source.attributes["padding"], str):
        return None
    return _conv(
        source.inputs[0],
        rearrange(kernel, CONV_LAYOUT),
        operand(source, 2),
        tflite_window(source.attributes),
        source.shape(0)[-1],
        activation(source),
    )


def _tf_conv(source: Source) -> Lowered | None:
    kernel = source.weight(1)
    if kernel is None:
        return None
    channels = channels_last(source.shape(0), source.attributes)[-1]
    return ordered(source, _conv(source.inputs[0], kernel, None, tf_window(source.attributes), channels, None))


def conv_shape(shapes: Sequence[Shape], attributes: Attributes) -> Shape:
    """As many positions as there are windows, as many channels as filters."""
    batch, *spatial, _ = shapes[0]
    return (batch, *window_output(spatial, attributes), attributes["filters"])


def _conv_lower(attributes: Attributes, shapes: Sequence[Shape]) -> Attributes:
    numbers = lowered_window(attributes, shapes[0][1:-1])
    return {**numbers, "filters": attributes["filters"], "groups": attributes["groups"]}


def with_bias(part: Part) -> dict[str, Any]:
    """Kernel, bias and activation of a linear layer, as arguments of :meth:`Builder.layer`.

    Every file has a bias; one that is all zeros is that of a layer without.
    """
    kernel, bias = part.args[1], np.ravel(part.args[2])
    arguments = {"weights": (kernel, bias)} if np.any(bias) else {"weights": (kernel,), "use_bias": False}
    activation = part.attributes.get("activation")
    return {**arguments, "activation": activation} if activation else arguments


def padded(builder: Builder, x: Any, padding: Any) -> tuple[Any, str]:
    """The input and a name for its padding: numbers become a layer of their own."""
    if isinstance(padding, str):
        return x, padding
    if not np.any(padding):
        return x, "valid"
    return builder.helper(f"ZeroPadding{len(padding)}D", x, padding=tuple(padding)), "valid"


def keras_window(a: Attributes) -> dict[str, Any]:
    """What differs from the defaults."""
    given = {name: a[name] for name in ("strides", "dilation_rate")}
    return {name: value for name, value in given.items() if set(value) != {1}}


def _placed(part: Part) -> tuple[Attributes, tuple[slice, ...] | None]:
    """Attributes of the layer, and what to take of its result: Keras has no strides beside a dilation."""
    a = part.attributes
    strides = a["strides"]
    if 1 in (max(strides), max(a["dilation_rate"])):
        return a, None
    everywhere = {"padding": window_pads(part.shape(0)[1:-1], a), "strides": (1,) * len(strides)}
    return {**a, **everywhere}, (slice(None), *(slice(None, None, stride) for stride in strides))


def keras_conv(builder: Builder, part: Part) -> Any:
    """A layer ``Conv…D``."""
    a, taken = _placed(part)
    rank = len(a["kernel_size"])
    x, padding = padded(builder, part.args[0], a["padding"])
    count = part.shape(0)[-1] // np.shape(part.args[1])[-2]
    groups = {"groups": count} if count > 1 else {}
    arguments = {"filters": a["filters"], "kernel_size": a["kernel_size"], "padding": padding}
    y = builder.layer(f"Conv{rank}D", x, **arguments, **keras_window(a), **groups, **with_bias(part))
    return y if taken is None else builder.sliced(y, taken)


CONV_2D = OpSpec(
    "CONV_2D",
    keras=keras_conv,
    computed=computed.conv_2d,
    tflite=_tflite_conv,
    tf={"Conv2D": _tf_conv},
    roles=("input", "kernel", "bias"),
    weights=frozenset({"kernel", "bias"}),
    infer_shape=conv_shape,
    declared=(*WINDOW, "filters", "groups"),
    family="linear",
    lower=_conv_lower,
)


def _depthwise(x: Any, kernel: Weight, bias: Any, window: Mapping[str, Any], fused: str | None) -> Lowered:
    *sizes, channels, multiplier = kernel.shape
    if channels == 1:
        # Converters make either of the other.
        attributes = {"kernel_size": tuple(sizes), **window, "filters": multiplier, "groups": 1}
        return Lowered("CONV_2D", (x, kernel, bias_of(bias, multiplier)), attributes, fused)
    attributes = {"kernel_size": tuple(sizes), **window, "depth_multiplier": multiplier}
    return Lowered("DEPTHWISE_CONV_2D", (x, kernel, bias_of(bias, channels * multiplier)), attributes, fused)


def _tflite_depthwise(source: Source) -> Lowered | None:
    kernel = source.weight(1)
    if kernel is None or not isinstance(source.attributes["padding"], str):
        return None
    # depth_multiplier of the options is redundant and old converters left it 0: the shapes are right.
    kernel = rearrange(kernel, DEPTHWISE_LAYOUT, c=source.shape(0)[-1])
    window = tflite_window(source.attributes)
    return _depthwise(source.inputs[0], kernel, operand(source, 2), window, activation(source))


def _tf_depthwise(source: Source) -> Lowered | None:
    kernel = source.weight(1)
    if kernel is None:
        return None
    return ordered(source, _depthwise(source.inputs[0], kernel, None, tf_window(source.attributes), None))


def _depthwise_shape(shapes: Sequence[Shape], attributes: Attributes) -> Shape:
    batch, *spatial, channels = shapes[0]
    return (batch, *window_output(spatial, attributes), channels * attributes["depth_multiplier"])


def _depthwise_lower(attributes: Attributes, shapes: Sequence[Shape]) -> Attributes:
    numbers = lowered_window(attributes, shapes[0][1:-1])
    return {**numbers, "depth_multiplier": attributes["depth_multiplier"]}


def _keras_depthwise(builder: Builder, part: Part) -> Any:
    a, taken = _placed(part)
    x, padding = padded(builder, part.args[0], a["padding"])
    multiplier = {"depth_multiplier": a["depth_multiplier"]} if a["depth_multiplier"] != 1 else {}
    arguments = {"kernel_size": a["kernel_size"], "padding": padding, **keras_window(a), **with_bias(part)}
    if len(set(a["strides"])) == 1:
        y = builder.layer(f"DepthwiseConv{len(a['kernel_size'])}D", x, **multiplier, **arguments)
        return y if taken is None else builder.sliced(y, taken)
    # TensorFlow's depthwise kernel has one stride; one group per channel has as many as axes.
    kernel, *bias = arguments.pop("weights")
    height, width, channels, outputs = kernel.shape
    kernel = np.reshape(kernel, (height, width, 1, channels * outputs))
    sizes = {"filters": channels * outputs, "groups": channels}
    return builder.layer("Conv2D", x, **sizes, **arguments, weights=(kernel, *bias))


DEPTHWISE_CONV_2D = OpSpec(
    "DEPTHWISE_CONV_2D",
    keras=_keras_depthwise,
    computed=computed.depthwise_conv_2d,
    tflite=_tflite_depthwise,
    tf={"DepthwiseConv2dNative": _tf_depthwise},
    roles=("input", "kernel", "bias"),
    weights=frozenset({"kernel", "bias"}),
    infer_shape=_depthwise_shape,
    declared=(*WINDOW, "depth_multiplier"),
    family="linear",
    lower=_depthwise_lower,
)


def transposed(
    source: Source, slot: int, kernel: Weight, bias: Any, window: Mapping[str, Any], output: Shape | None
) -> Lowered:
    """A transposed convolution of the operand in a slot; ``output`` has its channels last."""
    *sizes, filters, _ = kernel.shape
    attributes = {"kernel_size": tuple(sizes), **window, "filters": filters}
    spatial = channels_last(source.shape(slot), source.attributes)[1:-1] if source.shape(slot) else ()
    attributes["output_padding"] = _output_padding(output[1:-1], spatial, attributes) if output and spatial else None
    operands = (source.inputs[slot], kernel, bias_of(bias, filters))
    return Lowered("TRANSPOSE_CONV", operands, attributes, shape=output)


def given_shape(source: Source) -> Shape | None:
    """The shape of the result, which is the first operand."""
    sizes = source.constant(0)
    return None if sizes is None else tuple(int(size) for size in sizes)


def _tflite_transpose(source: Source) -> Lowered | None:
    kernel = source.weight(1)
    if kernel is None:
        return None
    kernel = rearrange(kernel, TRANSPOSE_LAYOUT)
    output = given_shape(source) or source.output_shape()
    made = transposed(source, 2, kernel, operand(source, 3), tflite_window(source.attributes), output)
    return replace(made, activation=activation(source))


def tf_transpose(source: Source) -> Lowered | None:
    """TensorFlow has it as the gradient of a convolution: the shape first, the input last."""
    kernel = source.weight(1)
    if kernel is None:
        return None
    output = given_shape(source) or source.output_shape()
    output = channels_last(output, source.attributes) if output is not None else None
    return ordered(source, transposed(source, 2, kernel, None, tf_window(source.attributes), output))


def transpose_output(spatial: Sequence[int], attributes: Attributes) -> tuple[int, ...]:
    """Output size of a transposed convolution, as Keras makes it for its paddings."""
    sizes = zip(spatial, attributes["kernel_size"], attributes["strides"], strict=True)
    if (extra := attributes.get("output_padding")) is not None:
        return tuple(n + more for n, more in zip(_least_output(spatial, attributes), extra, strict=True))
    return tuple(n * s + (0 if attributes["padding"] == "same" else max(k - s, 0)) for n, k, s in sizes)


def _least_output(spatial: Sequence[int], attributes: Attributes) -> tuple[int, ...]:
    """Output size for an ``output_padding`` of zero."""
    sizes = zip(spatial, attributes["kernel_size"], attributes["strides"], strict=True)
    is_same = attributes["padding"] == "same"
    return tuple((n - 1) * s + k - 2 * (k // 2 if is_same else 0) for n, k, s in sizes)


def _output_padding(output: Shape, spatial: Shape, attributes: Attributes) -> tuple[int, ...] | None:
    """Keras's argument that gives an output size; None where the size comes without it."""
    # A size that was recorded for another input says nothing about this one.
    if output == transpose_output(spatial, attributes) or window_output(output, attributes) != spatial:
        return None
    return tuple(n - least for n, least in zip(output, _least_output(spatial, attributes), strict=True))


def _transpose_shape(shapes: Sequence[Shape], attributes: Attributes) -> Shape:
    batch, *spatial, _ = shapes[0]
    return (batch, *transpose_output(spatial, attributes), attributes["filters"])


def _transpose_lower(attributes: Attributes, shapes: Sequence[Shape]) -> Attributes:
    output = transpose_output(shapes[0][1:-1], attributes)
    # A transposed convolution is the gradient of a convolution from its output to its input: same padding numbers.
    return {**lowered_window(attributes, output), "filters": attributes["filters"], "output_size": output}


def _keras_transpose(builder: Builder, part: Part) -> Any:
    a = part.attributes
    if not isinstance(a["padding"], str):
        raise Unsupported("it has a padding that no transposed convolution of Keras has")
    extra = {"output_padding": a["output_padding"]} if a.get("output_padding") is not None else {}
    arguments = {"filters": a["filters"], "kernel_size": a["kernel_size"], "padding": a["padding"], **extra}
    kind = f"Conv{len(a['kernel_size'])}DTranspose"
    return builder.layer(kind, part.args[0], **arguments, **keras_window(a), **with_bias(part))


TRANSPOSE_CONV = OpSpec(
    "TRANSPOSE_CONV",
    keras=_keras_transpose,
    tflite=_tflite_transpose,
    tf={"Conv2DBackpropInput": tf_transpose},
    roles=("input", "kernel", "bias"),
    weights=frozenset({"kernel", "bias"}),
    infer_shape=_transpose_shape,
    declared=(*WINDOW, "filters", "output_padding"),
    family="linear",
    lower=_transpose_lower,
)

# TfLiteTransposeConvParams: three little-endian int32 (padding, stride width, stride height).
_CUSTOM_PADDING = {1: "same", 2: "valid"}


def _custom_transpose_bias(source: Source) -> Lowered | None:
    kernel, options = source.weight(1), source.custom_options
    if kernel is None or len(options) < 12:
        return None
    padding, width, height = struct.unpack_from("<3i", options)
    if padding not in _CUSTOM_PADDING:
        return None
    window = {"strides": (height, width), "dilation_rate": (1, 1), "padding": _CUSTOM_PADDING[padding]}
    kernel = rearrange(kernel, TRANSPOSE_LAYOUT)
    return transposed(source, 0, kernel, operand(source, 2), window, source.output_shape())


CONVOLUTION_2D_TRANSPOSE_BIAS = OpSpec("Convolution2DTransposeBias", tflite=_custom_transpose_bias)


SPECS = (CONV_2D, DEPTHWISE_CONV_2D, TRANSPOSE_CONV, CONVOLUTION_2D_TRANSPOSE_BIAS)
