"""Tensors made of few numbers: ranges, fills, and what broadcasting and tiling repeat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tflrecover.ops.keras import layer, raw, tensorflow
from tflrecover.ops.readers import operands, plain
from tflrecover.ops.spec import Attributes, Builder, Lowered, OpSpec, Part, Source
from tflrecover.weight import Array, Literal


def _range(source: Source) -> Lowered:
    """Contents tell the shape; what a file says of it may be a placeholder."""
    ends = [source.constant(slot) for slot in range(3)]
    known = [end.item() for end in ends if end is not None]
    shape = np.arange(*known).shape if len(known) == 3 else None
    return Lowered("RANGE", operands(source), shape=shape)


def _fill(source: Source) -> Lowered | None:
    """One number everywhere is nobody's weight."""
    dims, value = source.constant(0), source.constant(1)
    if dims is None or value is None:
        return Lowered("FILL", operands(source))
    filled = Literal.of(np.full(tuple(int(n) for n in dims), value))
    return Lowered("IDENTITY", (filled,), shape=filled.shape)


RANGE = OpSpec(
    "RANGE",
    keras=tensorflow("range"),
    evaluate=lambda args, _: [np.arange(args[0].item(), args[1].item(), args[2].item()).astype(args[0].dtype)],
    tflite=_range,
    tf={"Range": _range},
    roles=("start", "limit", "delta"),
)
FILL = OpSpec(
    "FILL",
    keras=tensorflow("fill"),
    evaluate=lambda args, _: [np.full(tuple(args[0]), args[1])],
    tflite=_fill,
    tf={"Fill": _fill},
    roles=("dims", "value"),
    result=1,
)


def _broadcast_args(args: Sequence[Array], attributes: Attributes) -> list[Array]:
    return [np.array(np.broadcast_shapes(tuple(args[0]), tuple(args[1])), args[0].dtype)]


BROADCAST_ARGS = OpSpec(
    "BROADCAST_ARGS",
    keras=tensorflow("broadcast_dynamic_shape"),
    evaluate=_broadcast_args,
    tflite=plain("BROADCAST_ARGS"),
    tf={"BroadcastArgs": plain("BROADCAST_ARGS")},
    roles=("shape", "other_shape"),
    commutative=True,
)


def _tiled(source: Source, multiples: Sequence[int]) -> Lowered:
    if all(n == 1 for n in multiples):
        return Lowered("IDENTITY", operands(source)[:1])
    return Lowered("TILE", operands(source)[:1], {"multiples": tuple(multiples)})


def _tile(source: Source) -> Lowered | None:
    multiples = source.constant(1)
    return None if multiples is None else _tiled(source, [int(n) for n in multiples])


def _broadcast(source: Source) -> Lowered | None:
    """Repeating what has size 1; more axes than before are put in front."""
    wanted, before = source.constant(1), source.shape(0)
    if wanted is None:
        return None
    shape = tuple(int(n) for n in wanted)
    if len(shape) == len(before):
        return _tiled(source, [n // max(m, 1) for n, m in zip(shape, before, strict=True)])
    return Lowered("BROADCAST_TO", operands(source)[:1], {"target_shape": shape}, shape=shape)


def _unbroadcast(slot: int, target: Array, args: Sequence[Array], attributes: Attributes) -> Array:
    """One representative of what was repeated; whether the rest agrees is checked by whoever solves."""
    shape = args[0].shape
    target = target.reshape((1,) * (len(shape) - target.ndim) + target.shape)
    target = target[(0,) * (target.ndim - len(shape))]
    return target[tuple(slice(0, 1) if size == 1 else slice(None) for size in shape)]


def _first_tile(slot: int, target: Array, args: Sequence[Array], attributes: Attributes) -> Array:
    """One of the repetitions; whether they agree is checked by whoever solves."""
    return target[tuple(slice(0, n) for n in args[0].shape)]


def _keras_broadcast(builder: Builder, part: Part) -> Any:
    return builder.broadcast(part.args[0], part.shape(0), part.attributes["target_shape"])


BROADCAST_TO = OpSpec(
    "BROADCAST_TO",
    keras=_keras_broadcast,
    computed=raw("BroadcastTo", "input", "shape"),
    evaluate=lambda args, a: [np.broadcast_to(args[0], a["target_shape"])],
    tflite=_broadcast,
    tf={"BroadcastTo": _broadcast},
    roles=("input",),
    inverse=_unbroadcast,
    infer_shape=lambda shapes, a: tuple(a["target_shape"]),
    declared=("target_shape",),
)


def _keras_tile(builder: Builder, part: Part) -> Any:
    return builder.ops("tile", part.args[0], part.attributes["multiples"])


TILE = OpSpec(
    "TILE",
    keras=_keras_tile,
    computed=raw("Tile", "input", "multiples"),
    evaluate=lambda args, a: [np.tile(args[0], a["multiples"])],
    tflite=_tile,
    tf={"Tile": _tile},
    roles=("input",),
    inverse=_first_tile,
    infer_shape=lambda shapes, a: tuple(n * m for n, m in zip(shapes[0], a["multiples"], strict=True)),
    declared=("multiples",),
)


def _keras_upsampling(builder: Builder, part: Part) -> Any:
    size = part.attributes["size"]
    return builder.layer(f"UpSampling{len(size)}D", part.args[0], size=size if len(size) > 1 else size[0])


def _upsampled(args: Sequence[Array], attributes: Attributes) -> list[Array]:
    x = args[0]
    for axis, times in enumerate(attributes["size"], 1):
        x = np.repeat(x, times, axis)
    return [x]


# Made by :mod:`tflrecover.recovery.upsampling` alone.
UPSAMPLING = OpSpec("UPSAMPLING", keras=_keras_upsampling, evaluate=_upsampled, roles=("input",), declared=("size",))
REPEAT_VECTOR = OpSpec("REPEAT_VECTOR", keras=layer("RepeatVector", "n"), roles=("input",), declared=("n",))

SPECS = (RANGE, FILL, BROADCAST_ARGS, BROADCAST_TO, TILE, UPSAMPLING, REPEAT_VECTOR)
