"""Pooling over height and width, and over depth too.

Padding of a pool is never data: -inf for the maximum, left out of the average.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tflrecover.ir import Shape
from tflrecover.ops.readers import activation
from tflrecover.ops.spec import Attributes, Builder, Calls, Formula, KerasBuilder, Lowered, OpSpec, Part, Reader, Source
from tflrecover.ops.window import is_channels_first, lowered_window, pair, spatial, tf_window, window_output


def _tflite(name: str) -> Reader:
    def read(source: Source) -> Lowered | None:
        options = source.attributes
        if not isinstance(options["padding"], str):
            return None
        attributes = {
            "pool_size": (int(options["filter_height"]), int(options["filter_width"])),
            "strides": pair(options, "stride_{}"),
            "padding": options["padding"].lower(),
        }
        return Lowered(name, (source.inputs[0],), attributes, activation(source))

    return read


def _tf(name: str) -> Reader:
    def read(source: Source) -> Lowered | None:
        window = tf_window(source.attributes)
        attributes = {
            "pool_size": spatial(source.attributes["ksize"], source.attributes),
            "strides": window["strides"],
            "padding": window["padding"],
        }
        is_first = is_channels_first(source.attributes)
        return Lowered(name, (source.inputs[0],), attributes, channels_first=is_first)

    return read


def _shape(shapes: Sequence[Shape], attributes: Attributes) -> Shape:
    batch, *sizes, channels = shapes[0]
    return (batch, *window_output(sizes, attributes, "pool_size"), channels)


def _lower(attributes: Attributes, shapes: Sequence[Shape]) -> Attributes:
    return lowered_window(attributes, shapes[0][1:-1], "pool_size")


def _keras(builder: Builder, part: Part) -> Any:
    a = part.attributes
    stem = "MaxPooling" if part.type.startswith("MAX") else "AveragePooling"
    strides = {} if a["strides"] == a["pool_size"] else {"strides": a["strides"]}
    kind = f"{stem}{len(a['pool_size'])}D"
    return builder.layer(kind, part.args[0], pool_size=a["pool_size"], **strides, padding=a["padding"])


def _keras_root(builder: Builder, part: Part) -> Any:
    """The root of the mean of squares."""
    a = part.attributes
    squares = builder.ops("square", part.args[0])
    mean = builder.layer(
        "AveragePooling2D", squares, pool_size=a["pool_size"], strides=a["strides"], padding=a["padding"]
    )
    return builder.ops("sqrt", mean)


def _root(calls: Calls, args: Sequence[Any], a: Attributes) -> Any:
    mean = calls.ops("average_pool", calls.ops("square", args[0]), a["pool_size"], a["strides"], a["padding"])
    return calls.ops("sqrt", mean)


def _spec(
    name: str, tf: str, tflite: Reader | None, keras: KerasBuilder = _keras, formula: Formula | None = None
) -> OpSpec:
    return OpSpec(
        name,
        keras=keras,
        tflite=tflite,
        tf={tf: _tf(name)} if tf else {},
        roles=("input",),
        infer_shape=_shape,
        declared=("pool_size", "strides", "padding"),
        family="pool",
        lower=_lower,
        formula=formula,
    )


MAX_POOL_2D = _spec("MAX_POOL_2D", "MaxPool", _tflite("MAX_POOL_2D"))
AVERAGE_POOL_2D = _spec("AVERAGE_POOL_2D", "AvgPool", _tflite("AVERAGE_POOL_2D"))
L2_POOL_2D = _spec("L2_POOL_2D", "", _tflite("L2_POOL_2D"), _keras_root, _root)
# TFLite has none of these: in a file they are TensorFlow's.
MAX_POOL_3D = _spec("MAX_POOL_3D", "MaxPool3D", None)
AVERAGE_POOL_3D = _spec("AVERAGE_POOL_3D", "AvgPool3D", None)

SPECS = (MAX_POOL_2D, AVERAGE_POOL_2D, L2_POOL_2D, MAX_POOL_3D, AVERAGE_POOL_3D)
