"""From stored numbers to real ones, exactly as the schema says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tflrecover.ir import Quantization
from tflrecover.ops.readers import operands
from tflrecover.ops.spec import Attributes, Lowered, OpSpec, Source
from tflrecover.weight import Apply, Array, Weight


def _along(parameter: Array, axis: int, rank: int) -> Array:
    if parameter.size == 1:
        return parameter.reshape(())
    return parameter.reshape((1,) * axis + (-1,) + (1,) * (rank - axis - 1))


def _evaluate(args: Sequence[Array], attributes: Attributes) -> list[Array]:
    stored = args[0]
    if stored.dtype.kind == "f":
        return [stored.astype(np.float32)]
    scale = _along(attributes["scale"], attributes["axis"], stored.ndim).astype(np.float32)
    zero = _along(attributes["zero_point"], attributes["axis"], stored.ndim)
    # Integers are subtracted as integers, as the kernels do; only the scale is a float.
    return [(stored.astype(np.int64) - zero).astype(np.float32) * scale]


def _reader(source: Source) -> Lowered:
    # On an activation this changes how numbers are stored, not what they mean.
    return Lowered("IDENTITY", operands(source)[:1])


DEQUANTIZE = OpSpec("DEQUANTIZE", evaluate=_evaluate, tflite=_reader, roles=("input",))
QUANTIZE = OpSpec("QUANTIZE", tflite=_reader, roles=("input",))
FAKE_QUANT = OpSpec("FAKE_QUANT", tflite=_reader, roles=("input",))


def dequantized(weight: Weight, quantization: Quantization | None) -> Weight:
    """``weight`` in float32; itself when it is already."""
    if weight.dtype == "float32":
        return weight
    attributes = {"scale": np.ones(1, np.float32), "zero_point": np.zeros(1, np.int64), "axis": 0}
    if quantization is not None and quantization.scale.size:
        zero = quantization.zero_point if quantization.zero_point.size else np.zeros(1, np.int64)
        attributes = {"scale": quantization.scale, "zero_point": zero, "axis": quantization.axis}
    return Apply(weight.shape, "float32", DEQUANTIZE, (weight,), attributes)


SPECS = (DEQUANTIZE, QUANTIZE, FAKE_QUANT)
