"""What zeros leave of an operator, and operators of constants alone, which are constants.

MUL(x, 0) = 0        ADD(x, 0) = SUB(x, 0) = x        FULLY_CONNECTED(0, k, b) = b
LOGICAL_AND(x, true) = LOGICAL_OR(x, false) = SELECT_V2(true, x, y) = SELECT_V2(false, y, x) = x

A recurrent layer starts from zeros. A converter that sees its first step takes them in, and so do we.
"""

from __future__ import annotations

import math

import numpy as np

from tflrecover import ops
from tflrecover.ir import Op
from tflrecover.ops.conv import is_no_bias
from tflrecover.ops.elementwise import ADD
from tflrecover.ops.reduce import PRODUCT
from tflrecover.ops.shape import RESHAPE, TRANSPOSE
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.scalars import known_array
from tflrecover.weight import Apply, Literal, Weight

_PRODUCTS = ("MUL", "BATCH_MATMUL", "EINSUM")
_LINEAR = ("FULLY_CONNECTED", "CONV_2D", "CONV_3D", "DEPTHWISE_CONV_2D")
_LOGIC = {"LOGICAL_AND": True, "LOGICAL_OR": False}
# What repeats one zero by itself: a choice between a value and zeros, and numbers without an imaginary part.
_REPEATING = ("SELECT_V2", "COMPLEX")
# What a constant decides that is not zero.
_DECIDED = ("SELECT_V2", *_LOGIC)
_MOVES = ("RESHAPE", "TRANSPOSE", "STRIDED_SLICE")


def fold_zeros(draft: Draft) -> int:
    """Removes operators that zeros make trivial, and those that have become constant by it."""
    count = 0
    for op_id in [op.id for op in draft.ordered()]:
        op = draft.ops[op_id]
        constant = [draft.weight(value) is not None for value in op.inputs]
        if op_id in draft.opaque or len(op.outputs) != 1 or not any(constant):
            continue
        if not all(constant) and op.type not in _DECIDED and not any(is_zero(draft, value) for value in op.inputs):
            continue
        op = _plain_zeros(draft, op)
        made = _folded(draft, op)
        if made is None:
            continue
        draft.remove(op_id)
        draft.redirect(op.outputs[0], made if isinstance(made, int) else draft.constant(made))
        count += 1
    return count


def _plain_zeros(draft: Draft, op: Op) -> Op:
    """Zeros are the same zeros, whatever they were filled from."""
    inputs = list(op.inputs)
    for slot, value in enumerate(op.inputs):
        weight = draft.weight(value)
        if weight is None or not is_zero(draft, value):
            continue
        shape = () if op.type in _REPEATING and slot and _is_filled(draft, op, slot) else weight.shape
        if shape != weight.shape or not isinstance(weight, Literal):
            draft.mark_structural(weight)
            inputs[slot] = draft.constant(Literal.of(np.zeros(shape, np.float32)))
    if inputs != list(op.inputs):
        op = op.evolve(inputs=tuple(inputs))
        draft.replace(op)
    return op


def _is_filled(draft: Draft, op: Op, slot: int) -> bool:
    """Whether the other operands alone give the result its shape."""
    others = [draft.shape(value) for i, value in enumerate(op.inputs) if i != slot]
    return tuple(np.broadcast_shapes(*others)) == draft.shape(op.outputs[0])


def is_zero(draft: Draft, value: int | None) -> bool:
    """Whether a constant is zeros by the code of the model: a weight of the file that is zero may be anything."""
    weight = draft.weight(value)
    made = weight
    while isinstance(made, Apply) and made.function.name in _MOVES:
        made = made.args[0]
    is_made = isinstance(made, Literal) or (isinstance(made, Apply) and made.function.name == "FILL")
    array = known_array(draft, weight) if weight is not None and is_made else None
    return array is not None and array.dtype.kind == "f" and bool(array.size) and not array.any()


