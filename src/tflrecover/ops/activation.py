"""Activations: those that a convolution can have fused behind it, and those with parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops.keras import layer
from tflrecover.ops.readers import operands, plain
from tflrecover.ops.spec import Attributes, Builder, Inverse, KerasBuilder, Lowered, OpSpec, Part, Source, Unsupported
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
    keras: KerasBuilder | str,
    undo: Callable[[Array], Array] | None = None,
) -> OpSpec:
    return OpSpec(
        name,
        keras=layer("Activation", activation=keras) if isinstance(keras, str) else keras,
        evaluate=lambda args, _: [function(args[0])],
        tflite=plain(name),
        tf={tf: plain(name)} if tf else {},
        roles=("input",),
        infer_shape=_same_shape,
        family="activation",
        inverse=None if undo is None else _inverse(undo),
    )


def _inverse(undo: Callable[[Array], Array]) -> Inverse:
    def inverse(slot: int, target: Array, args: Sequence[Array], attributes: Attributes) -> Array:
        with np.errstate(all="ignore"):
            # float64, so that going back and forth loses nothing that float32 had.
            return undo(target.astype(np.float64))

    return inverse


def _unclipped(y: Array) -> Array:
    """Of what became zero, zero is as good as any number below."""
    if (y < 0).any():
        raise ValueError("RELU gives no negative number")
    return y


_ERF = np.vectorize(math.erf, otypes=[np.float64])

RELU = _spec("RELU", lambda x: np.maximum(x, 0), "Relu", layer("ReLU"), _unclipped)
RELU6 = _spec("RELU6", lambda x: np.clip(x, 0, 6), "Relu6", layer("ReLU", max_value=6.0))
LOGISTIC = _spec("LOGISTIC", _sigmoid, "Sigmoid", "sigmoid", lambda y: np.log(y) - np.log1p(-y))
TANH = _spec("TANH", np.tanh, "Tanh", "tanh", np.arctanh)
SILU = _spec("SILU", lambda x: x * _sigmoid(x), None, "silu")
PLAIN = (
    RELU,
    RELU6,
    LOGISTIC,
    TANH,
    SILU,
    _spec("RELU_N1_TO_1", lambda x: np.clip(x, -1, 1), None, "hard_tanh"),
    _spec("RELU_0_TO_1", lambda x: np.clip(x, 0, 1), None, layer("ReLU", max_value=1.0)),
    _spec("ELU", lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), "Elu", "elu"),
    _spec("HARD_SWISH", lambda x: x * np.clip(x + 3, 0, 6) / 6, None, "hard_silu"),
    _spec("SOFTPLUS", lambda x: np.logaddexp(x, 0), "Softplus", "softplus", lambda y: y + np.log(-np.expm1(-y))),
    _spec("SOFTSIGN", lambda x: x / (1 + np.abs(x)), "Softsign", "softsign"),
    _spec("SELU", lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)), "Selu", "selu"),
)


def _softmax(x: Array, beta: float, axis: tuple[int, ...] = (-1,)) -> Array:
    x = x * beta
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(e / e.sum(axis=axis, keepdims=True))


def _logarithms(slot: int, target: Array, args: Sequence[Array], attributes: Attributes) -> Array:
    """Of all that differ in one addend, the logarithms: what they give adds up to one already."""
    with np.errstate(all="ignore"):
        return np.asarray(np.log(target.astype(np.float64)) / attributes.get("beta", 1.0))


def _keras_softmax(builder: Builder, part: Part) -> Any:
    x, beta = part.args[0], part.attributes["beta"]
    return builder.layer("Softmax", x if beta in (1.0, None) else builder.ops("multiply", x, np.float32(beta)))


SOFTMAX = OpSpec(
    "SOFTMAX",
    keras=_keras_softmax,
    evaluate=lambda args, attributes: [_softmax(args[0], attributes["beta"])],
    tflite=plain("SOFTMAX", beta="beta"),
    tf={"Softmax": lambda source: Lowered("SOFTMAX", operands(source), {"beta": 1.0})},
    roles=("input",),
    infer_shape=_same_shape,
    declared=("beta",),
    family="activation",
    inverse=_logarithms,
)

SOFTMAX_OF_AXES = OpSpec(
    "SOFTMAX_OF_AXES",
    keras=lambda builder, part: builder.layer("Softmax", part.args[0], axis=list(part.attributes["axis"])),
    evaluate=lambda args, attributes: [_softmax(args[0], 1.0, attributes["axis"])],
    roles=("input",),
    infer_shape=_same_shape,
    declared=("axis",),
    family="activation",
    inverse=_logarithms,
)

LOG_SOFTMAX = OpSpec(
    "LOG_SOFTMAX",
    keras=layer("Activation", activation="log_softmax"),
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
    keras=layer("LeakyReLU", "negative_slope"),
    evaluate=lambda args, a: [np.where(args[0] > 0, args[0], args[0] * a["negative_slope"])],
    tflite=_alpha,
    tf={"LeakyRelu": _alpha},
    roles=("input",),
    infer_shape=_same_shape,
    declared=("negative_slope",),
    family="activation",
)


def _keras_gelu(builder: Builder, part: Part) -> Any:
    if not part.attributes["approximate"]:
        return builder.layer("Activation", part.args[0], activation="gelu")
    return builder.ops("gelu", part.args[0], approximate=True)


def _gelu(x: Array, approximate: bool) -> Array:
    inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3) if approximate else x / np.sqrt(2)
    return np.asarray(0.5 * x * (1 + (np.tanh(inner) if approximate else _ERF(inner))), x.dtype)


GELU = OpSpec(
    "GELU",
    keras=_keras_gelu,
    evaluate=lambda args, a: [_gelu(args[0], a["approximate"])],
    tflite=plain("GELU", approximate="approximate"),
    roles=("input",),
    infer_shape=_same_shape,
    declared=("approximate",),
    family="activation",
)


def _keras_prelu(builder: Builder, part: Part) -> Any:
    x, alpha = part.args
    shape = part.shape(0)[1:]
    slope = np.reshape(alpha, (1,) * (len(shape) - np.ndim(alpha)) + np.shape(alpha)[-len(shape) :])
    shared = tuple(axis for axis, (n, m) in enumerate(zip(slope.shape, shape, strict=True), 1) if n == 1 and n != m)
    if slope.ndim != len(shape):
        raise Unsupported("it has slopes for the examples of a batch")
    return builder.layer("PReLU", x, weights=(slope,), shared_axes=list(shared) or None)


PRELU = OpSpec(
    "PRELU",
    keras=_keras_prelu,
    evaluate=lambda args, _: [np.where(args[0] > 0, args[0], args[0] * args[1])],
    tflite=plain("PRELU"),
    roles=("input", "alpha"),
    weights=frozenset({"alpha"}),
    infer_shape=_same_shape,
    family="activation",
)

SPECS = (*PLAIN, SOFTMAX, SOFTMAX_OF_AXES, LOG_SOFTMAX, LEAKY_RELU, GELU, PRELU)
