"""From stored numbers to real ones, exactly as the schema says."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from tflrecover import tolerances
from tflrecover.errors import EvaluationError
from tflrecover.ir import Quantization, Shape, Value
from tflrecover.ops.readers import operands
from tflrecover.ops.shape import RESHAPE
from tflrecover.ops.spec import Attributes, Builder, Lowered, OpSpec, Part, Source
from tflrecover.weight import Apply, Array, Leaf, Literal, Weight


def _along(parameter: Array, axis: int, rank: int) -> Array:
    if parameter.size == 1:
        return parameter.reshape(())
    return parameter.reshape((1,) * axis + (-1,) + (1,) * (rank - axis - 1))


def _evaluate(args: Sequence[Array], attributes: Attributes) -> list[Array]:
    stored = args[0]
    if stored.dtype.kind == "f":
        return [stored.astype(np.float32)]
    if len(args) > 1:
        scale, zero = (_per_block(parameter, stored.shape) for parameter in (args[1], args[2]))
    else:
        scale = _along(attributes["scale"], attributes["axis"], stored.ndim)
        zero = _along(attributes["zero_point"], attributes["axis"], stored.ndim)
    # Exact until the one rounding of the product, as in LiteRT's kernel: sixteen bits fit into a float32.
    wide = np.float32 if stored.dtype.itemsize <= 2 else np.float64
    real = np.asarray(stored.astype(wide))
    # In place: a kernel of a hundred million numbers is not held three times.
    real -= zero.astype(wide)
    real *= scale.astype(np.float32)
    return [np.asarray(real, np.float32)]


def _per_block(parameter: Array, shape: Shape) -> Array:
    """A parameter per block of a tensor, repeated to all of its elements."""
    for axis, (size, count) in enumerate(zip(shape, parameter.shape, strict=True)):
        parameter = np.repeat(parameter, size // count, axis) if 1 != count != size else parameter
    return parameter


def _reader(source: Source) -> Lowered:
    # On an activation this changes how numbers are stored, not what they mean.
    return Lowered("IDENTITY", operands(source)[:1])


def _dequantize(source: Source) -> Lowered:
    """Constants of half precision are computed with in float32, as the file does."""
    weight = source.weight(0)
    if weight is None or str(weight.dtype) not in ("float16", "bfloat16"):
        return _reader(source)
    return Lowered("DEQUANTIZE", (weight,), {"dtype": "float32"})


def _rounded(args: Sequence[Array], attributes: Attributes) -> list[Array]:
    x = np.asarray(args[0], np.float32)
    scale, zero = (_along(np.asarray(attributes[name]), attributes["axis"], x.ndim) for name in ("scale", "zero_point"))
    steps = x / scale.astype(np.float32)
    # Half a step goes away from zero, as in LiteRT's kernels.
    stored = np.clip(np.trunc(steps + np.copysign(0.5, steps)) + zero, attributes["low"], attributes["high"])
    return [np.asarray((stored - zero) * scale.astype(np.float32), np.float32)]


def _keras_rounded(builder: Builder, part: Part) -> Any:
    a = part.attributes
    grid = {name: np.ravel(a[name])[0] for name in _GRID}
    return builder.layer("FakeQuantize", part.args[0], **grid, rounding=a.get("rounding"))


_GRID = ("scale", "zero_point", "low", "high")
ROUNDED = OpSpec(
    "ROUNDED",
    evaluate=_rounded,
    roles=("input",),
    infer_shape=lambda shapes, a: shapes[0],
    keras=_keras_rounded,
)


def _quantize(source: Source) -> Lowered:
    """A constant that is quantized as the file runs: its numbers are those that the stored type can hold.

    One that is stored as integers takes the grid of what it stands beside; its own tells better what it is.
    """
    quantization, limits = source.output_quantization(), LIMITS.get(str(source.output_dtype()))
    weight = source.weight(0)
    is_stored = str(source.dtype(0)) in LIMITS
    if weight is None or is_stored or limits is None or quantization is None or not quantization.scale.size:
        return _reader(source)
    zero = quantization.zero_point if quantization.zero_point.size else np.zeros(1, np.int64)
    attributes = {"scale": quantization.scale, "zero_point": zero, "axis": quantization.axis}
    return Lowered("ROUNDED", (weight,), {**attributes, "low": limits[0], "high": limits[1]})


def _fake_quant(source: Source) -> Lowered:
    """Rounds a constant; on an activation it is told, and left to who wants it."""
    weight, options = source.weight(0), source.attributes
    if not options.get("num_bits"):
        return _reader(source)
    low, high = int(bool(options.get("narrow_range"))), 2 ** int(options["num_bits"]) - 1
    scale, zero = nudged(float(options["min"]), float(options["max"]), low, high)
    grid = {"scale": scale, "zero_point": zero, "axis": 0, "low": low, "high": high}
    return Lowered("IDENTITY", operands(source)[:1], grid) if weight is None else Lowered("ROUNDED", (weight,), grid)


def nudged(minimum: float, maximum: float, low: int, high: int) -> tuple[Array, Array]:
    """``(scale, zero point)`` of a range of real numbers, moved so that zero is one of the stored numbers."""
    scale = np.float32((maximum - minimum) / (high - low))
    zero = np.clip(np.round(low - minimum / scale), low, high) if scale else low
    return np.full(1, scale or 1, np.float32), np.full(1, zero, np.int64)


# The smallest and the largest number that a type stores.
LIMITS = {
    f"{'u' * (not signed)}int{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    for bits in (2, 4, 8, 16)
    for signed in (True, False)
}

_HALF_MAX = float(np.finfo(np.float16).max)

DEQUANTIZE = OpSpec("DEQUANTIZE", evaluate=_evaluate, tflite=_dequantize, roles=("input",))
QUANTIZE = OpSpec("QUANTIZE", tflite=_quantize, roles=("input",))
FAKE_QUANT = OpSpec("FAKE_QUANT", tflite=_fake_quant, roles=("input",))
DENSIFY = OpSpec("DENSIFY", tflite=_reader, roles=("input",))


def real_dtype(value: Value) -> str:
    """The type of the numbers that a value of a file stands for."""
    is_quantized = value.quantization is not None and value.quantization.scale.size > 0
    return "float32" if is_quantized else str(value.dtype)


def dequantized(weight: Leaf, quantization: Quantization | None, parameters: Sequence[Leaf] = ()) -> Weight:
    """``weight`` in float32; itself when it is already.

    Args:
        weight: A tensor as stored.
        quantization: How it is quantized.
        parameters: Blockwise quantization: the tensors of scales and, where there is one, of zero points.

    Raises:
        EvaluationError: there are not as many scales or zero points as the tensor's shape asks for.
    """
    if weight.dtype == "float32":
        return weight
    if parameters:
        return _dequantized_blocks(weight, parameters, int(quantization.details["block_size"]) if quantization else 0)
    attributes = {"scale": np.ones(1, np.float32), "zero_point": np.zeros(1, np.int64), "axis": 0}
    if quantization is not None and quantization.scale.size:
        zero = quantization.zero_point if quantization.zero_point.size else np.zeros(1, np.int64)
        # Some converters give a bias the axis of its kernel; it has but one.
        axis = quantization.axis if len(weight.shape) > 1 else 0
        attributes = {"scale": quantization.scale, "zero_point": zero, "axis": axis}
        fits = {1, *weight.shape[max(axis, 0) : axis + 1]}
        if not {quantization.scale.size, zero.size} <= fits:
            counts = f"{quantization.scale.size} scales and {zero.size} zero points"
            raise _misfit(weight, f"{counts} along axis {quantization.axis}")
    return Apply(weight.shape, "float32", DEQUANTIZE, (weight,), attributes)


def _misfit(weight: Leaf, found: str) -> EvaluationError:
    return EvaluationError(f"tensor {weight.name!r} of shape {weight.shape} has {found}; the file is damaged")


class Ends(NamedTuple):
    """What a constant can have been stored as, where it had to take the grid of another tensor.

    Attributes:
        low: The smallest number.
        high: The largest.
        below: What is smaller is taken for clipped, and stored as ``low``.
        above: What is larger is taken for clipped, and stored as ``high``.
    """

    low: float
    high: float
    below: float
    above: float

    def clip(self, array: Array) -> Array:
        """Numbers as the file would have stored them."""
        return np.where(array < self.below, self.low, np.where(array > self.above, self.high, array))


def clipped(weight: Weight, users: Collection[str | int]) -> Weight:
    """A constant that had to take the grid of another tensor: numbers beyond that grid are stored as its ends.

    Args:
        weight: The constant.
        users: Types of the operators that take it.
    """
    dtype = str(weight.args[0].dtype) if isinstance(weight, Apply) else ""
    if not isinstance(weight, Apply) or weight.function is not DEQUANTIZE or dtype not in LIMITS:
        return weight
    scale, zero = weight.attributes["scale"], weight.attributes["zero_point"]
    if scale.size != 1 or zero.size != 1:
        return weight
    low, high = ((end - int(zero[0])) * float(scale[0]) for end in LIMITS[dtype])
    if dtype == "int16":
        # Converters leave the lowest of 16 bits out.
        low = -high
    guard = tolerances.GUARD * max(-low, high)
    # A bound beyond all numbers bounds none of them, wherever it lies.
    below, above = (low if set(users) == {"MAXIMUM"} else -guard), (high if set(users) == {"MINIMUM"} else guard)
    attributes = {**weight.attributes, "clipped": Ends(low, high, below, above)}
    return Apply(weight.shape, weight.dtype, DEQUANTIZE, weight.args, attributes)


def ends(weight: Weight) -> Ends | None:
    """Ends of the numbers that a constant can have been stored as, where it may be clipped.

    Numbers of a magnitude above a guard are taken for clipped ones. The grid of an activation ends where that
    activation does, be it because of the constant: a number just beyond may be another, a mask of -1e9 is a mask.
    """
    while isinstance(weight, Apply) and len(weight.args) == 1 and "clipped" not in weight.attributes:
        weight = weight.args[0]
    if isinstance(weight, Apply):
        found: Ends | None = weight.attributes.get("clipped")
        return found
    return Ends(-_HALF_MAX, _HALF_MAX, -_HALF_MAX, _HALF_MAX) if weight.dtype == "float16" else None


def half_steps(weight: Weight) -> Array | None:
    """Half of the step of each number of a constant that is only dequantized and moved; None for any other.

    A converter may give a channel a far coarser step than its numbers need, so that its bias fits into 32 bits.
    """
    moves = []
    while isinstance(weight, Apply) and weight.function is not DEQUANTIZE and len(weight.args) == 1:
        moves.append(weight)
        weight = weight.args[0]
    if not isinstance(weight, Apply) or weight.function is not DEQUANTIZE or "scale" not in weight.attributes:
        return None
    scale = _along(weight.attributes["scale"], weight.attributes["axis"], len(weight.shape))
    steps = np.broadcast_to(scale.astype(np.float32) / 2, weight.shape)
    for move in reversed(moves):
        steps = move.function.compute([steps], move.attributes)
    return np.abs(steps)


def _dequantized_blocks(weight: Leaf, parameters: Sequence[Leaf], block_size: int) -> Weight:
    """A scale per block. The shape of the scales says along which axes the blocks lie; a flat list is per last axis."""
    scale = parameters[0]
    shape = scale.shape
    if len(shape) != len(weight.shape) and block_size > 0 and weight.shape:
        shape = (*weight.shape[:-1], weight.shape[-1] // block_size)
    found = f"scales of shape {scale.shape} for blocks of {block_size}"
    if len(shape) != len(weight.shape) or math.prod(shape) != math.prod(scale.shape):
        raise _misfit(weight, found)
    if any(not m or n % m for n, m in zip(weight.shape, shape, strict=True)):
        raise _misfit(weight, found)
    if block_size and block_size not in (n // m for n, m in zip(weight.shape, shape, strict=True)):
        raise _misfit(weight, found)
    zero: Weight = parameters[1] if len(parameters) > 1 else Literal.of(np.zeros((1,) * len(shape), np.int64))
    if len(parameters) > 1:
        if math.prod(zero.shape) != math.prod(shape):
            raise _misfit(weight, f"zero points of shape {zero.shape} for {found}")
        zero = RESHAPE(zero, shape=shape, target_shape=shape)
    args = (weight, RESHAPE(scale, shape=shape, target_shape=shape), zero)
    return Apply(weight.shape, "float32", DEQUANTIZE, args)


SPECS = (DEQUANTIZE, DENSIFY, ROUNDED, QUANTIZE, FAKE_QUANT)
