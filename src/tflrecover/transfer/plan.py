"""What will be written, and the accounting: every variable and every constant of the file ends in one named state."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tflrecover.ir import Assignment, Shape, VariableState
from tflrecover.ops.quantize import ends
from tflrecover.ops.shape import only_moves_units
from tflrecover.transfer.equations import Equation, System
from tflrecover.transfer.rounding import drift, growth, half_step, slack, step
from tflrecover.transfer.solve import Solver, Unsolvable, alike, deviates, holds_one_way, is_moved
from tflrecover.weight import Array, Key, Literal, Weight, evaluate, keys, recipe


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


@dataclass(frozen=True, eq=False)
class Plan:
    """The outcome of solving.

    Attributes:
        assignments: One per Keras variable, in the model's order.
        failed: Equations that do not hold.
        consumed: Keys of the file's tensors that equations took.
        scalings: AFFINE operators behind which both sides have the same, file id to Keras id.
        partial: Assigned variables of which the file has only a part: the rest stays as it is in the model.
    """

    assignments: tuple[Assignment, ...]
    failed: tuple[Failure, ...]
    consumed: frozenset[Key]
    scalings: Mapping[int | str, int | str]
    partial: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Variable:
    """What the plan must know of a Keras variable.

    Attributes:
        shape: Its shape.
        dtype: Its type.
        kept: Its value where the mapping keeps it.
        current: Gives its present value, which stays where the file tells nothing of a part.
    """

    shape: Shape
    dtype: str
    kept: Array | None = None
    current: Callable[[], Array] | None = None


def plan(
    system: System,
    variables: Mapping[str, Variable],
    used: Collection[Key],
    env: Mapping[Key, Array],
    given: Mapping[Key, tuple[Array, str]],
) -> Plan:
    """Solves all equations together.

    Args:
        system: The equations.
        variables: By unique path, in the model's order.
        used: Keys of the variables that the traced model reads.
        env: Contents of the file's tensors.
        given: Values that are known, with their recipe: the mapping's, or all of them where nothing is solved for.
    """
    kept: dict[Key, Array] = {path: v.kept for path, v in variables.items() if v.kept is not None}
    solver = Solver({**kept, **{path: value for path, (value, _) in given.items()}})
    indices: dict[Key, Callable[[], Array]] = {
        path: v.current for path, v in variables.items() if v.current is not None and "int" in v.dtype
    }
    texts: dict[Key, str] = {path: text for path, (_, text) in given.items()}
    state = _State(env, kept, solver, texts, set(given), indices=indices)
    state.settle_alike(system.weights)
    state.settle_finest((*system.edges, *system.weights))
    state.settle_all(system.edges)
    equal, weights = list(system.edges), list(system.weights)
    for fold in sorted(system.folds, key=lambda fold: _unknowns(*fold.edge)):
        is_equal = state.holds(fold.edge)
        equal += fold.edge if is_equal else ()
        if not is_equal and fold.is_written and not state.holds(fold.border):
            # No weights make up for it: then it is told as the model's code has it.
            weights += fold.edge + fold.apart
        else:
            weights += fold.apart if is_equal else fold.inside + fold.border
    state.settle_all(weights)
    state.settle_clipped()
    broken = {key for failure in state.failed for key in keys(failure.equation.keras) if key not in kept}
    assignments = tuple(
        Assignment(path, "kept", None, "an integer that the file does not tell")
        if path in state.held
        else _assignment(path, variable, state.solver, path in used, broken, state.moved, state.recipes)
        for path, variable in variables.items()
    )
    scalings = {e.file_op: e.keras_op for e in equal if e.file_op is not None and e.keras_op is not None}
    partial = tuple(a.variable for a in assignments if a.value is not None and a.variable in state.solver.partial)
    return Plan(assignments, tuple(state.failed), frozenset(state.consumed), scalings, partial)


def _unknowns(*equations: Equation) -> int:
    return sum(len(keys(equation.keras)) for equation in equations)


@dataclass(eq=False)
class _State:
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
        indices: Integer variables, each with what gives its present value.
        held: Those of them that kept it, because the file does not tell theirs.
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
    indices: Mapping[Key, Callable[[], Array]] = field(default_factory=dict)
    held: set[Key] = field(default_factory=set)

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
        to take the grid of what is looked up in it waits for all other equations: its ends stand for numbers beyond.
        """
        moved = [equation for equation in equations if is_moved(equation.keras) and step(equation.file)]
        self.done.update(map(id, moved))
        for equation in sorted(moved, key=lambda one: step(one.file)):
            if ends(equation.file) is None:
                self._settle(equation)
            else:
                self.clipped.append(equation)

    def settle_clipped(self) -> None:
        """Takes what may be clipped for what nothing else tells, and checks the rest against it."""
        for equation in self.clipped:
            self._settle(equation)

    def settle_all(self, equations: Iterable[Equation]) -> None:
        """Solves equations, those of the fewest unknowns first.

        Scales come before shifts: what they leave neutral (gamma, variance) is then known for those. A kernel that is
        used alone somewhere is known before it is used with a batch norm behind it.
        """
        listed = [equation for equation in equations if id(equation) not in self.done]
        for shifts in (False, True):
            self._settle_by_need([equation for equation in listed if equation.shifts is shifts])

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
            if not self._settle(equations[i]) and any(map(self.solver.is_unknown, open_[i])):
                waiting.append(equations[i])
            for key in [key for key in open_[i] if not self.solver.is_unknown(key)]:
                for other in uses.pop(key, ()):
                    open_[other].discard(key)
                    heapq.heappush(heap, (len(open_[other]), steps[other], other))
        self._settle_again(waiting)

    def _settle_again(self, equations: Sequence[Equation]) -> None:
        """What could not be undone may be, once others have told a part: a sum of all weights but one."""
        count = len(equations) + 1
        while len(equations) < count:
            count, waiting = len(equations), {id(equation) for equation in equations}
            self.failed = [failure for failure in self.failed if id(failure.equation) not in waiting]
            equations = [equation for equation in equations if not self._settle(equation)]

    def _settle(self, equation: Equation) -> bool:
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
        is_other = not _broadcasts(equation.file, equation.keras)
        if is_other or equation.is_across:
            told = "shapes differ" if is_other else "they go along other axes"
            shapes = f"{list(equation.file.shape)} in the file, {list(equation.keras.shape)} in the model"
            return Failure(equation, f"{told}: {shapes}")
        target = np.asarray(evaluate(equation.file, self.env))
        if only_moves_units(equation.file.shape, equation.keras.shape):
            target = target.reshape(equation.keras.shape)
        elif target.size == 1 and equation.is_broadcast:
            # One number for all channels fills a variable that has one for each.
            target = np.broadcast_to(target, equation.keras.shape)
        fresh = {key for key in mine if solver.is_unknown(key)}
        if fresh and target.dtype.kind == "f" and np.isnan(target).any():
            # NaN says that a part of a variable is not known; as a number of the file it is no weight.
            return Failure(equation, "the file's weight is not a number", target)
        # Of a variable of which parts are known, an equation may give those again.
        untouched = {key for key in fresh if key not in solver.known}
        try:
            self._solve(equation.keras, target, mine)
        except Unsolvable as problem:
            return Failure(equation, str(problem), target)
        fresh -= self.held
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
        return Failure(equation, f"values differ by {deviation:.1e} of the largest", target, got)

    def _deviation(
        self, equation: Equation, target: Array, rounded: float, settled: Collection[Key]
    ) -> tuple[float, Array]:
        """How far what was found is from the target, 0 where rounding explains it; and what was found."""
        got = np.asarray(evaluate(equation.keras, self.solver.known))
        if np.array_equal(got, target):
            return 0.0, got
        # What a model stores in 16 bits, and what the second of two files stores as integers, is rounded there too.
        theirs = half_step(equation.keras, target)
        allowed = slack(equation, target, rounded)
        allowed = replace(allowed, absolute=allowed.absolute + theirs)
        if not deviates(got, target, allowed):
            return 0.0, got
        moved = sum(drift(equation.keras, key, self.rounding.get(key, 0.0), self.solver.known) for key in settled)
        return deviates(got, target, replace(allowed, absolute=allowed.absolute + moved)), got

    def _solve(self, weight: Weight, target: Array, mine: Collection[Key]) -> None:
        """Solves for all unknowns; if that cannot be, with integers (positions, indices) as they are in the model."""
        try:
            self.solver.solve(weight, target)
        except Unsolvable:
            indices = [key for key in mine if key in self.indices and self.solver.is_unknown(key)]
            if not indices:
                raise
            self.solver.known.update((key, self.indices[key]()) for key in indices)
            self.held.update(indices)
            self.solver.solve(weight, target)

    def holds(self, equations: Iterable[Equation]) -> bool:
        """Solves equations if all of them can hold; else nothing has happened."""
        solver = self.solver.copy()
        tried = replace(
            self,
            solver=solver,
            recipes=dict(self.recipes),
            moved=set(self.moved),
            rounding=dict(self.rounding),
            failed=[],
            consumed=set(),
            held=set(self.held),
        )
        tried.settle_all(equations)
        if tried.failed:
            return False
        self.solver, self.recipes, self.moved = tried.solver, tried.recipes, tried.moved
        self.rounding, self.held = tried.rounding, tried.held
        self.consumed |= tried.consumed
        return True


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


