"""Every tolerance of the library, with its reason. Relative means: to the largest magnitude of the reference."""

from __future__ import annotations

WEIGHT = 1e-5
"""Relative. A restored weight, put through the model's own float32 arithmetic, against the file's: a few roundings."""

LITERAL = 1e-6
"""Relative. A number written in the model's code against the same number in the file: both are one float32."""

OUTPUT = 1e-4
"""Relative. An operator or a whole network in float32 under two kernels: long sums in another order."""

STEPS = 1.5
"""Steps of the tensor's own scale. An integer operator on the file's own values rounds once (half a step was the
largest error of every operator type in the Keras Applications at 8 bits); some kernels round twice, or use a table."""

TABLE = {("SOFTMAX", "int16"): 2e-3}
"""Relative, per operator and type of its result. LiteRT's kernel interpolates exp and 1 / (1 + x) in tables; 5.5e-4 was
the largest error in the Keras Applications."""

ON_THE_WAY = 2.0
"""Times the relative rounding of a tensor that only the file has. What is made of it may be largest where the tensor is
not, as in ``x * gate(x)``: the error then counts for more than its share."""

MOST_ON_THE_WAY = 0.1
"""Relative. The most that is allowed for all tensors together that only the file has. Each may be small where it counts
little, so that hundreds of them would allow for anything; 0.03 was the largest error of a right model (a loop of GRU at
8 bits)."""

WEIGHT_HALF_STEPS = 4.0
"""Half steps of a constant's type. What rounding the weights may do to an operator: the errors of a kernel's elements
add up like noise, and a kernel's largest element is about four times its root mean square."""

NOISE = 4.0 / 3.0**0.5
"""Times the root of the sum of the squared half steps. What rounding may do to a sum: each error lies anywhere within
its half step, on either side, and four standard deviations of their sum are never exceeded in practice."""

MOST_WEIGHT_ROUNDING = 0.05
"""Relative. The most that is allowed for rounded weights, however coarse: a kernel that is off by a tenth must fail."""

MOST_CHECKED = 0.2
"""Relative. A tolerance beyond this checks nothing: a kernel could be off by as much. Some integer files have scales so
coarse that a tensor holds a step or two; 0.14 was the largest tolerance in the Keras Applications."""

HYBRID = 2.0
"""Times what the operator makes of rounding its activations to 8 bits, which is measured: LiteRT's kernels choose the
scale per tensor or per row, with or without a zero point."""

HALF_STEP = {
    "int8": 0.5 / 127,
    "uint8": 0.5 / 127,
    "int4": 0.5 / 7,
    "int2": 0.5,
    "int16": 0.5 / 32767,
}
"""Relative to the largest, per stored type. What rounding to it may have changed in a number that the model's code has
exactly."""

RELATIVE_HALF_STEP = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
"""Relative to the number itself, per stored type: the same of types that have an exponent."""

ROUNDING = HALF_STEP | RELATIVE_HALF_STEP
"""Relative, per stored type, where the difference does not matter."""

SUBNORMAL_HALF_STEP = {"float16": 2.0**-25}
"""Absolute, per stored type. What rounding may change in numbers below its normal ones, such as an epsilon of 1e-6."""

LOST = 1e-4
"""Absolute. The most that rounding beside a larger number may take of a weight that is told by their sum: the mean of
pixels (124) takes 1.5e-5, a mask of -1e4 a thousandth, one of -1e9 all of it."""

GUARD = 1e3
"""How far beyond the numbers that a file's integers reach a constant of the model must be to be taken for a guard or a
mask, which the file could only store as the end of its numbers."""
