"""Normalizations that are one operator in a file and in TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops.keras import tensorflow
from tflrecover.ops.readers import operands, plain
from tflrecover.ops.spec import Attributes, Builder, KerasBuilder, Lowered, OpSpec, Part, Reader, Source
from tflrecover.weight import Array


def _same_shape(shapes: Sequence[Shape], attributes: Attributes) -> Shape:
    return shapes[0]


# The kernel's own floor under the norm.
_SMALLEST_NORM = 1e-6


def _l2(x: Array) -> Array:
    return np.asarray(x / np.maximum(np.sqrt(np.square(x).sum(axis=-1, keepdims=True)), _SMALLEST_NORM))


L2_NORMALIZATION = OpSpec(
    "L2_NORMALIZATION",
    keras=tensorflow("math.l2_normalize", axis=-1),
    evaluate=lambda args, _: [_l2(args[0])],
    tflite=plain("L2_NORMALIZATION"),
    roles=("input",),
    infer_shape=_same_shape,
    family="normalization",
)


def _local(radius: str) -> Reader:
    def read(source: Source) -> Lowered:
        numbers = {name: float(source.attributes[name]) for name in ("bias", "alpha", "beta")}
        attributes = {"depth_radius": int(source.attributes[radius]), **numbers}
        return Lowered("LOCAL_RESPONSE_NORMALIZATION", operands(source), attributes)

    return read


def _local_response(x: Array, a: Attributes) -> Array:
    """``x / (bias + alpha * sum of squares of the channels within the radius) ** beta``."""
    radius, channels = a["depth_radius"], x.shape[-1]
    total = np.concatenate([np.zeros((*x.shape[:-1], 1)), np.cumsum(np.square(x, dtype=np.float64), axis=-1)], axis=-1)
    first = np.maximum(np.arange(channels) - radius, 0)
    behind = np.minimum(np.arange(channels) + radius + 1, channels)
    near = total[..., behind] - total[..., first]
    return np.asarray(x / (a["bias"] + a["alpha"] * near) ** a["beta"], x.dtype)


LOCAL_RESPONSE_NORMALIZATION = OpSpec(
    "LOCAL_RESPONSE_NORMALIZATION",
    keras=tensorflow("nn.local_response_normalization", "depth_radius", "bias", "alpha", "beta"),
    evaluate=lambda args, a: [_local_response(args[0], a)],
    tflite=_local("radius"),
    tf={"LRN": _local("depth_radius")},
    roles=("input",),
    infer_shape=_same_shape,
    declared=("depth_radius", "bias", "alpha", "beta"),
    family="normalization",
)


def _axis(part: Part) -> int | list[int]:
    """As Keras has it: the last axis alone by its number from the end."""
    axes = part.attributes["axis"]
    return -1 if axes == (len(part.shape(0)) - 1,) else list(axes)


def _with_axes(kind: str) -> KerasBuilder:
    def build(builder: Builder, part: Part) -> Any:
        return builder.layer(kind, part.args[0], **_learned(part), axis=_axis(part), epsilon=part.attributes["epsilon"])

    return build


def _learned(part: Part) -> dict[str, Any]:
    """Weights; what is left out is switched off."""
    weights = part.args[1:]
    names = ("scale", "center")[: len(weights) if len(weights) > 1 else 0]
    off = {name: False for name, weight in zip(names, weights, strict=False) if weight is None}
    return {"weights": tuple(weight for weight in weights if weight is not None), **off}


def _group(builder: Builder, part: Part) -> Any:
    groups, epsilon = part.attributes["groups"], part.attributes["epsilon"]
    # As many as channels, whatever their number.
    groups = -1 if groups == part.shape(0)[-1] else groups
    return builder.layer("GroupNormalization", part.args[0], groups=groups, epsilon=epsilon, **_learned(part))


def _root_mean_square(builder: Builder, part: Part) -> Any:
    """Keras's layer always has a scale; without one it is the function."""
    if part.args[1] is not None:
        return _with_axes("RMSNormalization")(builder, part)
    axis = _axis(part)
    along = {} if axis == -1 else {"axis": axis}
    return builder.ops("rms_normalization", part.args[0], **along, epsilon=part.attributes["epsilon"])


def _unit(builder: Builder, part: Part) -> Any:
    return builder.layer("UnitNormalization", part.args[0], axis=_axis(part))


def _written_out(name: str, keras: KerasBuilder, *weights: str) -> OpSpec:
    return OpSpec(name, keras=keras, roles=("input", *weights), weights=frozenset(weights), infer_shape=_same_shape)


# What files write out (:mod:`tflrecover.recovery.normalizations`).
WRITTEN_OUT = (
    _written_out("LAYER_NORMALIZATION", _with_axes("LayerNormalization"), "gamma", "beta"),
    _written_out("GROUP_NORMALIZATION", _group, "gamma", "beta"),
    _written_out("RMS_NORMALIZATION", _root_mean_square, "scale"),
    _written_out("UNIT_NORMALIZATION", _unit),
)

SPECS = (L2_NORMALIZATION, LOCAL_RESPONSE_NORMALIZATION, *WRITTEN_OUT)
