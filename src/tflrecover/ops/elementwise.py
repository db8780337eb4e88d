"""Arithmetic, element by element with broadcasting. These are also the words that weight expressions are made of."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tflrecover import tolerances
from tflrecover.ir import Shape
from tflrecover.ops.keras import aligned, elementwise, function, is_constant, merging, tensorflow
from tflrecover.ops.readers import operands, plain
from tflrecover.ops.spec import Attributes, Builder, Inverse, KerasBuilder, Lowered, OpSpec, Part, Source
from tflrecover.ops.window import is_channels_first
from tflrecover.weight import Array


def broadcast(shapes: Sequence[Shape], attributes: Attributes) -> Shape:
    """Shape of what is computed number by number."""
    return tuple(np.broadcast_shapes(*shapes))


def _inverse(solve: Callable[[int, Array, Sequence[Array]], Array]) -> Inverse:
    def inverse(slot: int, target: Array, args: Sequence[Array], attributes: Attributes) -> Array:
        # float64, so that going back and forth loses nothing that float32 had.
        known = [np.asarray(arg, np.float64) for arg in args]
        with np.errstate(divide="ignore", invalid="ignore"):
            return _middle(np.asarray(solve(slot, target.astype(np.float64), known)), args[slot].shape)

    return inverse


def _middle(array: Array, shape: Shape) -> Array:
    """The middle of what broadcasting repeated: no further from any than rounding brought them apart."""
    if array.shape == shape:
        return array
    array = array.reshape((1,) * (len(shape) - array.ndim) + array.shape)
    axes = _repeated(shape, array.shape)
    # A number that is not known says nothing of the others.
    low, high = (extreme.reduce(array, axis=axes) for extreme in (np.fmin, np.fmax))
    return np.asarray((low + high) / 2).reshape(shape)


def _binary(
    name: str,
    compute: Callable[[Array, Array], Array],
    tf: tuple[str, ...],
    *,
    commutative: bool = False,
    keras: KerasBuilder,
    solve: Callable[[int, Array, Sequence[Array]], Array] | None = None,
    result: str | int = 0,
) -> OpSpec:
    return OpSpec(
        name,
        keras=keras,
        result=result,
        evaluate=lambda args, _: [compute(args[0], args[1])],
        tflite=plain(name),
        tf=dict.fromkeys(tf, plain(name)),
        roles=("x", "y"),
        commutative=commutative,
        inverse=_inverse(solve) if solve else None,
        infer_shape=broadcast,
        family="merge",
    )


def _factor(slot: int, target: Array, args: Sequence[Array], attributes: Attributes) -> Array:
    """The factor that gives ``target``; of one that was repeated by broadcasting, the best in the least squares sense.

    A single representative will not do: dividing by one small weight would lose all digits. Where both are zero any
    factor will do, and zero is one: a pruned channel has nothing to say.
    """
    other, shape = args[1 - slot], args[slot].shape
    if other.size and np.all(other == 1) and target.shape == shape:
        return target
    known, wanted = np.broadcast_arrays(np.asarray(other, np.float64), target.astype(np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        above, below = wanted, known
        if wanted.shape != shape:
            above, below = _reduced(wanted * known, shape), _reduced(known * known, shape)
        return np.where((above == 0) & (below == 0), 0.0, above / below)


def _reduced(array: Array, shape: Shape) -> Array:
    """Sums over what broadcasting ``shape`` repeats."""
    return np.asarray(array.sum(axis=_repeated(shape, array.shape))).reshape(shape)


def _repeated(shape: Shape, whole: Shape) -> tuple[int, ...]:
    """Axes of the whole that broadcasting ``shape`` to it repeats."""
    lead = len(whole) - len(shape)
    return (*range(lead), *(lead + i for i, n in enumerate(shape) if n == 1 and whole[lead + i] != 1))


def _without_lost(solve: Callable[[int, Array, Sequence[Array]], Array]) -> Callable[..., Array]:
    """A sum undone; NaN says that a number is not known, where one too large stood beside it for its digits."""

    def told(slot: int, target: Array, known: Sequence[Array]) -> Array:
        left = np.asarray(solve(slot, target, known))
        lost = np.abs(target) * np.finfo(np.float32).eps
        is_lost = np.broadcast_to(lost > tolerances.LOST, left.shape)
        if is_lost.any() and is_lost.all():
            raise ValueError("beside numbers as large as a mask's its digits are lost")
        return np.where(is_lost, np.nan, left) if is_lost.any() else left

    return told


def _bias_add(source: Source) -> Lowered:
    return Lowered("ADD", operands(source), channels_first=is_channels_first(source.attributes))


_ADD = _binary(
    "ADD",
    np.add,
    ("Add", "AddV2"),
    keras=merging("Add", "add"),
    commutative=True,
    solve=_without_lost(lambda i, t, a: t - a[1 - i]),
)
ADD = replace(_ADD, tf={**_ADD.tf, "BiasAdd": _bias_add})
SUB = _binary(
    "SUB",
    np.subtract,
    ("Sub",),
    keras=merging("Subtract", "subtract"),
    solve=_without_lost(lambda i, t, a: t + a[1] if i == 0 else a[0] - t),
)
_MUL = _binary("MUL", np.multiply, ("Mul",), keras=merging("Multiply", "multiply"), commutative=True)
MUL = replace(_MUL, inverse=_factor)


def _divide(builder: Builder, part: Part) -> Any:
    """Whole numbers are divided towards zero, as in the file."""
    if part.dtype.startswith("float"):
        return builder.ops("divide", *aligned(builder, part))
    return builder.tensorflow("truncatediv", *part.args)


DIV = _binary(
    "DIV",
    np.divide,
    ("RealDiv", "Div"),
    keras=_divide,
    solve=lambda i, t, a: t * a[1] if i == 0 else a[0] / t,
)


def _squared_difference(builder: Builder, part: Part) -> Any:
    return builder.ops("square", builder.ops("subtract", *aligned(builder, part)))


def _positive(target: Array) -> Array:
    """Of two numbers with one result, the positive one is as good as the other."""
    if (target < 0).any():
        raise ValueError("it gives no negative number")
    return target


def _extreme(name: str, compute: np.ufunc, tf: str, of_repeated: np.ufunc) -> OpSpec:
    """Of what was clipped, the limit is as good as any number beyond; of a limit for many, what none is beyond."""

    def solve(slot: int, target: Array, args: Sequence[Array]) -> Array:
        shape = args[slot].shape
        return np.asarray(of_repeated.reduce(target, axis=_repeated(shape, target.shape))).reshape(shape)

    return _binary(name, compute, (tf,), keras=merging(tf, tf.lower()), commutative=True, solve=solve)


def _root(slot: int, target: Array, args: Sequence[Array]) -> Array:
    return _positive(target) ** (1 / args[1]) if slot == 0 else np.log(target) / np.log(args[0])


BINARY = (
    ADD,
    SUB,
    MUL,
    DIV,
    _extreme("MAXIMUM", np.maximum, "Maximum", np.fmin),
    _extreme("MINIMUM", np.minimum, "Minimum", np.fmax),
    _binary("POW", np.power, ("Pow",), keras=elementwise("power"), solve=_root),
    _binary(
        "SQUARED_DIFFERENCE",
        lambda x, y: np.square(x - y),
        ("SquaredDifference",),
        keras=_squared_difference,
        commutative=True,
    ),
    _binary("FLOOR_DIV", np.floor_divide, ("FloorDiv",), keras=elementwise("floor_divide")),
    _binary("FLOOR_MOD", np.mod, ("FloorMod",), keras=elementwise("mod")),
    _binary("EQUAL", np.equal, ("Equal",), keras=elementwise("equal"), result="bool", commutative=True),
    _binary("NOT_EQUAL", np.not_equal, ("NotEqual",), keras=elementwise("not_equal"), result="bool", commutative=True),
    _binary("GREATER", np.greater, ("Greater",), keras=elementwise("greater"), result="bool"),
    _binary("GREATER_EQUAL", np.greater_equal, ("GreaterEqual",), keras=elementwise("greater_equal"), result="bool"),
    _binary("LESS", np.less, ("Less",), keras=elementwise("less"), result="bool"),
    _binary("LESS_EQUAL", np.less_equal, ("LessEqual",), keras=elementwise("less_equal"), result="bool"),
    _binary("LOGICAL_AND", np.logical_and, ("LogicalAnd",), keras=elementwise("logical_and"), commutative=True),
    _binary("LOGICAL_OR", np.logical_or, ("LogicalOr",), keras=elementwise("logical_or"), commutative=True),
)


def _keras_sum(builder: Builder, part: Part) -> Any:
    if len(part.args) > 1 and not any(map(is_constant, part.args)) and part.output_shape:
        return builder.layer("Add", list(part.args))
    return functools.reduce(lambda x, y: builder.ops("add", x, y), part.args)


ADD_N = OpSpec(
    "ADD_N",
    keras=_keras_sum,
    evaluate=lambda args, _: [functools.reduce(np.add, args)],
    tflite=plain("ADD_N"),
    tf={"AddN": plain("ADD_N")},
    infer_shape=broadcast,
    family="merge",
    formula=lambda calls, args, _: functools.reduce(functools.partial(calls.ops, "add"), args),
)


def _unary(
    name: str,
    compute: Callable[[Array], Array],
    tf: str,
    keras: KerasBuilder,
    solve: Callable[[int, Array, Sequence[Array]], Array] | None = None,
) -> OpSpec:
    return OpSpec(
        name,
        keras=keras,
        evaluate=lambda args, _: [compute(args[0])],
        tflite=plain(name),
        tf={tf: plain(name)},
        roles=("input",),
        inverse=_inverse(solve) if solve else None,
        infer_shape=broadcast,
        family="unary",
    )


NEG = _unary("NEG", np.negative, "Neg", function("negative"), lambda i, t, a: -t)
RSQRT = _unary("RSQRT", lambda x: (1 / np.sqrt(x)).astype(x.dtype), "Rsqrt", function("rsqrt"), lambda i, t, a: t**-2.0)
SQRT = _unary("SQRT", np.sqrt, "Sqrt", function("sqrt"), lambda i, t, a: np.square(t))
UNARY = (
    NEG,
    RSQRT,
    SQRT,
    _unary("ABS", np.abs, "Abs", function("absolute"), lambda i, t, a: _positive(t)),
    _unary("EXP", np.exp, "Exp", function("exp"), lambda i, t, a: np.log(t)),
    _unary("LOG", np.log, "Log", function("log"), lambda i, t, a: np.exp(t)),
    _unary("SQUARE", np.square, "Square", function("square"), lambda i, t, a: np.sqrt(_positive(t))),
    _unary("SIN", np.sin, "Sin", function("sin")),
    _unary("COS", np.cos, "Cos", function("cos")),
    _unary("FLOOR", np.floor, "Floor", function("floor")),
    _unary("CEIL", np.ceil, "Ceil", function("ceil")),
    _unary("ROUND", np.round, "Round", function("round")),
    _unary("SIGN", np.sign, "Sign", function("sign")),
    _unary("ERF", np.vectorize(math.erf, otypes=[np.float32]), "Erf", function("erf")),
    _unary("ERFC", np.vectorize(math.erfc, otypes=[np.float32]), "Erfc", tensorflow("math.erfc")),
    _unary("LOGICAL_NOT", np.logical_not, "LogicalNot", function("logical_not")),
)

RECIPROCAL = OpSpec(
    "RECIPROCAL",
    keras=function("reciprocal"),
    evaluate=lambda args, _: [np.reciprocal(args[0])],
    tf={"Reciprocal": plain("RECIPROCAL"), "Inv": plain("RECIPROCAL")},
    roles=("input",),
    inverse=_inverse(lambda i, t, a: 1 / t),
    infer_shape=broadcast,
    family="unary",
)


def _identity(source: Source) -> Lowered:
    return Lowered("IDENTITY", operands(source)[:1])


def _identity_inverse(slot: int, target: Array, args: Sequence[Array], attributes: Attributes) -> Array:
    return target


IDENTITY = OpSpec(
    "IDENTITY",
    evaluate=lambda args, _: [args[0]],
    tf=dict.fromkeys(("Identity", "StopGradient", "ReadVariableOp", "PreventGradient", "Snapshot"), _identity),
    roles=("input",),
    inverse=_identity_inverse,
    infer_shape=broadcast,
)


_REAL = frozenset({"float8_e4m3fn", "float8_e5m2", "float16", "bfloat16", "float32", "float64"})


def _cast(source: Source) -> Lowered:
    # Options are often left out; the type of the result says it all.
    before, after = str(source.dtype(0)), str(source.output_dtype())
    if before in _REAL and after in _REAL:
        # Mixed precision changes how numbers are kept, not what they mean.
        return Lowered("IDENTITY", operands(source))
    return Lowered("CAST", operands(source), {"dtype": after})


CAST = OpSpec(
    "CAST",
    evaluate=lambda args, attributes: [np.asarray(args[0]).astype(attributes["dtype"])],
    keras=function("cast", "dtype"),
    tflite=_cast,
    tf={"Cast": _cast},
    roles=("input",),
    inverse=_identity_inverse,
    infer_shape=broadcast,
    declared=("dtype",),
)

_select = plain("SELECT_V2")
SELECT_V2 = OpSpec(
    "SELECT_V2",
    keras=elementwise("where"),
    evaluate=lambda args, _: [np.where(args[0], args[1], args[2])],
    tflite=_select,
    tf={"SelectV2": _select, "Select": _select},
    roles=("condition", "x", "y"),
    result=1,
    infer_shape=broadcast,
)
SELECT = OpSpec("SELECT", tflite=_select)

SPECS = (SELECT_V2, SELECT, *BINARY, ADD_N, *UNARY, RECIPROCAL, IDENTITY, CAST)
