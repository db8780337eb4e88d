"""Dense layers as Keras has them, which work on the last axis of any rank: a file often has rows, and the bias apart.

RESHAPE(FULLY_CONNECTED(RESHAPE(x, rows), k, b), back) = FULLY_CONNECTED(x, k, b)         or of x reshaped
RESHAPE(FULLY_CONNECTED(RESHAPE(x, rows), k, b), heads) = RESHAPE(FULLY_CONNECTED(x, k, b), heads)
RESHAPE(FULLY_CONNECTED(x, k)) + b = RESHAPE(FULLY_CONNECTED(x, k, b'))     likewise with a TRANSPOSE behind the RESHAPE
AFFINE(FULLY_CONNECTED(x, k), 1, o) = FULLY_CONNECTED(x, k, o)
"""

from __future__ import annotations

import math

import numpy as np

from tflrecover import ops
from tflrecover.ir import Op
from tflrecover.recovery.sequences import swapped
from tflrecover.rewrite.affine import LINEAR, absorb, pair_of
from tflrecover.rewrite.common import lone_constant
from tflrecover.rewrite.draft import Draft, merged_origins
from tflrecover.rewrite.match import array, elementwise, maker
from tflrecover.rewrite.scalars import known_array
from tflrecover.rewrite.writer import Writer
from tflrecover.weight import Array, Literal


def drop_reshapes(draft: Draft) -> int:
    """A reshape to the shape that is there already, as converters leave it where sizes are computed, goes."""
    count = 0
    for op in draft.of_type("RESHAPE"):
        x, result = op.inputs[0], op.outputs[0]
        if x is not None and draft.shape(x) == draft.shape(result) and draft.values[x].shape is not None:
            draft.remove(op.id)
            draft.redirect(result, x)
            count += 1
    return count


def cancel_reshapes(draft: Draft) -> int:
    """Two reshapes in a row that lead back to the shape before them go."""
    count = 0
    for op in draft.of_type("RESHAPE"):
        before = draft.producer(op.inputs[0])
        x = before.inputs[0] if before is not None and before.type == "RESHAPE" else None
        if x is not None and draft.shape(x) == draft.shape(op.outputs[0]):
            draft.remove(op.id)
            draft.redirect(op.outputs[0], x)
            count += 1
    return count


def fill_products(draft: Draft) -> int:
    """Matrices that broadcasting would repeat for the axes of others get these axes: the first stays the batch."""
    count = 0
    for op in draft.of_type("BATCH_MATMUL"):
        rank = len(draft.shape(op.outputs[0]))
        inputs = []
        for value in op.inputs:
            shape = draft.shape(value)
            is_low = draft.weight(value) is None and 2 < len(shape) < rank and shape[0] == 1
            filled = (1,) * (rank - len(shape)) + shape
            inputs.append(Writer(draft, op).reshaped(value, filled) if is_low else value)
        if tuple(inputs) != op.inputs:
            draft.replace(op.evolve(inputs=tuple(inputs)))
            count += 1
    return count


def fill_rows(draft: Draft) -> int:
    """Rows that broadcasting would give the axis of the batch get it by a reshape that dense layers leave out."""
    count = 0
    for op in elementwise(draft):
        shape = draft.shape(op.outputs[0])
        if shape[:1] != (1,):
            continue
        inputs = tuple(_turned(draft, op, value, len(shape)) for value in op.inputs)
        if inputs != op.inputs:
            op = op.evolve(inputs=inputs)
            draft.replace(op)
        rows = [value for value in op.inputs if draft.shape(value) == shape[1:] and draft.weight(value) is None]
        if len(rows) == 1 and len(shape) > len(("batch", "features")):
            filled = Writer(draft, op).reshaped(rows[0], shape)
            draft.replace(op.evolve(inputs=tuple(filled if value == rows[0] else value for value in op.inputs)))
            count += 1
    return count


