"""Convolutions over three axes: both dialects keep their kernels as Keras does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tflrecover.ir import Shape
from tflrecover.ops import computed
from tflrecover.ops.conv import (
    TRANSPOSE_CONV,
    WINDOW,
    bias_of,
    conv_shape,
    given_shape,
    keras_conv,
    ordered,
    tf_transpose,
    transposed,
)
from tflrecover.ops.readers import activation, operand
from tflrecover.ops.spec import Attributes, Lowered, OpSpec, Source
from tflrecover.ops.window import lowered_window, tf_window
from tflrecover.weight import Weight


def _conv_3d(x: Any, kernel: Weight, bias: Any, window: Mapping[str, Any], fused: str | None) -> Lowered:
    attributes = {"kernel_size": kernel.shape[:3], **window, "filters": kernel.shape[-1]}
    return Lowered("CONV_3D", (x, kernel, bias_of(bias, kernel.shape[-1])), attributes, fused)


def _window_3d(options: Attributes) -> dict[str, Any]:
    return {
        "strides": tuple(int(options[f"stride_{axis}"]) for axis in "dhw"),
        "dilation_rate": tuple(int(options[f"dilation_{axis}_factor"]) for axis in "dhw"),
        "padding": options["padding"].lower(),
    }


def _tflite_conv_3d(source: Source) -> Lowered | None:
    kernel, options = source.weight(1), source.attributes
    if kernel is None:
        return None
    return _conv_3d(source.inputs[0], kernel, operand(source, 2), _window_3d(options), activation(source))


def _tf_conv_3d(source: Source) -> Lowered | None:
    kernel = source.weight(1)
    if kernel is None:
        return None
    return ordered(source, _conv_3d(source.inputs[0], kernel, None, tf_window(source.attributes), None))


def _conv_3d_lower(attributes: Attributes, shapes: Sequence[Shape]) -> Attributes:
    return {**lowered_window(attributes, shapes[0][1:-1]), "filters": attributes["filters"]}


CONV_3D = OpSpec(
    "CONV_3D",
    keras=keras_conv,
    computed=computed.conv_3d,
    tflite=_tflite_conv_3d,
    tf={"Conv3D": _tf_conv_3d},
    roles=("input", "kernel", "bias"),
    weights=frozenset({"kernel", "bias"}),
    infer_shape=conv_shape,
    declared=(*WINDOW, "filters"),
    family="linear",
    lower=_conv_3d_lower,
)


def _tflite_transpose_3d(source: Source) -> Lowered | None:
    kernel = source.weight(1)
    if kernel is None:
        return None
    output = given_shape(source) or source.output_shape()
    made = transposed(source, 2, kernel, operand(source, 3), _window_3d(source.attributes), output)
    return replace(made, type="CONV_3D_TRANSPOSE", activation=activation(source))


def _tf_transpose_3d(source: Source) -> Lowered | None:
    made = tf_transpose(source)
    return None if made is None else replace(made, type="CONV_3D_TRANSPOSE")


CONV_3D_TRANSPOSE = replace(
    TRANSPOSE_CONV,
    name="CONV_3D_TRANSPOSE",
    tflite=_tflite_transpose_3d,
    tf={"Conv3DBackpropInputV2": _tf_transpose_3d},
)

SPECS = (CONV_3D_TRANSPOSE, CONV_3D)
