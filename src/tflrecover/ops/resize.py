"""Resizing images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tflrecover.ir import Shape
from tflrecover.ops.keras import raw
from tflrecover.ops.readers import operand
from tflrecover.ops.spec import Attributes, Builder, Lowered, OpSpec, Part, Reader, Source


def _reader(name: str) -> Reader:
    def read(source: Source) -> Lowered | None:
        size = source.constant(1)
        if size is None:
            return None
        height, width = (int(n) for n in size)
        _, rows, columns, _ = source.shape(0)
        attributes = {
            # A factor where there is one: what UpSampling2D declares, and what holds for any input size.
            "size": tuple(
                new // old if old and new % old == 0 else new / old if old else 0
                for new, old in ((height, rows), (width, columns))
            ),
            "align_corners": bool(source.attributes.get("align_corners", False)),
            "half_pixel_centers": bool(source.attributes.get("half_pixel_centers", False)),
        }
        return Lowered(name, (operand(source, 0),), attributes)

    return read


def _shape(shapes: Sequence[Shape], a: Attributes) -> Shape:
    batch, rows, columns, channels = shapes[0]
    return (batch, round(rows * a["size"][0]), round(columns * a["size"][1]), channels)


def _keras(builder: Builder, part: Part) -> Any:
    a, is_linear = part.attributes, part.type == "RESIZE_BILINEAR"
    _, height, width, _ = part.output_shape
    # To the nearest, a whole factor gives the same with and without centres of pixels.
    fits = not a["align_corners"] and (a["half_pixel_centers"] or not is_linear)
    interpolation = "bilinear" if is_linear else "nearest"
    if fits and all(isinstance(factor, int) for factor in a["size"]):
        return builder.layer("UpSampling2D", part.args[0], size=a["size"], interpolation=interpolation)
    if a["half_pixel_centers"] and not a["align_corners"]:
        return builder.layer("Resizing", part.args[0], height=height, width=width, interpolation=interpolation)
    flags = {"align_corners": a["align_corners"], "half_pixel_centers": a["half_pixel_centers"]}
    name = "ResizeBilinear" if is_linear else "ResizeNearestNeighbor"
    return builder.tensorflow(f"raw_ops.{name}", images=part.args[0], size=(height, width), **flags)


def _spec(name: str, tf: str) -> OpSpec:
    return OpSpec(
        name,
        keras=_keras,
        computed=raw(tf, "images", "size", align_corners="align_corners", half_pixel_centers="half_pixel_centers"),
        tflite=_reader(name),
        tf={tf: _reader(name)},
        roles=("input",),
        infer_shape=_shape,
        declared=("size", "align_corners", "half_pixel_centers"),
        family="resize",
    )


SPECS = (
    _spec("RESIZE_BILINEAR", "ResizeBilinear"),
    _spec("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighbor"),
)
