"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops.keras import raw
from tflrecover.ops.readers import axes_of, operands, with_constants
from tflrecover.ops.spec import Attributes, Builder, KerasBuilder, Lowered, OpSpec, Part, Source
from tflrecover.weight import Array


def _axes(source: Source, found: dict[str, Any]) -> dict[str, Any]:
    keep = source.attributes.get("keep_dims", False)
    return {"axis": axes_of(found["axis"], len(source.shape(0))), "keepdims": bool(keep)}


def _shape(shapes: Sequence[Shape], a: Attributes) -> Shape:
    kept = ((i, n) for i, n in enumerate(shapes[0]) if a["keepdims"] or i not in a["axis"])
    return tuple(1 if i in a["axis"] else n for i, n in kept)


# The layers that reduce all axes but the batch and the channels.
_GLOBAL = {"MEAN": "GlobalAveragePooling{}D", "REDUCE_MAX": "GlobalMaxPooling{}D"}


def _keras(name: str) -> KerasBuilder:
    def build(builder: Builder, part: Part) -> Any:
        axis, keepdims, rank = part.attributes["axis"], part.attributes["keepdims"], len(part.shape(0))
        if part.type in _GLOBAL and 3 <= rank <= 5 and axis == tuple(range(1, rank - 1)):
            kind = _GLOBAL[part.type].format(rank - 2)
            return builder.layer(kind, part.args[0], keepdims=keepdims or None)
        return builder.ops(name, part.args[0], axis=axis, keepdims=keepdims)

    return build


def _spec(name: str, function: Callable[..., Any], tf: str) -> OpSpec:
    reader = with_constants(name, {1: "axis"}, _axes)
    return OpSpec(
        name,
        keras=_keras(function.__name__),
        computed=raw(tf, "input", "axis", keep_dims="keep_dims"),
        evaluate=lambda args, a: [function(args[0], axis=a["axis"], keepdims=a["keepdims"])],
        tflite=reader,
        tf={tf: reader},
        roles=("input",),
        infer_shape=_shape,
        declared=("axis", "keepdims"),
        family="reduce",
    )


def _contraction(args: Sequence[Array], attributes: Attributes) -> list[Array]:
    return [(args[0] * args[1]).sum(axis=attributes["axis"])]


def _contraction_inverse(slot: int, target: Array, args: Sequence[Array], attributes: Attributes) -> Array:
    """The offsets that add up to ``target`` with a known kernel; where several or none do, by least squares."""
    if slot == 0:
        raise ValueError("a sum over a kernel does not tell the kernel")
    *spatial, last = range(args[0].ndim)[:-1]
    matrix = np.asarray(args[0], np.float64).sum(axis=tuple(spatial))
    wanted = target.astype(np.float64).reshape(-1)
    if last not in attributes["axis"]:
        # One filter per channel: each offset meets the outputs of its own channel only.
        matrix = (np.eye(len(matrix))[:, :, None] * matrix[:, None, :]).reshape(len(matrix), -1)
    matrix = matrix if args[1].size > 1 else matrix.sum(axis=0, keepdims=True)
    found = np.linalg.lstsq(matrix.T, wanted, rcond=None)[0]
    return np.asarray(found).reshape(args[1].shape)


def _product_inverse(slot: int, target: Array, args: Sequence[Array], attributes: Attributes) -> Array:
    """The other factor, of which there may be several where the one that is known has too few independent rows."""
    known, wanted = np.asarray(args[1 - slot], np.float64), np.asarray(target, np.float64)
    if slot == 0:
        return np.asarray(np.matmul(wanted, np.linalg.pinv(known)))
    rows = args[1].ndim == 2
    known, wanted = (x.reshape(-1, x.shape[-1]) if rows else x for x in (known, wanted))
    return np.asarray(np.matmul(np.linalg.pinv(known), wanted))


def _rest(slot: int, target: Array, args: Sequence[Array], attributes: Attributes) -> Array:
    """The one number of each sum that is not known yet is what the others leave."""
    axis = attributes["axis"]
    x = np.asarray(args[0], np.float64)
    is_open = np.isnan(x)
    if (is_open.sum(axis=axis) > 1).any():
        raise ValueError("a sum does not tell its numbers")
    total = target.reshape([1 if i in axis else n for i, n in enumerate(x.shape)])
    return np.where(is_open, total - np.nansum(x, axis=axis, keepdims=True), x)


CONTRACTION = OpSpec("CONTRACTION", evaluate=_contraction, roles=("kernel", "offset"), inverse=_contraction_inverse)
# Of two constants, such as a table of positions and the kernel that projects it.
PRODUCT = OpSpec(
    "PRODUCT",
    evaluate=lambda args, _: [np.matmul(*args)],
    roles=("x", "kernel"),
    inverse=_product_inverse,
    infer_shape=lambda shapes, _: (*np.broadcast_shapes(shapes[0][:-2], shapes[1][:-2]), shapes[0][-2], shapes[1][-1]),
)
SUM = replace(_spec("SUM", np.sum, "Sum"), inverse=_rest)
MEAN = _spec("MEAN", np.mean, "Mean")
REDUCE_MAX = _spec("REDUCE_MAX", np.max, "Max")
REDUCTIONS = (
    MEAN,
    SUM,
    REDUCE_MAX,
    _spec("REDUCE_MIN", np.min, "Min"),
    _spec("REDUCE_PROD", np.prod, "Prod"),
    _spec("REDUCE_ANY", np.any, "Any"),
    _spec("REDUCE_ALL", np.all, "All"),
)


def _arg(name: str) -> Callable[[Source], Lowered | None]:
    def read(source: Source) -> Lowered | None:
        axis = source.constant(1)
        if axis is None:
            return None
        return Lowered(name, operands(source)[:1], {"axis": int(np.ravel(axis)[0]) % len(source.shape(0))})

    return read


def _arg_spec(name: str, function: Callable[..., Any], tf: str) -> OpSpec:
    def build(builder: Builder, part: Part) -> Any:
        found = builder.ops(function.__name__, part.args[0], axis=part.attributes["axis"])
        return found if part.dtype == "int32" else builder.ops("cast", found, dtype=part.dtype)

    def computed(builder: Builder, part: Part) -> Any:
        axis = builder.ops("reshape", part.args[1], ())
        return builder.tensorflow(f"raw_ops.{tf}", input=part.args[0], dimension=axis, output_type=part.dtype)

    return OpSpec(
        name,
        keras=build,
        computed=computed,
        evaluate=lambda args, a: [function(args[0], axis=a["axis"])],
        tflite=_arg(name),
        tf={tf: _arg(name)},
        roles=("input",),
        infer_shape=lambda shapes, a: (*shapes[0][: a["axis"]], *shapes[0][a["axis"] + 1 :]),
        declared=("axis",),
        family="reduce",
    )


SPECS = (*REDUCTIONS, _arg_spec("ARG_MAX", np.argmax, "ArgMax"), _arg_spec("ARG_MIN", np.argmin, "ArgMin"))