def _folded(draft: Draft, op: Op) -> int | Weight | None:
    """The value that an operator's result is, or the constant; None when it is not trivial."""
    shape = draft.shape(op.outputs[0])
    zeros = [is_zero(draft, value) for value in op.inputs]
    if op.type in _PRODUCTS and any(zeros):
        return Literal.of(np.zeros(shape, np.float32))
    if op.type in _LINEAR and zeros[0]:
        bias = draft.weight(op.inputs[2])
        return None if bias is None else _spread(_no_bias(draft, op, bias), shape)
    if op.type in ("ADD", "SUB") and any(zeros):
        other = op.inputs[0] if zeros[1] else op.inputs[1] if op.type == "ADD" else None
        if other is not None and draft.shape(other) == shape:
            return other
    if op.type == "SELECT_V2":
        for neutral, other in ((True, op.inputs[1]), (False, op.inputs[2])):
            is_chosen = _is_all(draft, op.inputs[0], neutral=neutral) and draft.shape(other) == shape
            if is_chosen and other is not None and draft.weight(other) is None:
                return other
    if op.type in _LOGIC:
        for value, other in (op.inputs, op.inputs[::-1]):
            if _is_all(draft, value, neutral=_LOGIC[op.type]) and draft.shape(other) == shape:
                return other
    return _constant(draft, op, shape)


def _is_all(draft: Draft, value: int | None, *, neutral: bool) -> bool:
    """Whether a constant of truth values, of which no variable is made, is the same everywhere."""
    weight = draft.weight(value)
    array = None if weight is None else known_array(draft, weight)
    if weight is None or array is None or array.dtype != bool or not (array == neutral).all():
        return False
    draft.mark_structural(weight)
    return True


def _no_bias(draft: Draft, op: Op, bias: Weight) -> Weight:
    """A convolution of a file always has a bias: where the model gave none, zeros of the file's own."""
    array = known_array(draft, bias)
    if op.type == "FULLY_CONNECTED" or array is None or array.any():
        return bias
    draft.mark_structural(bias)
    return Literal.of(np.zeros(bias.shape, np.float32))


def _spread(weight: Weight, shape: tuple[int, ...]) -> Weight:
    if math.prod(shape) == math.prod(weight.shape):
        return RESHAPE(weight, shape=shape, target_shape=shape)
    return ADD(Literal.of(np.zeros(shape, np.float32)), weight, shape=shape)


def fold_products(draft: Draft) -> int:
    """Products of two constants, and what takes nothing but those, become constants.

    A file of fixed sizes has one constant in the place of learned queries, their norm and their projection; of a free
    batch it has the operators, because they take the queries once for each example.
    """
    count = 0
    for op_id in [op.id for op in draft.ordered()]:
        op = draft.ops[op_id]
        if op_id in draft.opaque or len(op.outputs) != 1 or any(draft.weight(value) is None for value in op.inputs):
            continue
        made = _product(draft, op) or _constant(draft, op, draft.shape(op.outputs[0]))
        if made is not None:
            draft.remove(op_id)
            draft.redirect(op.outputs[0], draft.constant(made))
            count += 1
    return count


def _product(draft: Draft, op: Op) -> Weight | None:
    """The product of two constants."""
    if op.type == "BATCH_MATMUL":
        flags = (op.attributes["adj_x"], op.attributes["adj_y"])
        sides = [side for value in op.inputs if (side := draft.weight(value)) is not None]
        return PRODUCT(*(_turned(side) if is_turned else side for side, is_turned in zip(sides, flags, strict=True)))
    if op.type != "FULLY_CONNECTED":
        return None
    x, kernel, bias = (draft.weight(value) for value in op.inputs)
    if x is None or kernel is None or len(x.shape) < 2:
        return None
    made = PRODUCT(x, kernel)
    return made if bias is None or is_no_bias(bias) else ADD(made, bias)


def _turned(weight: Weight) -> Weight:
    *lead, rows, columns = range(len(weight.shape))
    return TRANSPOSE(weight, perm=(*lead, columns, rows))


def _constant(draft: Draft, op: Op, shape: tuple[int, ...]) -> Weight | None:
    """The expression of an operator that takes constants alone."""
    spec = ops.by_name(op.type)
    weights = [draft.weight(value) for value in op.inputs]
    args = tuple(weight for weight in weights if weight is not None)
    if not args or len(args) != len(weights):
        return None
    if op.type in _LINEAR or op.type == "BATCH_MATMUL":
        # Of the model's code alone, as angles are: no converter keeps it, whatever is free.
        return _product(draft, op) if all(isinstance(arg, Literal) for arg in args) else None
    if spec is None or spec.evaluate is None:
        return None
    return spec(*args, shape=shape, **op.attributes)
