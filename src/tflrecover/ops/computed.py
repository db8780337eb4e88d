"""Linear operators whose kernel is computed, or kept from call to call: no layer has it, a function does.

Operands and attributes are the file's own (:attr:`tflrecover.ops.spec.OpSpec.computed`).
"""

from __future__ import annotations

from typing import Any

from tflrecover.ops.spec import Builder, Part, Unsupported

# What can be fused behind an operator, as a function of ``keras.ops`` and its arguments.
_FUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "RELU": ("relu", {}),
    "RELU6": ("relu6", {}),
    "RELU_N1_TO_1": ("clip", {"x_min": -1.0, "x_max": 1.0}),
    "TANH": ("tanh", {}),
}


def _finished(builder: Builder, part: Part, y: Any) -> Any:
    """With the bias and the activation."""
    if len(part.args) > 2 and part.args[2] is not None:
        y = builder.ops("add", y, part.args[2])
    fused = part.attributes.get("fused_activation_function", "NONE")
    if fused == "NONE":
        return y
    if fused not in _FUSED:
        raise Unsupported(f"it has {fused} fused behind a computed kernel")
    name, arguments = _FUSED[fused]
    return builder.ops(name, y, **arguments)


def dense(builder: Builder, part: Part) -> Any:
    """Rows by the transposed kernel."""
    x, kernel = part.args[:2]
    before, (units, size) = part.shape(0), part.shape(1)
    after = (*before[:-1], units) if part.attributes.get("keep_num_dims") else part.output_shape
    if before != (*after[:-1], size):
        x = builder.reshaped(x, before, (*after[:-1], size))
    return _finished(builder, part, builder.ops("matmul", x, builder.ops("transpose", kernel)))


def _window(part: Part, axes: str) -> dict[str, Any]:
    a = part.attributes
    strides = tuple(int(a[f"stride_{axis}"]) for axis in axes)
    rates = tuple(int(a[f"dilation_{axis}_factor"]) for axis in axes)
    return {"strides": strides, "padding": str(a["padding"]).lower(), "dilation_rate": rates}


def conv_2d(builder: Builder, part: Part) -> Any:
    """The file has the filters first."""
    kernel = builder.ops("transpose", part.args[1], axes=(1, 2, 3, 0))
    return _finished(builder, part, builder.ops("conv", part.args[0], kernel, **_window(part, "hw")))


def conv_3d(builder: Builder, part: Part) -> Any:
    """The file has the kernel as Keras does."""
    return _finished(builder, part, builder.ops("conv", *part.args[:2], **_window(part, "dhw")))


def depthwise_conv_2d(builder: Builder, part: Part) -> Any:
    """The file has channels and multipliers on one axis."""
    _, height, width, outputs = part.shape(1)
    channels = part.shape(0)[-1]
    kernel = builder.ops("reshape", part.args[1], (height, width, channels, outputs // channels))
    return _finished(builder, part, builder.ops("depthwise_conv", part.args[0], kernel, **_window(part, "hw")))
