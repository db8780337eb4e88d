"""Matrix products with a constant side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops import computed
from tflrecover.ops.conv import bias_of, with_bias
from tflrecover.ops.layout import rearrange
from tflrecover.ops.readers import activation, operand, operands
from tflrecover.ops.spec import Attributes, Builder, Lowered, Operand, OpSpec, Part, Source
from tflrecover.ops.tables import learned
from tflrecover.weight import Array, Weight

DENSE_LAYOUT = "o i -> i o"


def _dense(x: Operand, kernel: Weight, bias: Operand, fused: str | None, shape: Shape | None = None) -> Lowered:
    units = kernel.shape[-1]
    bias = bias_of(bias, units)
    return Lowered("FULLY_CONNECTED", (x, kernel, bias), {"units": units}, fused, shape)


def _tflite_dense(source: Source) -> Lowered | None:
    kernel = source.weight(1)
    # Shuffled weights are stored in the order in which one processor of old phones read them.
    if source.attributes.get("weights_format", "DEFAULT") != "DEFAULT":
        return None
    if kernel is None and operand(source, 2) is None and _is_product(source):
        # A matrix product of two activations, or of a constant and one in that order, may be written so, too.
        adjoints = {"adj_x": False, "adj_y": True}
        return Lowered("BATCH_MATMUL", operands(source)[:2], adjoints, activation(source))
    if kernel is None or len(kernel.shape) != 2:
        return None
    kernel = rearrange(kernel, DENSE_LAYOUT)
    shape = source.shape(0)
    if not source.attributes.get("keep_num_dims") and len(shape) != 2:
        size = 1
        for n in shape:
            size *= n
        shape = (size // max(kernel.shape[0], 1), kernel.shape[0])
    return _dense(source.inputs[0], kernel, operand(source, 2), activation(source), (*shape[:-1], kernel.shape[-1]))


def _is_product(source: Source) -> bool:
    rows, columns = len(source.shape(0)), len(source.shape(1))
    return columns == 2 and (rows == 2 or (rows > 2 and bool(source.attributes.get("keep_num_dims"))))


def _batch(source: Source) -> Lowered:
    """A product of two activations, or of one with a constant of higher rank."""
    flags = source.attributes
    attributes = {
        "adj_x": bool(flags.get("adj_x") or flags.get("transpose_a")),
        "adj_y": bool(flags.get("adj_y") or flags.get("transpose_b")),
    }
    return Lowered("BATCH_MATMUL", operands(source)[:2], attributes)


def _tf_matmul(source: Source) -> Lowered | None:
    kernel, flags = source.weight(1), source.attributes
    if kernel is None or source.weight(0) is not None or len(kernel.shape) != 2:
        return _batch(source)
    if flags.get("transpose_a") or flags.get("adj_x"):
        return _batch(source)
    if flags.get("transpose_b") or flags.get("adj_y"):
        kernel = rearrange(kernel, DENSE_LAYOUT)
    return _dense(source.inputs[0], kernel, None, None)


def _shape(shapes: Sequence[Shape], attributes: Attributes) -> Shape:
    return (*shapes[0][:-1], attributes["units"])


def _keras_dense(builder: Builder, part: Part) -> Any:
    """TFLite's own layer may take rows of any shape that has enough numbers."""
    x, before, after = part.args[0], part.shape(0), part.output_shape
    rows = (*after[:-1], np.shape(part.args[1])[0])
    if len(rows) == 1:
        # A vector, as each step of a loop has it, is a row.
        units = builder.layer("Dense", builder.ops("expand_dims", x, 0), units=after[-1], **with_bias(part))
        return builder.ops("squeeze", units, 0)
    if before != rows:
        x = builder.reshaped(x, before, rows)
    if part.attributes.get("tied"):
        return _turned(builder, x, *part.args[1:])
    return builder.layer("Dense", x, units=part.attributes["units"], **with_bias(part))


def _turned(builder: Builder, x: Any, kernel: Array, bias: Array | None) -> Any:
    """By the table of an embedding, which has no bias."""
    size, count = kernel.shape
    table = {"input_dim": count, "output_dim": size, "weights": (np.ascontiguousarray(kernel.T),)}
    y = builder.layer("ReversibleEmbedding", x, call={"reverse": True}, **table)
    if bias is None or not bias.any():
        return y
    return builder.layer("Add", [y, learned(builder, y, bias, (1,) * (len(y.shape) - 2))])


FULLY_CONNECTED = OpSpec(
    "FULLY_CONNECTED",
    keras=_keras_dense,
    computed=computed.dense,
    tflite=_tflite_dense,
    tf={"MatMul": _tf_matmul, "BatchMatMulV2": _tf_matmul, "BatchMatMulV3": _tf_matmul},
    roles=("input", "kernel", "bias"),
    weights=frozenset({"kernel", "bias"}),
    infer_shape=_shape,
    declared=("units",),
    family="linear",
)


def _batch_shape(shapes: Sequence[Shape], attributes: Attributes) -> Shape:
    x, y = shapes
    rows = x[-1] if attributes["adj_x"] else x[-2]
    columns = y[-2] if attributes["adj_y"] else y[-1]
    return (*np.broadcast_shapes(x[:-2], y[:-2]), rows, columns)


def _keras_matmul(builder: Builder, part: Part) -> Any:
    flags = (part.attributes["adj_x"], part.attributes["adj_y"])
    pair = zip(part.args, flags, strict=True)
    sides = (builder.ops("swapaxes", side, -1, -2) if is_turned else side for side, is_turned in pair)
    return builder.ops("matmul", *sides)


BATCH_MATMUL = OpSpec(
    "BATCH_MATMUL",
    keras=_keras_matmul,
    tflite=_tf_matmul,
    roles=("x", "y"),
    infer_shape=_batch_shape,
    declared=("adj_x", "adj_y"),
)

SPECS = (
    BATCH_MATMUL,
    FULLY_CONNECTED,
)
