"""Blocks of space to batch and back: how TensorFlow writes a dilated convolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops.keras import raw, tensorflow
from tflrecover.ops.readers import with_constants
from tflrecover.ops.spec import Attributes, OpSpec, Source


def _block(pads: str) -> Any:
    def convert(source: Source, found: dict[str, Any]) -> dict[str, Any]:
        return {
            "block_shape": tuple(int(n) for n in np.ravel(found["block_shape"])),
            pads: tuple((int(a), int(b)) for a, b in np.reshape(found[pads], (-1, 2))),
        }

    return convert


def _batch_shape(shapes: Sequence[Shape], a: Attributes) -> Shape:
    batch, *rest = shapes[0]
    count = len(a["block_shape"])
    spatial = (
        (n + before + after) // block
        for n, block, (before, after) in zip(rest, a["block_shape"], a["paddings"], strict=False)
    )
    return (batch * math.prod(a["block_shape"]), *spatial, *rest[count:])


def _space_shape(shapes: Sequence[Shape], a: Attributes) -> Shape:
    batch, *rest = shapes[0]
    count = len(a["block_shape"])
    spatial = (
        n * block - before - after
        for n, block, (before, after) in zip(rest, a["block_shape"], a["crops"], strict=False)
    )
    return (batch // math.prod(a["block_shape"]), *spatial, *rest[count:])


_to_batch = with_constants("SPACE_TO_BATCH_ND", {1: "block_shape", 2: "paddings"}, _block("paddings"))
_to_space = with_constants("BATCH_TO_SPACE_ND", {1: "block_shape", 2: "crops"}, _block("crops"))

SPECS = (
    OpSpec(
        "SPACE_TO_BATCH_ND",
        keras=tensorflow("space_to_batch", "block_shape", "paddings"),
        computed=raw("SpaceToBatchND", "input", "block_shape", "paddings"),
        tflite=_to_batch,
        tf={"SpaceToBatchND": _to_batch},
        roles=("input",),
        infer_shape=_batch_shape,
        declared=("block_shape", "paddings"),
    ),
    OpSpec(
        "BATCH_TO_SPACE_ND",
        keras=tensorflow("batch_to_space", "block_shape", "crops"),
        computed=raw("BatchToSpaceND", "input", "block_shape", "crops"),
        tflite=_to_space,
        tf={"BatchToSpaceND": _to_space},
        roles=("input",),
        infer_shape=_space_shape,
        declared=("block_shape", "crops"),
    ),
)
