"""What rounding to the types of a file may have changed, and so how far the sides of an equation may be apart."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tflrecover import tolerances
from tflrecover.ops.quantize import DEQUANTIZE, Ends, ends, half_steps
from tflrecover.ops.reduce import CONTRACTION
from tflrecover.transfer.equations import Equation
from tflrecover.transfer.solve import Slack, is_moved, is_moving
from tflrecover.weight import Apply, Array, Key, Literal, Weight, evaluate, keys, written


def slack(equation: Equation, target: Array, rounded: float) -> Slack:
    """How far the sides may be apart: numbers that nothing was computed with are compared one by one.

    Args:
        equation: The equation.
        target: What the file has.
        rounded: The :func:`half_step` of that.
    """
    peak = _peak(target)
    is_written = isinstance(equation.keras, Literal)
    # Mixed precision keeps also the numbers of the code in few digits.
    code = sum(tolerances.RELATIVE_HALF_STEP.get(dtype, 0.0) for dtype in written(equation.keras))
    if not is_written and not is_moved(equation.keras):
        return Slack(peak=tolerances.WEIGHT + code, absolute=rounded)
    relative = tolerances.LITERAL if is_written else tolerances.WEIGHT
    halves = _sum(equation.file, tolerances.RELATIVE_HALF_STEP)
    # A sine near zero is as exact as one near one.
    floor = relative * min(peak, 1.0)
    found = half_steps(equation.file)
    own = rounded - halves * peak if found is None or found.shape != target.shape else found
    return Slack(relative + halves + code, 0.0, own + floor, _limits(equation))


def _limits(equation: Equation) -> Ends | None:
    """Where the file's numbers may have been clipped.

    What a variable is, another tensor has told: beyond the ends it may be anything. A number that is written in the
    model's code must be far beyond, unless it is a bound.
    """
    found = ends(equation.file)
    if found is None or isinstance(equation.keras, Literal):
        return found
    return found._replace(below=found.low, above=found.high)


def as_stored(equation: Equation) -> Equation:
    """With the constants of the model's code as a file of half precision has them: no number is beyond its largest.

    So a mask of -1e9 is -65504 there, also where the converter has computed with it.
    """
    if all(leaf.dtype != "float16" for leaf in equation.file.leaves):
        return equation
    keras = _limited(equation.keras, {})
    return equation if keras is equation.keras else replace(equation, keras=keras)


def _limited(weight: Weight, done: dict[int, Weight]) -> Weight:
    """The expression with its constants limited to half precision; itself where none is beyond."""
    if id(weight) in done:
        return done[id(weight)]
    limited = weight
    if isinstance(weight, Literal) and weight.array.dtype.kind == "f":
        array, most = weight.array, np.finfo(np.float16).max
        if (is_beyond := np.isfinite(array) & (np.abs(array) > most)).any():
            limited = Literal.of(np.where(is_beyond, np.copysign(most, array), array), str(weight.dtype), [weight])
    elif isinstance(weight, Apply) and any(isinstance(arg, Apply | Literal) for arg in weight.args):
        args = tuple(_limited(arg, done) for arg in weight.args)
        if any(new is not old for new, old in zip(args, weight.args, strict=True)):
            limited = replace(weight, args=args)
    done[id(weight)] = limited
    return limited


def is_out_of_reach(equation: Equation) -> bool:
    """Whether the file has the end of its numbers for a bound that the model's code has beyond, but no guard is."""
    found = ends(equation.file)
    if found is None or not isinstance(equation.keras, Literal):
        return False
    # In the few digits of half precision the end of its own numbers is beyond them.
    number = np.asarray(equation.keras.array, np.float64)
    is_clipped = np.abs(found.clip(number) - number) > half_step(equation.file, number)
    return bool((is_clipped & (np.abs(number) <= tolerances.GUARD * max(-found.low, found.high))).any())


# Kinds of arrays of texts.
TEXTS = "OSU"


