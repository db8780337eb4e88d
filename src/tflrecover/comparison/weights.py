"""How far the weights of two networks are apart, tensor by tensor and variable by variable.

A match says ``first = second`` for whole expressions. Where both were made in the same way, their leaves correspond one
to one, and those are what a user knows: the gamma that was trained further, not the kernel that it is folded into.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tflrecover import tolerances
from tflrecover.align import Alignment
from tflrecover.checks import WeightCheck
from tflrecover.differences import describe
from tflrecover.ops.quantize import half_steps
from tflrecover.rewrite.common import freeze
from tflrecover.transfer.equations import Equation, System
from tflrecover.transfer.plan import Plan
from tflrecover.transfer.rounding import half_step
from tflrecover.transfer.solve import Slack, deviates
from tflrecover.transfer.state import Failure
from tflrecover.weight import Apply, Array, Key, Leaf, Literal, Weight, evaluate, keys, recipe, rms

# Stored numbers and what makes real ones of them count as one weight.
_STORED = "DEQUANTIZE"


@dataclass(frozen=True, eq=False)
class _Pair:
    """Parts of two expressions that correspond, with what they stand for."""

    mine: Weight
    theirs: Weight
    first: Array
    second: Array

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for the same two weights wherever they are used."""
        return tuple(keys(one) or id(one) for one in (self.mine, self.theirs))

    @cached_property
    def is_equal(self) -> bool:
        """Whether rounding to the stored types explains the change; numbers on one grid are not rounded apart."""
        if not self.change.any():
            return True
        rounded = 0.0 if _grid(self.mine) == _grid(self.theirs) else self._rounding()
        return not deviates(self.second, self.first, Slack(0.0, tolerances.WEIGHT, rounded))

    @cached_property
    def change(self) -> Array:
        """How far each number has moved; infinitely where one of the two is no number."""
        a, b = np.asarray(self.first, np.float64), np.asarray(self.second, np.float64)
        with np.errstate(invalid="ignore"):
            change = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(b - a))
        return np.where(np.isnan(change), np.inf, change)

    def _rounding(self) -> Array | float:
        total: Array | float = 0.0
        for weight, array in ((self.mine, self.first), (self.theirs, self.second)):
            steps = half_steps(weight)
            total = total + (half_step(weight, array) if steps is None else steps)
        return total


def _grid(weight: Weight) -> object:
    """The type and the scale that numbers are stored with; an expression is a grid of its own."""
    if isinstance(weight, Apply) and weight.function.name == _STORED and isinstance(weight.args[0], Leaf):
        return str(weight.args[0].dtype), freeze(dict(weight.attributes))
    return str(weight.dtype) if isinstance(weight, Leaf) else id(weight)


def weight_checks(
    alignment: Alignment, system: System, plan: Plan, first: Mapping[Key, Array], second: Mapping[Key, Array]
) -> tuple[WeightCheck, ...]:
    """One per pair of weights, in the order of the first; a pair that is used in several places is told once.

    Args:
        alignment: The pairs of operators.
        system: Its equations.
        plan: Their solution, with all weights of the second known.
        first: Contents of the leaves of the first.
        second: Contents of the leaves of the second.
    """
    pairs: dict[tuple[object, ...], tuple[Equation, _Pair]] = {}
    changed: set[tuple[object, ...]] = set()
    for equation in sorted(_counting(system, plan), key=lambda one: one.place(alignment)):
        if not keys(equation.keras) <= second.keys():
            continue
        found = [pair for pair in _parts(equation, first, second) if not _is_written(pair)]
        pairs.update((pair.key, (equation, pair)) for pair in found if pair.key not in pairs)
        other = [pair.key for pair in found if not pair.is_equal]
        if other and not (len(found) > 1 and _is_one_function(equation, first, second)):
            changed.update(other)
    return tuple(_check(alignment, *found, is_equal=key not in changed) for key, found in pairs.items())


def other_constants(plan: Plan, first: Mapping[Key, Array], second: Mapping[Key, Array]) -> tuple[Failure, ...]:
    """Equations that do not hold because of shapes, or of numbers that are written in a model's code."""
    return tuple(
        failure
        for failure in plan.failed
        if failure.file_value is None
        or failure.equation.file.shape != failure.equation.keras.shape
        or any(_is_written(p) and not p.is_equal for p in _parts(failure.equation, first, second))
    )


def _counting(system: System, plan: Plan) -> Iterator[Equation]:
    """The equations that must hold: behind scalings that differ, weights count with the scalings inside."""
    yield from system.edges
    yield from system.weights
    for fold in system.folds:
        is_equal = all(equation.file_op in plan.scalings for equation in fold.edge)
        yield from fold.edge + fold.apart if is_equal else fold.inside + fold.border


def _parts(equation: Equation, first: Mapping[Key, Array], second: Mapping[Key, Array]) -> list[_Pair]:
    """What corresponds in the two expressions of an equation, as far as the shapes are equal."""
    memos: tuple[dict[int, Array], dict[int, Array]] = {}, {}
    found: dict[tuple[int, int], _Pair] = {}
    stack, seen = [(equation.file, equation.keras)], set[tuple[int, int]]()
    while stack:
        a, b = stack.pop()
        at = id(a), id(b)
        if at in seen:
            continue
        seen.add(at)
        if isinstance(a, Apply) and isinstance(b, Apply) and _is_alike(a, b):
            stack += zip(a.args, b.args, strict=True)
        elif a.shape == b.shape or isinstance(a, Literal) or isinstance(b, Literal):
            found[at] = _Pair(a, b, evaluate(a, first, memos[0]), evaluate(b, second, memos[1]))
    return list(found.values())


def _is_alike(a: Apply, b: Apply) -> bool:
    same = a.function.name == b.function.name and len(a.args) == len(b.args) and a.shape == b.shape
    return same and a.function.name != _STORED and freeze(dict(a.attributes)) == freeze(dict(b.attributes))


def _is_written(pair: _Pair) -> bool:
    """Whether one of the two is a number of a model's code, or left out."""
    return not keys(pair.mine) or not keys(pair.theirs)


def _is_one_function(equation: Equation, first: Mapping[Key, Array], second: Mapping[Key, Array]) -> bool:
    """Whether weights that differ make the same: a batch norm that was folded and undone has other numbers."""
    wanted, got = evaluate(equation.file, first), evaluate(equation.keras, second)
    return not deviates(got, wanted, Slack(peak=tolerances.WEIGHT))


def _check(alignment: Alignment, equation: Equation, pair: _Pair, *, is_equal: bool) -> WeightCheck:
    mine, theirs = equation.file_op, equation.keras_op
    return WeightCheck(
        _name(pair.mine),
        _name(pair.theirs),
        equation.role,
        None if mine is None else describe.file_index(alignment.file.graph.op(mine)),
        None if theirs is None else describe.layer_of(alignment.keras.graph.op(theirs)),
        pair.second.shape,
        float(pair.change.max(initial=0.0)),
        _relative(rms(pair.change), rms(pair.first) or rms(pair.second)),
        is_equal,
    )


def _name(weight: Weight) -> str:
    if isinstance(weight, Apply) and weight.function.name == _STORED:
        return recipe(weight.args[0], str)
    return recipe(weight, str)


def _relative(change: float, size: float) -> float:
    return change / size if change and math.isfinite(size) else change


__all__ = ["other_constants", "weight_checks"]
