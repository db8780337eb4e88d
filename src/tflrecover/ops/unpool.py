"""MediaPipe's pooling that remembers where each maximum was, and its inverse.

An index is a place in the window, row by row, as a float32. Options are TfLitePoolParams: little-endian int32 for
padding, stride width and height, window width and height, activation.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops.formula import Calls, evaluation
from tflrecover.ops.readers import operands
from tflrecover.ops.spec import Attributes, Builder, Lowered, OpSpec, Part, Reader, Source, Unsupported
from tflrecover.ops.window import effective_pads, lowered_window, per_axis, window_output
from tflrecover.weight import Array

_PADDING = {1: "same", 2: "valid"}
_ACTIVATION = {0: None, 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6"}


def _reader(name: str) -> Reader:
    def read(source: Source) -> Lowered | None:
        padding, *strides, width, height, fused = struct.unpack_from("<6i", source.custom_options)
        attributes = {
            "pool_size": (height, width),
            "strides": (strides[1], strides[0]),
            "padding": _PADDING[padding],
        }
        # What unpools has the option, and does nothing of the kind.
        activation = _ACTIVATION[fused] if name == "MaxPoolingWithArgmax2D" else None
        return Lowered(name, operands(source), attributes, activation)

    return read


def _windows(calls: Calls, x: Any, shape: Shape, a: Attributes) -> Any:
    """Every window of ``(batch, height, width, channels)``, its places along a new last axis."""
    sizes, modes = shape[1:3], per_axis(a["padding"], 2)
    pads = tuple(map(effective_pads, sizes, a["pool_size"], a["strides"], (1, 1), modes))
    if any(map(any, pads)):
        x = calls.ops("pad", x, ((0, 0), *pads, (0, 0)), constant_values=float(np.finfo(np.float32).min))
    rows, columns = (
        [slice(start, start + (count - 1) * stride + 1, stride) for start in range(size)]
        for size, stride, count in zip(a["pool_size"], a["strides"], window_output(sizes, a, "pool_size"), strict=True)
    )
    places = [calls.sliced(x, (slice(None), row, column)) for row in rows for column in columns]
    return calls.ops("stack", places, axis=-1)


def _pool(calls: Calls, args: Sequence[Any], a: Attributes) -> tuple[Any, Any]:
    windows = _windows(calls, args[0], np.shape(args[0]), a)
    indices = calls.ops("argmax", windows, axis=-1)
    return calls.ops("max", windows, axis=-1), calls.ops("cast", indices, "float32")


def _keras_pool(builder: Builder, part: Part) -> Any:
    a, x = part.attributes, part.args[0]
    names = ("pool_size", "strides", "padding")
    pooled = builder.layer("MaxPooling2D", x, **{name: a[name] for name in names})
    indices = builder.ops("argmax", _windows(builder, x, part.shape(0), a), axis=-1)
    return pooled, builder.ops("cast", indices, "float32")


def _pool_shape(shapes: Sequence[Shape], a: Attributes) -> Shape:
    batch, *sizes, channels = shapes[0]
    return (batch, *window_output(sizes, a, "pool_size"), channels)


def _pool_lower(a: Attributes, shapes: Sequence[Shape]) -> Attributes:
    return lowered_window(a, shapes[0][1:-1], "pool_size")


MAX_POOLING_WITH_ARGMAX_2D = OpSpec(
    "MaxPoolingWithArgmax2D",
    evaluate=evaluation(_pool),
    tflite=_reader("MaxPoolingWithArgmax2D"),
    roles=("input",),
    infer_shape=_pool_shape,
    declared=("pool_size", "strides", "padding"),
    lower=_pool_lower,
    keras=_keras_pool,
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


def _keras_unpool(builder: Builder, part: Part) -> Any:
    height, width = part.attributes["pool_size"]
    if part.attributes["strides"] != (height, width):
        raise Unsupported("its windows overlap")
    x, indices = part.args
    _, rows, columns, channels = part.shape(0)
    places = builder.ops("one_hot", builder.ops("cast", indices, "int32"), height * width)
    spread = builder.ops("multiply", builder.ops("expand_dims", x, -1), places)
    spread = builder.ops("reshape", spread, (-1, rows, columns, channels, height, width))
    spread = builder.ops("transpose", spread, (0, 1, 4, 2, 5, 3))
    return builder.ops("reshape", spread, (-1, rows * height, columns * width, channels))


MAX_UNPOOLING_2D = OpSpec(
    "MaxUnpooling2D",
    evaluate=_unpool,
    tflite=_reader("MaxUnpooling2D"),
    roles=("input", "indices"),
    infer_shape=_unpooled_shape,
    declared=("pool_size", "strides", "padding"),
    keras=_keras_unpool,
)

SPECS = (MAX_POOLING_WITH_ARGMAX_2D, MAX_UNPOOLING_2D)
