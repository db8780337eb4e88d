"""Every tolerance of the library, with its reason. Relative means: to the largest magnitude of the reference."""

from __future__ import annotations

WEIGHT = 1e-5
"""Relative. A restored weight, put through the model's own float32 arithmetic, against the file's: a few roundings."""

LITERAL = 1e-6
"""Relative. A number written in the model's code against the same number in the file: both are one float32."""

OUTPUT = 1e-4
"""Relative. An operator or a whole network in float32 under two kernels: long sums in another order."""

QUANTIZED_OUTPUT = 0.5
"""Relative RMS. Integer kernels against float arithmetic: only gross divergence can be told from quantization noise."""

HALF_STEP = {
    "int8": 0.5 / 127,
    "uint8": 0.5 / 127,
    "int4": 0.5 / 7,
    "int2": 0.5,
    "int16": 0.5 / 32767,
    "float16": 2.0**-11,
}
"""Relative, per stored type. What rounding to it may have changed in a number that the model's code has exactly."""

SUBNORMAL_HALF_STEP = {"float16": 2.0**-25}
"""Absolute, per stored type. What rounding may change in numbers below its normal ones, such as an epsilon of 1e-6."""
