"""What an operator of a draft makes of arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tflrecover import ops
from tflrecover.errors import EvaluationError
from tflrecover.ir import Op, Shape
from tflrecover.ops.spec import Attributes
from tflrecover.ops.window import window_pads
from tflrecover.weight import Array


def evaluated(op: Op, args: Sequence[Array | None], shape: Shape) -> Sequence[Array] | None:
    """Results of one operator; None where it has no evaluation, or takes no such operands.

    Args:
        op: The operator, in canonical terms.
        args: Its operands; None for one that is left out.
        shape: Of its first result.
    """
    spec, linear = ops.by_name(op.type), _LINEAR.get(str(op.type))
    try:
        if linear is not None:
            return [linear(args, op.attributes).reshape(shape)]
        return spec.results(args, op.attributes) if spec is not None and spec.evaluate is not None else None
    except (EvaluationError, ValueError):
        return None


def _affine(args: Sequence[Any], attributes: Attributes) -> Array:
    x, scale, offset = args
    return np.asarray((x if scale is None else x * scale) + (0 if offset is None else offset))


def _dense(args: Sequence[Any], attributes: Attributes) -> Array:
    x, kernel, bias = args
    return np.asarray(x.reshape(-1, len(kernel)) @ kernel + (0 if bias is None else bias))


def _convolution(args: Sequence[Any], attributes: Attributes) -> Array:
    import tensorflow as tf

    x, kernel, bias = args
    pads = window_pads(x.shape[1:3], attributes)
    padded = np.pad(x, ((0, 0), *pads, (0, 0))).astype(kernel.dtype)
    dilation = list(attributes["dilation_rate"])
    made = tf.nn.conv2d(padded, kernel, list(attributes["strides"]), "VALID", dilations=dilation)
    return np.asarray(made + bias)


def _product(args: Sequence[Any], attributes: Attributes) -> Array:
    turned = (attributes["adj_x"], attributes["adj_y"])
    x, y = (np.swapaxes(arg, -1, -2) if is_turned else arg for arg, is_turned in zip(args, turned, strict=True))
    return np.asarray(np.matmul(x, y))


# Those that no expression of constants is made of have no evaluation of their own.
_LINEAR: Mapping[str, Callable[[Sequence[Any], Attributes], Array]] = {
    "AFFINE": _affine,
    "FULLY_CONNECTED": _dense,
    "CONV_2D": _convolution,
    "BATCH_MATMUL": _product,
}