def _assignment(
    path: str,
    variable: Variable,
    solver: Solver,
    is_used: bool,
    broken: Collection[Key],
    moved: Collection[Key],
    recipes: Mapping[Key, str],
) -> Assignment:
    if variable.kept is not None:
        return Assignment(path, "kept", None, "by the mapping")
    if not is_used and path not in solver.known:
        return Assignment(path, "kept", None, "not read in inference")
    if path not in solver.known or path in broken:
        return Assignment(path, "unresolved", None, "no weight of the file answers to it")
    value, text = np.asarray(solver.known[path]), recipes.get(path, "")
    if path in solver.partial and variable.current is not None:
        value, text = _completed(value, variable.current(), text)
    if not np.all(np.isfinite(value)):
        return Assignment(path, "unresolved", None, "the file's weight cannot be undone to a finite value")
    state: VariableState = "assigned" if path in moved else "reparametrised"
    return Assignment(path, state, value, text)


def _completed(part: Array, current: Array, text: str) -> tuple[Array, str]:
    """A value of which the model reads, and so the file has, only a part: the rest stays as it is, and is told."""
    absent = np.isnan(part)
    told = f"{text}; {int(absent.sum())} of {absent.size} numbers are not in the file and stay as they are"
    return np.where(absent, current, part).astype(current.dtype), told
