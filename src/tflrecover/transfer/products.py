"""Products of two constants, of which a file of fixed sizes has nothing but the result.

Learned queries, their norm and the kernel that projects them are one constant there. A kernel that is known from
elsewhere tells the queries. Where nothing else takes it, the queries stay as they are in the model, and a kernel is
found to them: the file says no more. Factors with few numbers between them become any that have their product.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from tflrecover.transfer.equations import Equation
from tflrecover.transfer.few import fits
from tflrecover.transfer.normalized import candidates
from tflrecover.transfer.norms import unnormalized
from tflrecover.transfer.solve import Solver, Unsolvable, holds_one_way, holds_product, is_moving, untold
from tflrecover.transfer.state import State
from tflrecover.weight import Apply, Array, Key, Weight, evaluate, keys, recipe


@dataclass(frozen=True, eq=False)
class _Factor:
    """One and the same first factor of several products.

    Attributes:
        weight: Its expression.
        equations: Those that have it.
        kernels: The other factor in each of them.
        products: What each product is.
        rows: What it is itself, where an equation tells that.
    """

    weight: Weight
    equations: list[Equation] = field(default_factory=list)
    kernels: list[Array] = field(default_factory=list)
    products: list[Array] = field(default_factory=list)
    rows: list[Array] = field(default_factory=list)


def settle_one_way(state: State, equations: Sequence[Equation]) -> None:
    """Settles what failed because of such products, and what cannot be undone but is so in the model already.

    Args:
        state: What is known; changed where that makes more equations hold.
        equations: All of them.
    """
    for factor in _factors(state):
        solved = dict.fromkeys(_unknown(state.solver, factor.equations[0]), "of what is made of it")
        _try(state, factor.equations, partial(_solve, factor), recipes=solved)
    for equation in _open(state):
        free = untold(equation.keras, _unknown(state.solver, equation)) & state.present.keys()
        if free:
            present = {key: state.present[key]() for key in free}
            held = dict.fromkeys(free, "the file has only a product of it")
            _try(state, [equation], partial(_hold, present), held=held)
    for equation in _open(state):
        solved = dict.fromkeys(_unknown(state.solver, equation), "one of many pairs of factors of what the file has")
        _try(state, [equation], partial(_split, equation, state), recipes=solved)
    for equation in [failure.equation for failure in state.failed]:
        # Frequencies of a rotation are a variable in some models: what the file has of them, their sine, is so already.
        unknown = _unknown(state.solver, equation) & state.present.keys()
        if unknown and holds_one_way(equation.keras, unknown):
            held = dict.fromkeys(unknown, "what the file makes of it is so already")
            _try(state, [equation], partial(_hold, {key: state.present[key]() for key in unknown}), held=held)
    for equation in [failure.equation for failure in state.failed]:
        _give_back(state, equation, equations)
    for equation in [failure.equation for failure in state.failed]:
        if any(failure.equation is equation for failure in state.failed):
            _fit(state, equation, equations)


def _fit(state: State, equation: Equation, equations: Sequence[Equation]) -> None:
    """Few numbers that all enter one equation are found together; what was found beside them follows anew."""
    mine = keys(equation.keras) - state.given
    touched = sorted((one for one in equations if mine & keys(one.keras)), key=lambda one: len(keys(one.keras)))
    own = {id(one) for one in touched}
    told = frozenset[Key]().union(*(keys(one.keras) for one in equations if id(one) not in own))
    free = frozenset[Key]().union(*(keys(one.keras) for one in touched)) - told - state.given - state.kept.keys()
    for found in fits(state, equation, equations) if mine <= free else ():
        if _try(state, touched, partial(_take, free, found), recipes=dict.fromkeys(mine, recipe(equation.file))):
            return


def _give_back(state: State, equation: Equation, equations: Sequence[Equation]) -> None:
    """What the model's code normalises is taken for normalised already; what else there is follows from it.

    What a walk that failed has told, and what was made neutral meanwhile, is open again.
    """
    mine = keys(equation.keras) - state.given
    others = [one for one in equations if one is not equation and mine & keys(one.keras)]
    told = frozenset[Key]().union(*(keys(one.keras) for one in others)) - state.solver.neutral
    unknown = frozenset(key for key in mine if state.solver.is_unknown(key) or key not in told | state.kept.keys())
    if not unknown or equation.file.shape != equation.keras.shape:
        return
    open_ = state.solver.copy()
    _forget(unknown, open_)
    part, target = open_.innermost(equation.keras, np.asarray(evaluate(equation.file, state.env)))
    held = {id(one) for one in others} - {id(failure.equation) for failure in state.failed}
    checked = [equation, *(one for one in others if id(one) in held)]
    for found in candidates(part, target, open_, unknown):
        recipes = dict.fromkeys(unknown, recipe(equation.file))
        if _try(state, checked, partial(_take, unknown, found), recipes=recipes):
            return


def _forget(unknown: Collection[Key], solver: Solver) -> None:
    for key in unknown:
        solver.known.pop(key, None)
    solver.neutral -= set(unknown)
    solver.partial -= set(unknown)


def _take(unknown: Collection[Key], found: Mapping[Key, Array], solver: Solver) -> None:
    _forget(unknown, solver)
    solver.known.update(found)


def _open(state: State) -> list[Equation]:
    """Equations with such a product that do not hold yet."""
    failed = [failure.equation for failure in state.failed]
    return [one for one in failed if holds_product(one.keras, _unknown(state.solver, one))]


def _unknown(solver: Solver, equation: Equation) -> frozenset[Key]:
    return frozenset(key for key in keys(equation.keras) if solver.is_unknown(key))


def _try(
    state: State,
    equations: Sequence[Equation],
    change: Callable[[Solver], None],
    *,
    held: Mapping[Key, str] | None = None,
    recipes: Mapping[Key, str] | None = None,
) -> bool:
    """Goes on from a change if the equations then hold, and settles what else failed before; whether they do."""
    tried = state.copied()
    try:
        change(tried.solver)
    except Unsolvable:
        return False
    tried.held.update(held or {})
    tried.recipes.update(recipes or {})
    is_right = all(tried.settle(equation) for equation in equations)
    if is_right:
        tried.failed = [failure for failure in state.failed if failure.equation not in equations]
        state.take(tried)
        state.settle_again([failure.equation for failure in state.failed])
    return is_right


def _hold(present: Mapping[Key, Array], solver: Solver) -> None:
    solver.known.update(present)


def _split(equation: Equation, state: State, solver: Solver) -> None:
    """Two factors of a product, where fewer numbers lie between them than rows or columns: any pair of them will do."""
    part, target = solver.innermost(equation.keras, np.asarray(evaluate(equation.file, state.env)))
    if not isinstance(part, Apply) or part.function.name != "PRODUCT" or target.ndim != 2:
        raise Unsolvable("no product of two unknowns")
    left, sizes, right = np.linalg.svd(np.asarray(target, np.float64), full_matrices=False)
    between = part.args[1].shape[0]
    if between > len(sizes):
        raise Unsolvable("more numbers between two factors than the product has")
    roots = np.sqrt(sizes[:between])
    solver.solve(part.args[0], left[:, :between] * roots)
    solver.solve(part.args[1], roots[:, None] * right[:between])


def _factors(state: State) -> list[_Factor]:
    """First factors that are unknown, with all products whose kernel is known; tables by themselves among them."""
    found: dict[int, _Factor] = {}
    for equation in [failure.equation for failure in state.failed]:
        file, keras, unknown = equation.file, equation.keras, _unknown(state.solver, equation)
        if file.shape != keras.shape or not (holds_one_way(keras, unknown) or holds_product(keras, unknown)):
            continue
        part, target = state.solver.innermost(keras, np.asarray(evaluate(file, state.env)))
        if not isinstance(part, Apply) or part.function.name != "PRODUCT":
            factor = found.setdefault(id(part), _Factor(part))
            factor.rows.append(target)
        elif keys(part.args[1]) & unknown or len(part.args[1].shape) != 2:
            continue
        else:
            x, kernel = part.args
            factor = found.setdefault(id(x), _Factor(x))
            factor.kernels.append(np.asarray(evaluate(kernel, state.solver.known), np.float64))
            factor.products.append(np.asarray(target, np.float64).reshape(-1, target.shape[-1]))
        factor.equations.append(equation)
    return list(found.values())


def _wanted(factor: _Factor) -> Array:
    """By all products together: one kernel alone may hardly let through what another does."""
    if factor.rows:
        return factor.rows[0]
    kernel, product = (np.concatenate(parts, axis=-1) for parts in (factor.kernels, factor.products))
    return np.asarray(np.linalg.lstsq(kernel.T, product.T, rcond=None)[0].T.reshape(factor.weight.shape))


def _solve(factor: _Factor, solver: Solver) -> None:
    weight, wanted = factor.weight, _wanted(factor)
    while isinstance(weight, Apply) and is_moving(weight):
        wanted, weight = solver.operand(weight, 0, wanted), weight.args[0]
    unknown = {key for key in keys(weight) if solver.is_unknown(key)}
    found = unnormalized(weight, wanted, unknown, {**solver.known})
    if found is None:
        solver.solve(weight, wanted)
    else:
        solver.known.update(found)