def half_step(weight: Weight, target: Array) -> float:
    """What rounding to the stored types may have changed in the numbers of an expression; texts are none."""
    if target.dtype.kind in TEXTS:
        return 0.0
    relative = _sum(weight, tolerances.HALF_STEP) + _sum(weight, tolerances.RELATIVE_HALF_STEP)
    absolute = _sum(weight, tolerances.SUBNORMAL_HALF_STEP)
    # A bias has the step of the products it is added to, whatever its own size.
    own = relative * _peak(target) + absolute + 0.5 * step(weight, "int32")
    # Likewise a constant on the grid of an activation, which may reach far beyond its numbers, and a channel whose step
    # is coarse for the sake of its bias.
    return max(own, _coarsest(weight))


def _coarsest(weight: Weight) -> float:
    """The largest of :func:`half_steps`, 0 where there are none; without their array where each number has a place."""
    while isinstance(weight, Apply) and len(weight.args) == 1 and _only_moves(weight):
        weight = weight.args[0]
    if isinstance(weight, Apply) and weight.function is DEQUANTIZE:
        return 0.5 * step(weight)
    found = half_steps(weight)
    return 0.0 if found is None else float(found.max(initial=0))


def _only_moves(weight: Apply) -> bool:
    return is_moving(weight) and math.prod(weight.shape) == math.prod(weight.args[0].shape)


def drift(weight: Weight, key: Key, size: float, known: dict[Key, Array]) -> Array | float:
    """How far the numbers of an expression move when each number of a variable may be off by ``size``, either way.

    In a sum over them they need not all be off to one side, where a kernel of both signs would hide most of it.
    """
    if not size or key not in keys(weight):
        return 0.0
    with np.errstate(all="ignore"):
        off = evaluate(weight, ChainMap({key: known[key] + size}, known)) - evaluate(weight, known)
    together = np.asarray(np.abs(off))
    if not isinstance(weight, Apply) or not _holds_sum(weight):
        return together
    args = [evaluate(arg, known) for arg in weight.args]
    total: Array | float = 0.0
    for slot, arg in enumerate(weight.args):
        moved = np.broadcast_to(drift(arg, key, size, known), arg.shape)
        if weight.function is CONTRACTION:
            total = total + _summed(weight, [moved if i == slot else np.abs(one) for i, one in enumerate(args)])
        else:
            shifted = [one + moved if i == slot else one for i, one in enumerate(args)]
            with np.errstate(all="ignore"):
                total = total + np.abs(_computed(weight, shifted) - _computed(weight, args))
    return np.asarray(np.maximum(total, together))


def _holds_sum(weight: Weight) -> bool:
    if not isinstance(weight, Apply):
        return False
    return weight.function is CONTRACTION or any(_holds_sum(arg) for arg in weight.args)


def _summed(weight: Apply, args: list[Array]) -> Array:
    """What a sum moves by when each product in it may move by that of ``args``, some up and some down."""
    noise = tolerances.NOISE * np.sqrt(_computed(weight, [np.square(one) for one in args]))
    return np.asarray(np.minimum(noise, _computed(weight, args)))


def _computed(weight: Apply, args: list[Array]) -> Array:
    return np.asarray(weight.function.compute(args, weight.attributes))


def growth(solved: Array, target: Array) -> float:
    """How much larger a solution is than what it was solved for: as much larger is what rounding did to it."""
    if solved.dtype.kind != "f" or target.dtype.kind != "f":
        return 1.0
    after, before = (
        max(float(array.max(initial=0, where=known)), -float(array.min(initial=0, where=known)))
        for array, known in ((solved, np.isfinite(solved)), (target, np.isfinite(target)))
    )
    return max(1.0, after / before) if before else 1.0


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
    if target.dtype.kind == "c":
        return float(np.abs(target).max(initial=0)) or 1.0
    # Without an array of magnitudes, which would be as large as the weight.
    return max(float(target.max(initial=0)), -float(target.min(initial=0))) or 1.0


def _sum(weight: Weight, table: Mapping[str, float]) -> float:
    return sum(table.get(str(leaf.dtype), 0.0) for leaf in weight.leaves)