def _turned(draft: Draft, op: Op, value: int | None, rank: int) -> int | None:
    """A value whose batch of one was exchanged with the axis behind, so that broadcasting gives it another in front."""
    made, shape = draft.producer(value), draft.shape(value)
    before = swapped(draft, made)
    if before is None or len(shape) >= rank or draft.shape(before)[0] != 1:
        return value
    return Writer(draft, op).reshaped(before, (*(1,) * (rank - len(shape)), *shape))


def join_reshapes(draft: Draft) -> int:
    """Of two reshapes around functions of single numbers, the first stands behind these, with the second."""
    count = 0
    for back in draft.of_type("RESHAPE"):
        between: list[Op] = []
        made = draft.producer(back.inputs[0])
        while made is not None and _is_of_single_numbers(made) and draft.only_consumer(made.outputs[0]) is not None:
            between.append(made)
            made = draft.producer(made.inputs[0])
        if not between or made is None or made.type != "RESHAPE" or draft.only_consumer(made.outputs[0]) is None:
            continue
        x = made.inputs[0]
        for op in reversed(between):
            y = draft.new_value(draft.shape(x), draft.values[op.outputs[0]].dtype, draft.values[op.outputs[0]].name)
            draft.replace(op.evolve(inputs=(x, *op.inputs[1:]), outputs=(y,)))
            x = y
        draft.replace(back.evolve(inputs=(x,)))
        count += 1
    return count + drop_reshapes(draft)


def _is_of_single_numbers(op: Op) -> bool:
    spec = ops.by_name(op.type)
    return spec is not None and spec.is_of_single_numbers


def drop_rows(draft: Draft) -> int:
    """A dense layer on rows, between two reshapes, works on all axes that are behind it."""
    count = 0
    for back in draft.of_type("RESHAPE"):
        dense = draft.producer(back.inputs[0])
        rows = None if dense is None else draft.producer(dense.inputs[0])
        if dense is None or rows is None or dense.type != "FULLY_CONNECTED" or rows.type != "RESHAPE":
            continue
        (*lead, units), (*flat, features) = draft.shape(back.outputs[0]), draft.shape(rows.outputs[0])
        before = draft.shape(rows.inputs[0])
        if draft.only_consumer(dense.outputs[0]) is None or units != draft.shape(dense.outputs[0])[-1]:
            continue
        # What is merged as well, as heads and windows of attention are, is merged alone.
        is_merged = len(lead) > 1 and len(flat) == 1 and len(before) > len(lead) and math.prod(lead) == flat[0]
        if before != (*lead, features) and not is_merged:
            continue
        x = Writer(draft, dense).reshaped(rows.inputs[0], (*lead, features))
        draft.remove(back.id)
        draft.replace(dense.evolve(inputs=(x, *dense.inputs[1:]), outputs=back.outputs))
        count += 1
    return count


def lift_rows(draft: Draft) -> int:
    """A dense layer on rows, whose units are taken apart behind it, works on the axes that were there before."""
    count = 0
    for dense in draft.of_type("FULLY_CONNECTED"):
        rows, back = draft.producer(dense.inputs[0]), draft.only_consumer(dense.outputs[0])
        if rows is None or back is None or rows.type != "RESHAPE" or back.type != "RESHAPE":
            continue
        *lead, features = draft.shape(rows.inputs[0])
        flat, units = draft.shape(rows.outputs[0]), draft.shape(dense.outputs[0])[-1]
        if len(lead) < 2 or flat != (math.prod(lead), features) or [*draft.shape(back.outputs[0])[: len(lead)]] != lead:
            continue
        result = draft.values[dense.outputs[0]]
        whole = draft.new_value((*lead, units), result.dtype, result.name)
        draft.replace(dense.evolve(inputs=(rows.inputs[0], *dense.inputs[1:]), outputs=(whole,)))
        draft.replace(back.evolve(inputs=(whole,)))
        count += 1
    return count


