"""MediaPipe's pooling that remembers where each maximum was, and its inverse.

An index is a place in the window, row by row, as a float32. Options are TfLitePoolParams: little-endian int32 for
padding, stride width and height, window width and height, activation.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops.formula import given_by, windows
from tflrecover.ops.readers import operands
from tflrecover.ops.spec import Attributes, Calls, Lowered, Reader, Source, Unsupported
from tflrecover.ops.window import lowered_window, window_output
from tflrecover.weight import Array

_OPTIONS = struct.Struct("<6i")
_WINDOW = ("pool_size", "strides", "padding")
_PADDING = {1: "same", 2: "valid"}
_ACTIVATION = {0: None, 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6"}


def _reader(name: str) -> Reader:
    def read(source: Source) -> Lowered | None:
        if len(source.custom_options) < _OPTIONS.size:
            return None
        padding, *strides, width, height, fused = _OPTIONS.unpack_from(source.custom_options)
        attributes = {
            "pool_size": (height, width),
            "strides": (strides[1], strides[0]),
            "padding": _PADDING[padding],
        }
        # What unpools has the option, and does nothing of the kind.
        activation = _ACTIVATION[fused] if name == "MaxPoolingWithArgmax2D" else None
        return Lowered(name, operands(source), attributes, activation)

    return read


def _pool(calls: Calls, args: Sequence[Any], a: Attributes) -> tuple[Any, Any]:
    """The first of the places that hold the maximum is the one that is furthest from the end."""
    op, window = calls.ops, tuple(a[name] for name in _WINDOW)
    pooled = op("max_pool", args[0], *window)
    is_largest = op("equal", windows(calls, args[0], *window), op("expand_dims", pooled, -1))
    count = math.prod(a["pool_size"])
    from_end = op("multiply", op("cast", is_largest, "float32"), np.arange(count, 0, -1, dtype=np.float32))
    return pooled, op("subtract", np.float32(count), op("max", from_end, axis=-1))


def _pool_shape(shapes: Sequence[Shape], a: Attributes) -> Shape:
    batch, *sizes, channels = shapes[0]
    return (batch, *window_output(sizes, a, "pool_size"), channels)


def _pool_lower(a: Attributes, shapes: Sequence[Shape]) -> Attributes:
    return lowered_window(a, shapes[0][1:-1], "pool_size")


MAX_POOLING_WITH_ARGMAX_2D = given_by(
    "MaxPoolingWithArgmax2D",
    _pool,
    tflite=_reader("MaxPoolingWithArgmax2D"),
    roles=("input",),
    infer_shape=_pool_shape,
    declared=_WINDOW,
    lower=_pool_lower,
)


def _unpooled_shape(shapes: Sequence[Shape], a: Attributes) -> Shape:
    batch, height, width, channels = shapes[0]
    return (batch, height * a["pool_size"][0], width * a["pool_size"][1], channels)


def _unpool(args: Sequence[Array], a: Attributes) -> list[Array]:
    """Each number goes to its place in its window; where windows overlap, the last one stays."""
    x, indices = args[0], args[1].astype(np.int64)
    made = np.zeros(_unpooled_shape([x.shape], a), x.dtype)
    example, *places, channel = (np.asarray(index) for index in np.indices(x.shape))
    inside = np.divmod(indices, a["pool_size"][1])
    fits = np.ones(x.shape, bool)
    for axis, (stride, size) in enumerate(zip(a["strides"], a["pool_size"], strict=True)):
        count = x.shape[axis + 1]
        pad = max((count - 1) * stride + size - count * size, 0) // 2
        places[axis] = places[axis] * stride - pad + inside[axis]
        fits &= (places[axis] >= 0) & (places[axis] < count * size)
    made[tuple(index[fits] for index in (example, *places, channel))] = x[fits]
    return [made]


def _spread(calls: Calls, args: Sequence[Any], a: Attributes) -> Any:
    """The same where windows do not overlap: each number times a window that is one at its place."""
    op, (x, indices), (height, width) = calls.ops, args, a["pool_size"]
    if a["strides"] != (height, width):
        raise Unsupported("its windows overlap")
    _, rows, columns, channels = x.shape
    places = op("equal", op("expand_dims", indices, -1), np.arange(height * width, dtype=np.float32))
    spread = op("multiply", op("cast", places, "float32"), op("expand_dims", x, -1))
    spread = op("reshape", spread, (-1, rows, columns, channels, height, width))
    spread = op("transpose", spread, (0, 1, 4, 2, 5, 3))
    return op("reshape", spread, (-1, rows * height, columns * width, channels))


MAX_UNPOOLING_2D = given_by(
    "MaxUnpooling2D",
    _spread,
    evaluate=_unpool,
    tflite=_reader("MaxUnpooling2D"),
    roles=("input", "indices"),
    infer_shape=_unpooled_shape,
    declared=_WINDOW,
)

SPECS = (MAX_POOLING_WITH_ARGMAX_2D, MAX_UNPOOLING_2D)
