"""Activations: those that a convolution can have fused behind it, and those with parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops.readers import operands, plain
from tflrecover.ops.spec import Attributes, Lowered, OpSpec, Source
from tflrecover.weight import Array


def _same_shape(shapes: Sequence[Shape], attributes: Attributes) -> Shape:
    return shapes[0]


def _sigmoid(x: Array) -> Array:
    # Split by sign: exp never overflows.
    e = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1, e) / (1 + e))


def _spec(
    name: str,
    function: Callable[[Array], Array],
    tf: str | None,
) -> OpSpec:
    return OpSpec(
        name,
        evaluate=lambda args, _: [function(args[0])],
        tflite=plain(name),
        tf={tf: plain(name)} if tf else {},
        roles=("input",),
        infer_shape=_same_shape,
        family="activation",
    )


RELU = _spec("RELU", lambda x: np.maximum(x, 0), "Relu")
RELU6 = _spec("RELU6", lambda x: np.clip(x, 0, 6), "Relu6")
LOGISTIC = _spec("LOGISTIC", _sigmoid, "Sigmoid")
TANH = _spec("TANH", np.tanh, "Tanh")
SILU = _spec("SILU", lambda x: x * _sigmoid(x), None)
PLAIN = (
    RELU,
    RELU6,
    LOGISTIC,
    TANH,
    SILU,
    _spec("RELU_N1_TO_1", lambda x: np.clip(x, -1, 1), None),
    _spec("RELU_0_TO_1", lambda x: np.clip(x, 0, 1), None),
    _spec("ELU", lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), "Elu"),
    _spec("HARD_SWISH", lambda x: x * np.clip(x + 3, 0, 6) / 6, None),
    _spec("SOFTPLUS", lambda x: np.logaddexp(x, 0), "Softplus"),
    _spec("SOFTSIGN", lambda x: x / (1 + np.abs(x)), "Softsign"),
    _spec("SELU", lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)), "Selu"),
)


def _exponents(x: Array) -> Array:
    return np.asarray(np.exp(x - x.max(axis=-1, keepdims=True)))


def _softmax(x: Array, beta: float) -> Array:
    e = _exponents(x * beta)
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


SOFTMAX = OpSpec(
    "SOFTMAX",
    evaluate=lambda args, attributes: [_softmax(args[0], attributes["beta"])],
    tflite=plain("SOFTMAX", beta="beta"),
    tf={"Softmax": lambda source: Lowered("SOFTMAX", operands(source), {"beta": 1.0})},
    roles=("input",),
    infer_shape=_same_shape,
    declared=("beta",),
    family="activation",
)

LOG_SOFTMAX = OpSpec(
    "LOG_SOFTMAX",
    evaluate=lambda args, _: [np.log(_softmax(args[0], 1.0))],
    tflite=plain("LOG_SOFTMAX"),
    tf={"LogSoftmax": plain("LOG_SOFTMAX")},
    roles=("input",),
    infer_shape=_same_shape,
    family="activation",
)


def _alpha(source: Source) -> Lowered:
    # The file keeps float32; Keras's Python float must compare equal to it, and 0.3 must read as 0.3.
    slope = float(str(np.float32(source.attributes["alpha"])))
    return Lowered("LEAKY_RELU", operands(source), {"negative_slope": slope})


LEAKY_RELU = OpSpec(
    "LEAKY_RELU",
    evaluate=lambda args, a: [np.where(args[0] > 0, args[0], args[0] * a["negative_slope"])],
    tflite=_alpha,
    tf={"LeakyRelu": _alpha},
    roles=("input",),
    infer_shape=_same_shape,
    declared=("negative_slope",),
    family="activation",
)

GELU = OpSpec(
    "GELU",
    tflite=plain("GELU", approximate="approximate"),
    roles=("input",),
    infer_shape=_same_shape,
    declared=("approximate",),
    family="activation",
)

PRELU = OpSpec(
    "PRELU",
    evaluate=lambda args, _: [np.where(args[0] > 0, args[0], args[0] * args[1])],
    tflite=plain("PRELU"),
    roles=("input", "alpha"),
    weights=frozenset({"alpha"}),
    infer_shape=_same_shape,
    family="activation",
)

SPECS = (*PLAIN, SOFTMAX, LOG_SOFTMAX, LEAKY_RELU, GELU, PRELU)