def lift_biases(draft: Draft) -> int:
    """A bias behind what moves a dense layer's units is that of the layer, before a factor behind it takes it along."""
    count = 0
    for op in draft.of_type("ADD"):
        slot, constant = lone_constant(draft, op) or (0, None)
        known = None if constant is None else known_array(draft, constant)
        value = op.inputs[1 - slot]
        shape = draft.shape(value)
        if known is None or value is None or known.ndim > len(shape) or shape != draft.shape(op.outputs[0]):
            continue
        bias = np.reshape(known, (1,) * (len(shape) - known.ndim) + known.shape)
        found = _bare_dense(draft, value, bias)
        if found is None:
            continue
        dense, flat = found
        draft.remove(op.id)
        draft.redirect(op.outputs[0], value)
        operands = (*dense.inputs[:2], draft.constant(Literal.of(flat)))
        draft.replace(dense.evolve(inputs=operands, origins=merged_origins(dense, op)))
        count += 1
    return count


def _bare_dense(draft: Draft, value: int, bias: Array) -> tuple[Op, Array] | None:
    """The dense layer without a bias whose units a value has in its last axes, and a constant of these as its bias."""
    if draft.only_consumer(value) is None:
        return None
    op = draft.producer(value)
    if op is not None and op.type == "TRANSPOSE" and op.inputs[0] is not None:
        return _bare_dense(draft, op.inputs[0], bias.transpose(np.argsort(op.attributes["perm"])))
    dense = draft.producer(op.inputs[0]) if op is not None and op.type == "RESHAPE" else op
    if dense is None or dense.type != "FULLY_CONNECTED" or draft.only_consumer(dense.outputs[0]) is None:
        return None
    rank, units = 0, draft.shape(dense.outputs[0])[-1]
    while math.prod(bias.shape[bias.ndim - rank :]) != units and rank < bias.ndim:
        rank += 1
    is_of_units = rank > 0 and bias.shape[-rank:] == draft.shape(value)[-rank:] and bias.size == units
    is_bare = _has_no_bias(draft, dense) and draft.weight(dense.inputs[1]) is not None
    return (dense, bias.reshape(-1)) if is_of_units and is_bare and "activation" not in dense.attributes else None


def fuse_biases(draft: Draft) -> int:
    """An offset alone behind a linear operator without a bias is its bias, also where another is added before."""
    count = 0
    for op in draft.of_type("AFFINE"):
        made = draft.producer(op.inputs[0])
        if made is None or op.inputs[1] is not None or op.inputs[2] is None:
            continue
        if draft.only_consumer(made.outputs[0]) is None:
            continue
        if made.type == "ADD":
            terms = [maker(draft, value, "FULLY_CONNECTED") for value in made.inputs]
            linear = next((one for one in terms if one is not None and _takes_bias(draft, one, op)), None)
        else:
            linear = made if _takes_bias(draft, made, op) else None
        if linear is None:
            continue
        kernel, bias = draft.weight(linear.inputs[1]), draft.weight(linear.inputs[2])
        assert kernel is not None
        assert bias is not None
        operands = (draft.constant(weight) for weight in absorb(linear.type, kernel, bias, pair_of(draft, op)))
        draft.remove(op.id)
        inputs = (linear.inputs[0], *operands)
        draft.replace(linear.evolve(inputs=inputs, origins=merged_origins(linear, op)))
        draft.replace(draft.ops[made.id].evolve(outputs=op.outputs))
        count += 1
    return count


def _takes_bias(draft: Draft, linear: Op, offset: Op) -> bool:
    """Whether an operator without a bias may have an offset as its own."""
    is_linear = linear.type in LINEAR and linear.id not in draft.opaque and "activation" not in linear.attributes
    if not is_linear or draft.weight(linear.inputs[1]) is None or draft.weight(linear.inputs[2]) is None:
        return False
    is_alone = draft.only_consumer(linear.outputs[0]) is not None
    return is_alone and _has_no_bias(draft, linear) and draft.shape(linear.outputs[0]) == draft.shape(offset.outputs[0])


def _has_no_bias(draft: Draft, linear: Op) -> bool:
    """Whether a bias is all zeros; a file has one where the layer has none."""
    bias = array(draft, linear.inputs[2])
    return bias is not None and not bias.any()
