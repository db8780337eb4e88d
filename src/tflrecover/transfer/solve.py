"""Solves ``expression over variables = array`` by walking from the root to one variable and undoing each operator.

Where several operands of an operator hold unknowns, one takes the value and the others are made neutral (1 in a
product, 0 in a sum), by the same walk. A folded batch norm so becomes the identity with the file's bias as its beta,
bit for bit; a constant on the way is divided out, never touched; a variable that an earlier equation settled is known.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from tflrecover import tolerances
from tflrecover.ops.quantize import Ends
from tflrecover.ops.spec import OpSpec
from tflrecover.weight import Apply, Array, Key, Leaf, Shape, Weight, evaluate, keys

# What leaves the result of an operator as it is.
_NEUTRAL = {"ADD": 0.0, "SUB": 0.0, "MUL": 1.0, "DIV": 1.0}
# Operators that only move numbers: a variable behind them alone receives the file's own numbers.
MOVES = frozenset({"REARRANGE", "RESHAPE", "TRANSPOSE", "IDENTITY", "STRIDED_SLICE", "GATHER", "ROLL", "REVERSE_V2"})
# Operators that put their operands side by side: each takes its own part of the value.
_JOINS = frozenset({"CONCATENATION", "PACK"})


class Unsolvable(Exception):
    """The expression cannot be undone; the message says why."""


@dataclass(eq=False)
class Solver:
    """Values found so far.

    Attributes:
        known: Variable path to value: skipped variables (as they are) and settled ones.
        neutral: Paths of variables that were made neutral.
        partial: Paths of variables of which slices are known; the rest of their value is NaN.
    """

    known: dict[Key, Array]
    neutral: set[Key] = field(default_factory=set)
    partial: set[Key] = field(default_factory=set)

    def copy(self) -> Solver:
        """One that knows the same, to try something out."""
        return Solver(dict(self.known), set(self.neutral), set(self.partial))

    def is_unknown(self, key: Key) -> bool:
        """Whether something of the variable is still to be found."""
        return key not in self.known or key in self.partial

    def solve(self, weight: Weight, target: Array) -> None:
        """Settles every unknown of ``weight`` so that it equals ``target`` (whether it really does is checked later).

        Raises:
            Unsolvable: no unknown can take the value.
        """
        if isinstance(weight, Leaf):
            if self.is_unknown(weight.key):
                self._settle(weight, _fit(target, weight))
            return
        if not isinstance(weight, Apply):
            return
        unknown = [slot for slot, arg in enumerate(weight.args) if self._holds_unknown(arg)]
        if not unknown:
            return
        spec = weight.function
        if not isinstance(spec, OpSpec) or spec.inverse is None:
            raise Unsolvable(f"{spec.name} cannot be undone")
        if spec.name in _JOINS:
            for slot in unknown:
                self._undo(weight, slot, target)
            return
        main = self._main(weight, unknown)
        for slot in unknown:
            if slot != main:
                self._neutralise(weight, slot)
        self._undo(weight, main, target)

    def shift(self, weight: Weight, target: Array, fresh: Collection[Key]) -> Key | None:
        """Settles one of ``fresh`` that occurs more than once, so that the walk made it neutral; returns which.

        An expression is affine in each of its shifts, however often one occurs: two values of it give all others.
        """
        for leaf in weight.leaves:
            if leaf.key not in fresh or leaf.key not in self.neutral or leaf.shape != weight.shape:
                continue
            zero, one = (
                np.asarray(evaluate(weight, {**self.known, leaf.key: np.full(leaf.shape, n, np.float32)}))
                for n in (0, 1)
            )
            with np.errstate(divide="ignore", invalid="ignore"):
                value = (target - zero) / (one - zero)
            if np.isfinite(value).all() and not deviates(
                np.asarray(evaluate(weight, {**self.known, leaf.key: value})), target, Slack(peak=tolerances.WEIGHT)
            ):
                self.known[leaf.key] = value
                self.neutral.discard(leaf.key)
                return leaf.key
        return None

    def innermost(self, weight: Weight, target: Array) -> tuple[Weight, Array]:
        """The part of ``weight`` that a walk comes to where one operand alone is unknown, and what it must be.

        A product of two constants is as far as it goes: what others tell of a factor counts, too.
        """
        while isinstance(weight, Apply) and weight.function.name != "PRODUCT":
            unknown = [slot for slot, arg in enumerate(weight.args) if self._holds_unknown(arg)]
            if len(unknown) != 1:
                break
            try:
                target, weight = self.operand(weight, unknown[0], target), weight.args[unknown[0]]
            except Unsolvable:
                break
        return weight, target

    def operand(self, weight: Apply, slot: int, target: Array) -> Array:
        """What an operand must be.

        Raises:
            Unsolvable: the operator cannot be undone.
        """
        spec = weight.function
        if not isinstance(spec, OpSpec) or spec.inverse is None:
            raise Unsolvable(f"{spec.name} cannot be undone")
        args = [self._so_far(arg) for arg in weight.args]
        try:
            wanted = np.broadcast_to(target, weight.shape) if target.shape != weight.shape else target
            return spec.inverse(slot, wanted, args, weight.attributes)
        except ValueError as error:
            raise Unsolvable(str(error)) from error

    def _undo(self, weight: Apply, main: int, target: Array) -> None:
        self.solve(weight.args[main], self.operand(weight, main, target))

    def _so_far(self, weight: Weight) -> Array:
        """What is known of an operand: NaN is what is not."""
        if all(leaf.key in self.known for leaf in weight.leaves):
            return evaluate(weight, self.known)
        return _nothing(weight.shape)

    def _holds_unknown(self, weight: Weight) -> bool:
        return any(self.is_unknown(leaf.key) for leaf in weight.leaves)

    def _settle(self, leaf: Leaf, value: Array) -> None:
        """Takes what the value tells of a variable; what an earlier equation told stays."""
        if leaf.key in self.known:
            before = self.known[leaf.key]
            value = np.where(np.isnan(before), value, before)
        self.known[leaf.key] = value
        (self.partial.add if np.isnan(value).any() else self.partial.discard)(leaf.key)

    def _neutralise(self, weight: Apply, slot: int) -> None:
        value = _NEUTRAL.get(weight.function.name)
        if value is None or (weight.function.name == "DIV" and slot == 0):
            raise Unsolvable(f"{weight.function.name} of several unknowns")
        arg = weight.args[slot]
        # Not a difference of sets, which looks at all that is known.
        fresh = {key for key in keys(arg) if key not in self.known}
        self.solve(arg, np.full(arg.shape, value, np.float32))
        self.neutral |= fresh & self.known.keys()

    def _main(self, weight: Apply, unknown: list[int]) -> int:
        """The operand that takes the value.

        In a product the one with the largest variable (the kernel, not the gamma), then the one nearest (gamma, not
        the variance). In a sum the later one, which is what came later in the model (beta, not the layer's bias); in
        a difference the first (beta, not the mean). An operand that is itself a sum over a kernel takes no value.
        """
        free = [slot for slot in unknown if not _is_total(weight.args[slot])] or unknown
        # One that broadcasting repeats cannot take a value of its own for each place.
        free = [slot for slot in free if weight.args[slot].shape == weight.shape] or free
        if weight.function.name == "ADD":
            return free[-1]
        if weight.function.name == "SUB":
            return free[0]
        return min(unknown, key=lambda slot: self._rank(weight.args[slot]))

    def _rank(self, weight: Weight) -> tuple[int, int]:
        """``(-size of the largest unknown, distance to the nearest one)``."""
        if isinstance(weight, Leaf):
            size = math.prod(weight.shape)
            return (-size, 0) if self.is_unknown(weight.key) else (0, 1 << 30)
        if not isinstance(weight, Apply):
            return (0, 1 << 30)
        ranks = [self._rank(arg) for arg in weight.args]
        return min(size for size, _ in ranks), min(distance for _, distance in ranks) + 1


def alike(file: Weight, keras: Weight, unknown: Collection[Key]) -> Iterator[tuple[Weight, Weight]]:
    """The smallest parts that hold unknowns, each with its counterpart: both sides do the same with them."""
    stack, seen = [(file, keras)], set()
    while stack:
        mine, theirs = stack.pop()
        # Parts are shared: walked once for each use, a chain of norms would take forever.
        if (id(mine), id(theirs)) in seen or not any(leaf.key in unknown for leaf in theirs.leaves):
            continue
        seen.add((id(mine), id(theirs)))
        if (
            isinstance(mine, Apply)
            and isinstance(theirs, Apply)
            and mine.function.name == theirs.function.name
            and [arg.shape for arg in mine.args] == [arg.shape for arg in theirs.args]
        ):
            stack.extend(zip(mine.args, theirs.args, strict=True))
        else:
            yield mine, theirs


def holds_one_way(weight: Weight, unknown: Collection[Key]) -> bool:
    """Whether an unknown is an operand of what cannot be undone."""
    return any(
        not isinstance(node.function, OpSpec) or node.function.inverse is None for node in _nodes(weight, unknown)
    )


def holds_product(weight: Weight, unknown: Collection[Key]) -> bool:
    """Whether an unknown is an operand of a product of two constants."""
    return any(node.function.name == "PRODUCT" for node in _nodes(weight, unknown))


def untold(weight: Weight, unknown: Collection[Key]) -> frozenset[Key]:
    """Unknowns of which a file has only what a product makes of them, and which other factor that has, it does not say.

    Any of them will do, if the other factor can be found to it.
    """
    products = (node for node in _nodes(weight, unknown) if node.function.name == "PRODUCT")
    pairs = ([keys(arg) & set(unknown) for arg in node.args] for node in products)
    return frozenset().union(*(x for x, kernel in pairs if kernel))


def _nodes(weight: Weight, unknown: Collection[Key]) -> Iterator[Apply]:
    """Every part of an expression that is computed from an unknown, once."""
    stack, seen = [weight], set()
    while stack:
        node = stack.pop()
        if id(node) in seen or not isinstance(node, Apply) or not any(leaf.key in unknown for leaf in node.leaves):
            continue
        seen.add(id(node))
        yield node
        stack.extend(node.args)


@cache
def _nothing(shape: Shape) -> Array:
    """In the place of an operand of which nothing is known."""
    return np.broadcast_to(np.float32(np.nan), shape)


def _is_total(weight: Weight) -> bool:
    while isinstance(weight, Apply) and weight.function.name in MOVES:
        weight = weight.args[0]
    return isinstance(weight, Apply) and weight.function.name == "CONTRACTION"


def _fit(target: Array, leaf: Leaf) -> Array:
    """The value in the variable's shape and dtype."""
    if target.shape != leaf.shape:
        raise Unsolvable(f"{leaf.key} has shape {leaf.shape}, the file's weight {target.shape}")
    dtype = str(leaf.dtype)
    if "int" in dtype and target.dtype.kind == "f" and np.isfinite(target).all():
        # A variable would cut what undoing a reciprocal has left of a whole number.
        whole = np.rint(target)
        if deviates(target, whole, Slack(relative=tolerances.WEIGHT)):
            raise Unsolvable(f"{leaf.key} holds whole numbers, the file's are none")
        return whole.astype(dtype)
    # numpy has no bfloat16; the variable casts on assignment.
    return target.astype(dtype, copy=False) if dtype in ("float16", "float32", "float64") else target


def is_moved(weight: Weight) -> bool:
    """Whether the expression is one leaf whose numbers are only moved, to places that are known."""
    while isinstance(weight, Apply) and is_moving(weight):
        weight = weight.args[0]
    return isinstance(weight, Leaf)


def is_moving(weight: Apply) -> bool:
    """Whether an operator only moves the numbers of its first operand, to places that are known."""
    return weight.function.name in MOVES and not any(place.leaves for place in weight.args[1:])


@dataclass(frozen=True, slots=True)
class Slack:
    """How far a number may be from what it should be; the parts add up.

    Attributes:
        relative: To the number itself.
        peak: Relative to the largest of the array: float32 sums in another order.
        absolute: A part of a step of the stored type, one for all or one per number.
        ends: Where the numbers may have been clipped.
    """

    relative: float = 0.0
    peak: float = 0.0
    absolute: float | Array = 0.0
    ends: Ends | None = None


def deviates(got: Array, wanted: Array, slack: Slack) -> float:
    """0 when every number is within its slack; else the largest deviation, relative to the largest magnitude."""
    try:
        got, wanted = np.broadcast_arrays(got, wanted)
    except ValueError:
        return float("inf")
    if not wanted.size or np.array_equal(got, wanted):
        return 0.0
    if "c" in (got.dtype.kind, wanted.dtype.kind):
        got, wanted = (np.stack([np.real(x), np.imag(x)]) for x in (got, wanted))
    if wanted.dtype.kind in "biu" and got.dtype.kind in "biu":
        got, wanted, slack = got.astype(np.int64), wanted.astype(np.int64), Slack()
    else:
        got, wanted = got.astype(np.float32), wanted.astype(np.float32)
    if slack.ends is not None:
        got, wanted = slack.ends.clip(got), slack.ends.clip(wanted)
    magnitudes = np.where(np.isfinite(wanted), np.abs(wanted), 0)
    largest = np.full(wanted.shape, magnitudes.max() or 1.0)
    if largest.max() * np.finfo(np.float32).eps > tolerances.LOST:
        # Numbers beside a mask are compared among themselves.
        others = magnitudes * tolerances.GUARD < largest
        largest[others] = magnitudes.max(initial=0, where=others) or 1.0
    with np.errstate(invalid="ignore"):
        # Infinities are equal to themselves, but their difference is no number.
        off = np.where(got == wanted, 0, np.abs(got - wanted))
        within = off <= slack.relative * np.abs(wanted) + slack.peak * largest + slack.absolute
    if within.all():
        return 0.0
    worst = float((np.where(within, 0, off) / largest).max())
    return worst if np.isfinite(worst) else float("inf")
