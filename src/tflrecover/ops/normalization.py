"""Normalizations that are one operator in a file and in TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops.keras import tensorflow
from tflrecover.ops.readers import operands, plain
from tflrecover.ops.spec import Attributes, Lowered, OpSpec, Reader, Source
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

SPECS = (L2_NORMALIZATION, LOCAL_RESPONSE_NORMALIZATION)
