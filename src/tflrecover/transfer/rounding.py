"""What rounding to the types of a file may have changed, and so how far the sides of an equation may be apart."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tflrecover import tolerances
from tflrecover.ops.quantize import ends, half_steps
from tflrecover.transfer.equations import Equation
from tflrecover.transfer.solve import Slack, is_moved
from tflrecover.weight import Apply, Array, Literal, Weight, leaves


def slack(equation: Equation, target: Array, rounded: float) -> Slack:
    """How far the sides may be apart: numbers that nothing was computed with are compared one by one.

    Args:
        equation: The equation.
        target: What the file has.
        rounded: The :func:`half_step` of that.
    """
    peak = _peak(target)
    is_written = isinstance(equation.keras, Literal)
    if not is_written and not is_moved(equation.keras):
        return Slack(peak=tolerances.WEIGHT, absolute=rounded)
    relative = tolerances.LITERAL if is_written else tolerances.WEIGHT
    halves = _sum(equation.file, tolerances.RELATIVE_HALF_STEP)
    # A sine near zero is as exact as one near one.
    floor = relative * min(peak, 1.0)
    found = half_steps(equation.file)
    own = rounded - halves * peak if found is None or found.shape != target.shape else found
    return Slack(relative + halves, 0.0, own + floor, _limits(equation))


def _limits(equation: Equation) -> tuple[float, float, float] | None:
    """Where the file's numbers may have been clipped.

    What a variable is, another tensor has told: beyond the ends it may be anything. A number that is written in the
    model's code must be far beyond.
    """
    found = ends(equation.file)
    if found is None or isinstance(equation.keras, Literal):
        return found
    low, high, _ = found
    return low, high, 0.0


def half_step(weight: Weight, target: Array) -> float:
    """What rounding to the stored types may have changed in the numbers of an expression."""
    relative = _sum(weight, tolerances.HALF_STEP) + _sum(weight, tolerances.RELATIVE_HALF_STEP)
    absolute = _sum(weight, tolerances.SUBNORMAL_HALF_STEP)
    # A bias has the step of the products it is added to, whatever its own size.
    return relative * _peak(target) + absolute + 0.5 * step(weight, "int32")


def step(weight: Weight, dtype: str | None = None) -> float:
    """The largest difference between two neighbours of a stored type; 0 for what is not stored as integers."""
    largest, stack = 0.0, [weight]
    while stack:
        node = stack.pop()
        if not isinstance(node, Apply):
            continue
        stack.extend(node.args)
        if node.function.name == "DEQUANTIZE" and dtype in (None, node.args[0].dtype):
            largest = max(largest, float(np.max(node.attributes.get("scale", 0.0))))
    return largest


def _peak(target: Array) -> float:
    return float(np.abs(target).max(initial=0.0)) or 1.0


def _sum(weight: Weight, table: Mapping[str, float]) -> float:
    return sum(table.get(str(leaf.dtype), 0.0) for leaf in leaves(weight))
