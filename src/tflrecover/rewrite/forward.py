"""``CONV(AFFINE(x, s, o), k, b) = CONV(x, k·s, b + Σ k·o)``: what converters fold forward when it suits them.

Whether they do depends on versions, on consumers and on the form of the constants, so no rule decides it beforehand:
both sides of an equation are brought to this form where the scalings on an edge differ. An offset can only go forward
where no padding is: at the border the zeros are not shifted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from tflrecover.ir import Graph, Op, Shape, Value
from tflrecover.ops.conv import is_no_bias
from tflrecover.ops.elementwise import ADD, MUL
from tflrecover.ops.reduce import CONTRACTION
from tflrecover.ops.shape import RESHAPE
from tflrecover.ops.window import window_pads
from tflrecover.rewrite.affine import Pair, compose
from tflrecover.weight import Weight

# Per operator: the axis of the kernel that runs along input channels, and the axes that a bias sums over.
_INPUT_AXIS = {
    "CONV_2D": 2,
    "CONV_3D": 3,
    "DEPTHWISE_CONV_2D": 2,
    "FULLY_CONNECTED": 0,
    "TRANSPOSE_CONV": 3,
    "CONV_3D_TRANSPOSE": 4,
}
_SUMMED = {"CONV_2D": (0, 1, 2), "CONV_3D": (0, 1, 2, 3), "DEPTHWISE_CONV_2D": (0, 1), "FULLY_CONNECTED": (0,)}


def scaling(graph: Graph, chain: tuple[int | str, ...]) -> Pair:
    """``(scale, offset)`` of several AFFINE operators in a row; ``(None, None)`` of none."""
    pair: Pair = (None, None)
    for op_id in chain:
        op = graph.op(op_id)
        weights = [None if v is None else graph.values[v].weight for v in op.inputs[1:3]]
        pair = compose(pair, (weights[0], weights[1]))
    return pair


def fits(values: Mapping[int, Value], op: Op, pair: Pair) -> bool:
    """Whether an operator is linear and ``pair`` has one number per input channel of its kernel, or one for all."""
    axis = _INPUT_AXIS.get(str(op.type))
    if axis is None or op.inputs[1] is None or values[op.inputs[1]].weight is None:
        return False
    kernel = values[op.inputs[1]].shape or ()
    return all(math.prod(weight.shape) in (1, kernel[axis]) for weight in pair if weight is not None)


def is_padded(values: Mapping[int, Value], op: Op) -> bool:
    """Whether windows reach over the border, where an offset before the operator does not show."""
    if op.type not in _SUMMED:
        return True
    if op.type == "FULLY_CONNECTED" or op.inputs[0] is None:
        return False
    return any(any(pad) for pad in window_pads((values[op.inputs[0]].shape or ())[1:-1], op.attributes))


def absorb(op: Op, kernel: Weight, bias: Weight, pair: Pair) -> tuple[Weight, Weight]:
    """Kernel and bias of the linear operator with ``pair`` inside."""
    scale, offset = pair
    if offset is not None:
        axis = _SUMMED[str(op.type)]
        shape = tuple(n for i, n in enumerate(kernel.shape) if i not in axis)
        total = CONTRACTION(kernel, _along_input(offset, op, kernel), shape=shape, axis=axis)
        total = total if total.shape == bias.shape else RESHAPE(total, shape=bias.shape, target_shape=bias.shape)
        bias = total if is_no_bias(bias) else ADD(bias, total, shape=bias.shape)
    if scale is not None:
        kernel = MUL(kernel, _along_input(scale, op, kernel), shape=kernel.shape)
    return kernel, bias


def _along_input(weight: Weight, op: Op, kernel: Weight) -> Weight:
    """A constant per input channel, in a shape that broadcasts against the kernel."""
    axis = _INPUT_AXIS[str(op.type)]
    count = math.prod(weight.shape)
    shape: Shape = (1,) if count == 1 else (count, *(1,) * (len(kernel.shape) - axis - 1))
    return weight if weight.shape == shape else RESHAPE(weight, shape=shape, target_shape=shape)
