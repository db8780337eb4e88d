"""What will be written, and the accounting: every variable and every constant of the file ends in one named state."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np

from tflrecover.ir import Assignment, Shape, VariableState
from tflrecover.transfer.equations import Equation, System
from tflrecover.transfer.products import settle_one_way
from tflrecover.transfer.solve import Solver
from tflrecover.transfer.state import Failure, State
from tflrecover.weight import Array, Key, keys


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
    present: dict[Key, Callable[[], Array]] = {
        path: v.current for path, v in variables.items() if v.current is not None
    }
    indices = frozenset(path for path in present if "int" in variables[str(path)].dtype)
    texts: dict[Key, str] = {path: text for path, (_, text) in given.items()}
    state = State(env, kept, solver, texts, set(given), present=present, indices=indices, given=frozenset(given))
    state.settle_alike(system.weights)
    state.settle_finest((*system.edges, *system.weights))
    state.settle_all(system.edges)
    equal, weights = list(system.edges), list(system.weights)
    for fold in sorted(system.folds, key=lambda fold: _unknowns(*fold.edge)):
        is_equal = state.holds(fold.edge)
        equal += fold.edge if is_equal else ()
        if not is_equal and fold.is_written and not any(state.holds(fold.border + one) for one in fold.written):
            # Either no weights make up for it, or the file says that somebody wrote other numbers.
            weights += fold.told + fold.apart
        else:
            weights += fold.apart if is_equal else fold.inside + fold.border
    state.settle_all(weights)
    settle_one_way(state, (*equal, *weights))
    state.settle_clipped(state.clipped)
    broken = {key for failure in state.failed for key in keys(failure.equation.keras) if key not in kept}
    assignments = tuple(
        Assignment(path, "kept", None, state.held[path])
        if path in state.held
        else _assignment(path, variable, state.solver, path in used, broken, state.moved, state.recipes)
        for path, variable in variables.items()
    )
    scalings = {e.file_op: e.keras_op for e in equal if e.file_op is not None and e.keras_op is not None}
    partial = tuple(a.variable for a in assignments if a.value is not None and a.variable in state.solver.partial)
    return Plan(assignments, tuple(state.failed), frozenset(state.consumed), scalings, partial)


def _unknowns(*equations: Equation) -> int:
    return sum(len(keys(equation.keras)) for equation in equations)


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
