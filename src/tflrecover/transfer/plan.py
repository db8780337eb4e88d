"""What will be written, and the accounting: every variable and every constant of the file ends in one named state."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tflrecover import tolerances
from tflrecover.ir import Assignment, ConstantUse, Graph, Shape
from tflrecover.transfer.equations import Equation
from tflrecover.transfer.solve import Solver, Unsolvable, error, is_moved
from tflrecover.weight import Array, Key, Literal, Weight, evaluate, keys, leaves, recipe


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
    """

    assignments: tuple[Assignment, ...]
    failed: tuple[Failure, ...]
    consumed: frozenset[Key]


@dataclass(frozen=True, slots=True)
class Variable:
    """What the plan must know of a Keras variable: shape, dtype, and its value where it is kept."""

    shape: Shape
    dtype: str
    kept: Array | None = None


def plan(
    equations: Sequence[Equation],
    variables: Mapping[str, Variable],
    used: Collection[Key],
    env: Mapping[Key, Array],
    given: Mapping[str, tuple[Array, str]],
) -> Plan:
    """Solves all equations together.

    Args:
        equations: Scaling operands first.
        variables: By unique path, in the model's order.
        used: Keys of the variables that the traced model reads.
        env: Contents of the file's tensors.
        given: Values that the mapping gives, with their recipe.
    """
    kept: dict[Key, Array] = {path: v.kept for path, v in variables.items() if v.kept is not None}
    solver = Solver({**kept, **{path: value for path, (value, _) in given.items()}})
    recipes: dict[Key, str] = {path: text for path, (_, text) in given.items()}
    moved: set[Key] = set(given)
    failed: list[Failure] = []
    consumed: set[Key] = set()
    for equation in equations:
        failure = _settle(equation, solver, env, recipes, moved, kept)
        if failure is not None:
            failed.append(failure)
        else:
            consumed |= keys(equation.file)
    broken = {key for failure in failed for key in keys(failure.equation.keras) if key not in kept}
    assignments = tuple(
        _assignment(path, variable, solver, path in used, broken, moved, recipes)
        for path, variable in variables.items()
    )
    return Plan(assignments, tuple(failed), frozenset(consumed))


def _settle(
    equation: Equation,
    solver: Solver,
    env: Mapping[Key, Array],
    recipes: dict[Key, str],
    moved: set[Key],
    kept: Mapping[Key, Array],
) -> Failure | None:
    """Solves one equation; returns why it does not hold, or nothing."""
    mine = keys(equation.keras)
    if mine and mine <= kept.keys():
        return None
    if not _broadcasts(equation.file, equation.keras):
        shapes = f"{list(equation.file.shape)} in the file, {list(equation.keras.shape)} in the model"
        return Failure(equation, f"shapes differ: {shapes}")
    target = np.asarray(evaluate(equation.file, env))
    fresh = {key for key in mine if solver.is_unknown(key)}
    try:
        solver.solve(equation.keras, target)
    except Unsolvable as problem:
        return Failure(equation, str(problem), target)
    for key in fresh:
        recipes[key] = recipe(equation.file) if key not in solver.neutral else "neutral"
    if is_moved(equation.keras) and fresh:
        moved |= fresh
        return None
    tolerance = tolerances.LITERAL if isinstance(equation.keras, Literal) else tolerances.WEIGHT
    tolerance += sum(tolerances.HALF_STEP.get(str(leaf.dtype), 0.0) for leaf in leaves(equation.file))
    deviation = error(equation.keras, target, solver.known)
    if deviation <= tolerance:
        return None
    got = np.asarray(evaluate(equation.keras, solver.known))
    return Failure(equation, f"values differ by {deviation:.1e} of the largest", target, got)


def _broadcasts(file: Weight, keras: Weight) -> bool:
    try:
        np.broadcast_shapes(file.shape, keras.shape)
    except ValueError:
        return False
    # Broadcasting a variable over a larger weight is no solution unless its shape says so.
    return (
        keras.shape == file.shape
        or int(np.prod(file.shape)) == 1
        or isinstance(keras, Literal)
        or _squeezed(file, keras)
    )


def _squeezed(file: Weight, keras: Weight) -> bool:
    return [n for n in file.shape if n != 1] == [n for n in keras.shape if n != 1]


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
    if path in solver.partial:
        return Assignment(path, "unresolved", None, "the file has only a part of it")
    if path not in solver.known or path in broken:
        return Assignment(path, "unresolved", None, "no weight of the file answers to it")
    value = np.asarray(solver.known[path])
    if not np.all(np.isfinite(value)):
        return Assignment(path, "unresolved", None, "the file's weight cannot be undone to a finite value")
    state = "assigned" if path in moved else "reparametrised"
    return Assignment(path, state, value, recipes.get(path, ""))


def constant_uses(
    source: Graph,
    consumed: Collection[Key],
    structural: Collection[Key],
    ignored: Collection[Key],
    read: Collection[Key],
) -> tuple[ConstantUse, ...]:
    """The state of every constant tensor of the file's main graph.

    Args:
        source: The graph as read.
        consumed: Keys that solved equations took.
        structural: Keys that were read as shapes, paddings or axes.
        ignored: Keys that the mapping leaves out.
        read: Keys that the canonical graph still refers to.
    """
    uses = []
    taken = {value for op in source.ops() for value in op.inputs if value is not None}
    for key, value in source.values.items():
        if value.data is None or key not in taken:
            continue
        if key in consumed:
            state = "consumed"
        elif key in ignored:
            state = "ignored"
        elif key in structural or key not in read:
            state = "structural"
        else:
            state = "unexplained"
        uses.append(ConstantUse(key, value.name, state))
    return tuple(uses)


def leaf_keys(graph: Graph) -> frozenset[Key]:
    """Keys of all leaves that a canonical graph's constants refer to."""
    found: set[Key] = set()
    for value in graph.values.values():
        if value.weight is not None:
            found.update(leaf.key for leaf in leaves(value.weight))
    return frozenset(found)
