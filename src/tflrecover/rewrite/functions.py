"""Functions that TFLite has no operator for, written out the way converters write them; the formulas are below.

A formula is read as in :mod:`tflrecover.rewrite.patterns`: ``X`` and ``Y`` are the operands, a number is a constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tflrecover import ops
from tflrecover.ir import Op
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.scalars import scalar
from tflrecover.weight import Literal

X, Y = "x", "y"
_BOOLEAN = frozenset({"EQUAL", "NOT_EQUAL", "GREATER", "LESS"})

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
    count = 0
    for op in [op for op in draft.ops.values() if op.type in FORMULAS or op.type == "POW"]:
        if op.type == "POW":
            formula = None if op.id in draft.opaque else POWERS.get(scalar(draft, op.inputs[1], 1.0) or 0.0)
        else:
            formula = FORMULAS[op.type]
        if formula is None or draft.weight(op.inputs[0]) is not None:
            continue
        if op.type == "POW" and (weight := draft.weight(op.inputs[1])) is not None:
            draft.mark_structural(weight)
        draft.remove(op.id)
        # What no reader knows by itself is known by its formula.
        draft.opaque.discard(op.id)
        _write(draft, op, formula, op.outputs[0], _namer(op))
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


def _namer(op: Op) -> Callable[[bool], str | int]:
    """Names for the parts: the outermost keeps the operator's own."""
    made = 0

    def name(is_last: bool) -> str | int:
        nonlocal made
        made += 1
        return op.id if is_last else f"{op.id}.part{made}"

    return name


def _write(draft: Draft, op: Op, formula: Any, result: int | None, name: Callable[[bool], str | int]) -> int:
    """Adds the operators of a formula; returns the value that it is."""
    if formula in (X, Y):
        operand = op.inputs[(X, Y).index(formula)]
        assert operand is not None
        return operand
    if isinstance(formula, float):
        return draft.constant(Literal.of(np.float32(formula)))
    kind, *parts = formula
    is_last = result is not None
    own = name(is_last)
    inputs = tuple(_write(draft, op, part, None, name) for part in parts)
    if result is None:
        spec = ops.by_name(kind)
        shapes = [draft.shape(value) for value in inputs]
        shape = tuple(spec.infer_shape(shapes, {})) if spec is not None and spec.infer_shape is not None else shapes[0]
        dtype = "bool" if kind in _BOOLEAN else draft.values[inputs[-1]].dtype
        result = draft.new_value(shape, dtype)
    draft.add(Op(own, kind, inputs, (result,), {}, op.layer, op.origins))
    return result
