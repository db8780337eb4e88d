"""Functions that TFLite has no operator for, written out the way converters write them; the formulas are below.

A formula is read as in :mod:`tflrecover.rewrite.patterns`: ``X`` and ``Y`` are the operands, a number is a constant.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tflrecover.ir import Op
from tflrecover.ops.slicing import STRIDED_SLICE
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.scalars import known_array, scalar
from tflrecover.rewrite.writer import Writer
from tflrecover.weight import Literal

X, Y = "x", "y"

FORMULAS: dict[str | int, Any] = {
    "Expm1": ("SUB", ("EXP", X), 1.0),
    "Log1p": ("LOG", ("ADD", X, 1.0)),
    "RECIPROCAL": ("DIV", 1.0, X),
    "IsNan": ("NOT_EQUAL", X, X),
    "IsInf": ("EQUAL", ("ABS", X), math.inf),
    "IsFinite": ("EQUAL", ("SUB", X, X), 0.0),
    "DivNoNan": ("SELECT_V2", ("EQUAL", Y, 0.0), 0.0, ("DIV", X, Y)),
    "Xlogy": ("MUL", X, ("LOG", Y)),
    "Sinh": ("MUL", ("SUB", ("EXP", X), ("EXP", ("NEG", X))), 0.5),
    "Cosh": ("MUL", ("ADD", ("EXP", X), ("EXP", ("NEG", X))), 0.5),
}
POWERS: dict[float, Any] = {
    2.0: ("SQUARE", X),
    0.5: ("SQRT", X),
    -0.5: ("RSQRT", X),
    -1.0: ("DIV", 1.0, X),
}


def expand_functions(draft: Draft) -> int:
    """Every operator of the table, and every power by one of the listed numbers, becomes its formula."""
    count = _single_powers(draft)
    for op in [op for op in draft.ops.values() if op.type in FORMULAS or op.type == "POW"]:
        if op.type == "POW":
            formula = None if op.id in draft.opaque else POWERS.get(scalar(draft, op.inputs[1], 1.0) or 0.0)
        else:
            formula = FORMULAS[op.type]
        if formula is None or draft.weight(op.inputs[0]) is not None:
            continue
        if op.type == "POW" and (weight := draft.weight(op.inputs[1])) is not None:
            draft.mark_structural(weight)
        writer = Writer(draft, op)
        writer.finish(_written(draft, writer, op, formula))
        count += 1
    return count


def _single_powers(draft: Draft) -> int:
    """One exponent for all numbers, with which a converter has filled a constant of their shape, is one number."""
    count = 0
    for op in draft.of_type("POW"):
        base, exponent = op.inputs[:2]
        weight = draft.weight(exponent)
        if weight is None or not weight.shape or weight.shape != draft.shape(base) or op.id in draft.opaque:
            continue
        known = known_array(draft, weight)
        if known is not None and known.size and (known == known.flat[0]).all():
            single = draft.constant(STRIDED_SLICE(weight, slices=(0,) * known.ndim))
            draft.replace(op.evolve(inputs=(base, single)))
            count += 1
    return count


def fuse_squares(draft: Draft) -> int:
    """``MUL(x, x)`` becomes ``SQUARE(x)``: converters write either."""
    count = 0
    for op in draft.of_type("MUL"):
        if op.id not in draft.opaque and op.inputs[0] == op.inputs[1]:
            draft.replace(op.evolve(type="SQUARE", inputs=op.inputs[:1]))
            count += 1
    return count


def _written(draft: Draft, writer: Writer, op: Op, formula: Any) -> int | None:
    """The value that a formula is, with the operators that make it."""
    if formula in (X, Y):
        return op.inputs[(X, Y).index(formula)]
    if isinstance(formula, float):
        return draft.constant(Literal.of(np.float32(formula)))
    kind, *parts = formula
    return writer.add(kind, tuple(_written(draft, writer, op, part) for part in parts))
