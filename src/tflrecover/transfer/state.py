"""What is settled of the variables so far, one equation after the other."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np

from tflrecover.ops.elementwise import ADD
from tflrecover.ops.quantize import ends
from tflrecover.ops.shape import only_moves_units
from tflrecover.transfer.equations import Equation
from tflrecover.transfer.rounding import TEXTS, as_stored, drift, growth, half_step, slack, step
from tflrecover.transfer.solve import Solver, Unsolvable, alike, deviates, holds_one_way, holds_product, is_moved
from tflrecover.weight import Apply, Array, Key, Literal, Weight, evaluate, keys, recipe


@dataclass(frozen=True, slots=True, eq=False)
class Failure:
    """An equation that does not hold.

    Attributes:
        equation: The equation.
        reason: Why, for a human.
        file_value: What the file has; None when the shapes already differ.
        keras_value: What the model can offer at best; None when nothing can be said.
    """

    equation: Equation
    reason: str
    file_value: Array | None = None
    keras_value: Array | None = None


@dataclass(eq=False)
class State:
    """What is settled so far.

    Attributes:
        env: Contents of the file's tensors.
        kept: Variables that keep their value.
        solver: Values found.
        recipes: Variable to where its value comes from.
        moved: Variables that received the file's own numbers.
        rounding: Variable to what rounding to the stored type may have changed in it.
        failed: Equations that do not hold.
        consumed: Tensors of the file that equations took.
        done: Equations that were settled before all others.
        clipped: Those of them that wait for all others.
        present: Variables, each with what gives its present value.
        indices: Those of integers.
        held: Variables that kept it, because the file does not tell theirs, with the reason.
        given: Those whose value was known before: no equation gives them another.
    """

    env: Mapping[Key, Array]
    kept: Mapping[Key, Array]
    solver: Solver
    recipes: dict[Key, str]
    moved: set[Key]
    rounding: dict[Key, float] = field(default_factory=dict)
    failed: list[Failure] = field(default_factory=list)
    consumed: set[Key] = field(default_factory=set)
    done: set[int] = field(default_factory=set)
    clipped: list[Equation] = field(default_factory=list)
    present: Mapping[Key, Callable[[], Array]] = field(default_factory=dict)
    indices: frozenset[Key] = frozenset()
    held: dict[Key, str] = field(default_factory=dict)
    given: frozenset[Key] = frozenset()

    def settle_alike(self, equations: Iterable[Equation]) -> None:
        """Solves equations that no walk can undo where both sides compute alike: then their operands are equal.

        A layer norm of learned queries: nothing but its form says which of its numbers are the queries, gamma and beta.
        They leave nothing to choose, either.
        """
        for equation in equations:
            fresh = {key for key in keys(equation.keras) if key not in self.solver.known}
            if not fresh or not holds_one_way(equation.keras, fresh):
                continue
            parts = list(alike(equation.file, equation.keras, fresh))
            tried = self.solver.copy()
            try:
                for mine, theirs in parts:
                    tried.solve(theirs, np.asarray(evaluate(mine, self.env)))
            except Unsolvable:
                continue
            if fresh <= tried.known.keys():
                self.solver = tried
                for mine, theirs in parts:
                    self.recipes.update((key, recipe(mine)) for key in keys(theirs) & fresh)
                    self.moved |= keys(theirs) & fresh if is_moved(theirs) else set()

    def settle_finest(self, equations: Iterable[Equation]) -> None:
        """Solves equations that give a variable's own numbers as the file rounded them, the finest first.

        They leave nothing to choose. A file may have one bias twice: in the step of the products that it is added to,
        and as a constant of its own in the far coarser one of eight bits, which is then only checked. A table that had
        to take the grid of what is looked up in it waits for other equations that tell it alone where it has its
        ends: they stand for numbers beyond.
        """
        listed = list(equations)
        moved = [equation for equation in listed if is_moved(equation.keras) and step(equation.file)]
        self.done.update(map(id, moved))
        for equation in sorted(moved, key=lambda one: step(one.file)):
            if not self._is_clipped(equation.file):
                self.settle(equation)
            else:
                self.clipped.append(equation)
        if not self.clipped:
            return
        waiting = {*map(id, self.clipped)}
        told = _told([keys(equation.keras) for equation in listed if id(equation) not in waiting])
        first = [one for one in self.clipped if not keys(one.keras) & told]
        self.clipped = [one for one in self.clipped if one not in first]
        self.settle_clipped(first)

    def _is_clipped(self, weight: Weight) -> bool:
        """Whether numbers of a constant are at the ends of what it can have been stored as."""
        limits = ends(weight)
        if limits is None:
            return False
        array = np.asarray(evaluate(weight, self.env))
        return bool(((array <= limits.low) | (array >= limits.high)).any())

    def settle_clipped(self, equations: Iterable[Equation]) -> None:
        """Takes what may be clipped for what nothing else tells, and checks the rest against it.

        Of one table on several grids the widest tells the most: the ends of the others stand for its numbers.
        """
        for equation in sorted(equations, key=lambda one: -_width(one.file)):
            self.settle(equation)

    def settle_all(self, equations: Iterable[Equation]) -> None:
        """Solves equations, those of the fewest unknowns first.

        Scales come before shifts: what they leave neutral (gamma, variance) is then known for those. A kernel that is
        used alone somewhere is known before it is used with a batch norm behind it.
        """
        listed = [equation for equation in equations if id(equation) not in self.done]
        products = {id(equation) for equation in listed if self._is_product(equation)}
        for shifts in (False, True):
            self._settle_by_need([e for e in listed if e.shifts is shifts and id(e) not in products])
        self._settle_by_need([equation for equation in listed if id(equation) in products])

    def _is_product(self, equation: Equation) -> bool:
        unknown = {key for key in keys(equation.keras) if self.solver.is_unknown(key)}
        return bool(unknown) and holds_product(equation.keras, unknown)

    def _settle_by_need(self, equations: Sequence[Equation]) -> None:
        open_ = [{key for key in keys(equation.keras) if self.solver.is_unknown(key)} for equation in equations]
        uses: dict[Key, list[int]] = defaultdict(list)
        for i, unknown in enumerate(open_):
            for key in unknown:
                uses[key].append(i)
        # Of several tensors for one variable the one with the finest step tells it best.
        steps = [step(equation.file) for equation in equations]
        heap = [(len(unknown), steps[i], i) for i, unknown in enumerate(open_)]
        heapq.heapify(heap)
        done: set[int] = set()
        waiting: list[Equation] = []
        while heap:
            *_, i = heapq.heappop(heap)
            if i in done:
                continue
            done.add(i)
            if not self.settle(equations[i]) and any(map(self.solver.is_unknown, open_[i])):
                waiting.append(equations[i])
            for key in [key for key in open_[i] if not self.solver.is_unknown(key)]:
                for other in uses.pop(key, ()):
                    open_[other].discard(key)
                    heapq.heappush(heap, (len(open_[other]), steps[other], other))
        self.settle_again(waiting)

    def settle_again(self, equations: Sequence[Equation]) -> None:
        """What could not be undone may be, once others have told a part: a sum of all weights but one."""
        count = len(equations) + 1
        while len(equations) < count:
            count, waiting = len(equations), {id(equation) for equation in equations}
            self.failed = [failure for failure in self.failed if id(failure.equation) not in waiting]
            equations = [equation for equation in equations if not self.settle(equation)]

    def settle(self, equation: Equation) -> bool:
        """Solves one equation; whether it then holds."""
        failure = self._failure(equation)
        if failure is not None:
            self.failed.append(failure)
        else:
            self.consumed |= keys(equation.file)
        return failure is None

    def _failure(self, equation: Equation) -> Failure | None:
        """Solves one equation; returns why it does not hold, or nothing."""
        mine, solver = keys(equation.keras), self.solver
        if mine and mine <= self.kept.keys():
            return None
        whole, equation = equation, self._without_equal_terms(as_stored(equation))
        is_other = not _broadcasts(equation.file, equation.keras)
        if is_other or equation.is_across:
            told = "shapes differ" if is_other else "they go along other axes"
            shapes = f"{list(equation.file.shape)} in the file, {list(equation.keras.shape)} in the model"
            return Failure(whole, f"{told}: {shapes}")
        target = np.asarray(evaluate(equation.file, self.env))
        if only_moves_units(equation.file.shape, equation.keras.shape):
            target = target.reshape(equation.keras.shape)
        elif target.size == 1 and equation.is_broadcast:
            # One number for all channels fills a variable that has one for each.
            target = np.broadcast_to(target, equation.keras.shape)
        fresh = {key for key in mine if solver.is_unknown(key)}
        if fresh and target.dtype.kind == "f" and np.isnan(target).any():
            # NaN says that a part of a variable is not known; as a number of the file it is no weight.
            return Failure(whole, "the file's weight is not a number", target)
        # Of a variable of which parts are known, an equation may give those again.
        untouched = {key for key in fresh if key not in solver.known}
        try:
            self._solve(equation.keras, target, mine)
        except Unsolvable as problem:
            # What was made neutral on the way to what cannot be undone, is not.
            for key in untouched & solver.known.keys():
                del solver.known[key]
            solver.neutral -= untouched
            return Failure(whole, str(problem), target)
        fresh -= self.held.keys()
        for key in fresh:
            self.recipes[key] = recipe(equation.file) if key not in solver.neutral else "neutral"
        rounded = half_step(equation.file, target)
        for key in fresh - solver.neutral:
            # Parts of a variable may come from tensors of different steps.
            own = rounded * growth(solver.known[key], target) if rounded and not equation.shifts else rounded
            self.rounding[key] = max(own, self.rounding.get(key, 0.0))
        if is_moved(equation.keras) and fresh:
            self.moved |= fresh
            if fresh <= untouched:
                return None
        settled = mine - untouched
        deviation, got = self._deviation(equation, target, rounded, settled)
        if deviation and (shifted := solver.shift(equation.keras, target, fresh & untouched)) is not None:
            self.recipes[shifted], self.rounding[shifted] = recipe(equation.file), rounded
            deviation, got = self._deviation(equation, target, rounded, settled)
        if not deviation:
            return None
        return Failure(whole, f"values differ by {deviation:.1e} of the largest", target, got)

    def _without_equal_terms(self, equation: Equation) -> Equation:
        """Without a term that both sums have: beside a mask the digits of the other would be lost."""
        file, keras = equation.file, equation.keras
        while isinstance(file, Apply) and isinstance(keras, Apply) and file.function is keras.function is ADD:
            rest = next(self._rests(file, keras), None)
            if rest is None:
                break
            file, keras = rest
        return equation if file is equation.file else replace(equation, file=file, keras=keras)

    def _rests(self, file: Apply, keras: Apply) -> Iterator[tuple[Weight, Weight]]:
        """The other terms of two sums, for every term of the model's code that the file's sum has."""
        for (mine, other), (theirs, rest) in product((file.args, file.args[::-1]), (keras.args, keras.args[::-1])):
            if theirs.leaves or not rest.leaves or other.shape != rest.shape:
                continue
            numbers = evaluate(mine, self.env), evaluate(theirs, {})
            if np.all(numbers[0] == numbers[1]):
                yield other, rest

    def _deviation(
        self, equation: Equation, target: Array, rounded: float, settled: Collection[Key]
    ) -> tuple[float, Array]:
        """How far what was found is from the target, 0 where rounding explains it; and what was found."""
        known = self._completed(keys(equation.keras))
        got = np.asarray(evaluate(equation.keras, known))
        if np.array_equal(got, target):
            return 0.0, got
        if target.dtype.kind in TEXTS:
            return 1.0, got
        # What a model stores in 16 bits, and what the second of two files stores as integers, is rounded there too.
        theirs = half_step(equation.keras, target)
        allowed = slack(equation, target, rounded)
        allowed = replace(allowed, absolute=allowed.absolute + theirs)
        if not deviates(got, target, allowed):
            return 0.0, got
        moved = sum(drift(equation.keras, key, self.rounding.get(key, 0.0), known) for key in settled)
        return deviates(got, target, replace(allowed, absolute=allowed.absolute + moved)), got

    def _completed(self, mine: Collection[Key]) -> dict[Key, Array]:
        """Variables as they will be: numbers that the file does not tell are those of the model."""
        partial = [key for key in mine if key in self.solver.partial and key in self.present]
        if not partial:
            return self.solver.known
        own = {
            key: np.where(np.isnan(self.solver.known[key]), self.present[key](), self.solver.known[key])
            for key in partial
        }
        return {**self.solver.known, **own}

    def _solve(self, weight: Weight, target: Array, mine: Collection[Key]) -> None:
        """Solves for all unknowns; if that cannot be, with integers (positions, indices) as they are in the model."""
        try:
            self.solver.solve(weight, target)
        except Unsolvable:
            indices = [key for key in mine if key in self.indices and self.solver.is_unknown(key)]
            if not indices:
                raise
            self.solver.known.update((key, self.present[key]()) for key in indices)
            self.held.update(dict.fromkeys(indices, "an integer that the file does not tell"))
            self.solver.solve(weight, target)

    def holds(self, equations: Iterable[Equation]) -> bool:
        """Solves equations if all of them can hold; else nothing has happened."""
        tried = self.copied()
        tried.settle_all(equations)
        if tried.failed:
            return False
        self.take(replace(tried, failed=self.failed))
        return True

    def copied(self) -> State:
        """One that knows the same, to try something out; nothing has failed there."""
        return replace(
            self,
            solver=self.solver.copy(),
            recipes=dict(self.recipes),
            moved=set(self.moved),
            rounding=dict(self.rounding),
            failed=[],
            consumed=set(self.consumed),
            held=dict(self.held),
        )

    def take(self, tried: State) -> None:
        """Goes on with what was tried out."""
        self.solver, self.recipes, self.moved = tried.solver, tried.recipes, tried.moved
        self.rounding, self.held = tried.rounding, tried.held
        self.consumed, self.failed = tried.consumed, tried.failed


def _width(weight: Weight) -> float:
    found = ends(weight)
    return 0.0 if found is None else found.high - found.low


def _broadcasts(file: Weight, keras: Weight) -> bool:
    try:
        np.broadcast_shapes(file.shape, keras.shape)
    except ValueError:
        return False
    # Broadcasting a variable over a larger weight is no solution unless its shape says so.
    return (
        keras.shape == file.shape
        or math.prod(file.shape) == 1
        or isinstance(keras, Literal)
        or only_moves_units(file.shape, keras.shape)
    )


def _told(groups: Sequence[frozenset[Key]]) -> set[Key]:
    """What equations of those unknowns can tell one after the other, each with one that is still open."""
    told: set[Key] = set()
    while found := {key for group in groups if len(group - told) == 1 for key in group - told}:
        told |= found
    return told
