"""Few numbers that enter every equation together: weights of branches that add up to one, as a softmax makes them.

No walk finds them, for each equation has all of them and tells one result. They are found by Newton's method, the
nearest to what the model has where the equations leave a choice, and count only if every equation then holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from tflrecover.transfer.equations import Equation
from tflrecover.transfer.state import State
from tflrecover.weight import Array, Key, Leaf, evaluate, keys

# So few numbers, and so many that are told by them.
_MOST, _MOST_TOLD = 64, 4096
_ROUNDS, _HALVINGS = 40, 12
_STEP, _CLOSE = 1e-6, 1e-9


def fits(state: State, equation: Equation, equations: Sequence[Equation]) -> Iterator[dict[Key, Array]]:
    """Values of the variables of an equation that has but few numbers, with which it and all like it hold.

    Args:
        state: What is known.
        equation: One that does not hold.
        equations: All of them.
    """
    leaves = _few(state, equation)
    if leaves is None:
        return
    pure = [one for one in equations if keys(one.keras) and keys(one.keras) - state.given <= leaves.keys()]
    pairs = [(one.keras, np.asarray(evaluate(one.file, state.env), np.float64)) for one in pure]
    pairs = [(weight, target.reshape(weight.shape)) for weight, target in pairs if target.size == np.prod(weight.shape)]
    if len(pairs) < len(pure) or sum(target.size for _, target in pairs) > _MOST_TOLD:
        return
    size = max(float(np.abs(target).max(initial=0)) for _, target in pairs) or 1.0

    def error(values: Array) -> Array:
        env = {**state.solver.known, **_by_key(leaves, values)}
        return np.concatenate([np.ravel(evaluate(weight, env) - target) for weight, target in pairs]) / size

    present = np.concatenate([np.ravel(state.present[key]()).astype(np.float64) for key in leaves])
    # What a ReLU has cut away has no slope to go along.
    for start in (present, np.abs(present) + _STEP, np.ones_like(present)):
        values = _newton(error, start)
        if values is not None:
            yield {key: value.astype("float32") for key, value in _by_key(leaves, values).items()}


def _few(state: State, equation: Equation) -> dict[Key, Leaf] | None:
    """The variables of an equation, where all of them are to be found and have few numbers together."""
    mine = [leaf for leaf in equation.keras.leaves if leaf.key not in state.given]
    is_free = all(leaf.key in state.present and leaf.key not in state.kept for leaf in mine)
    is_real = all("float" in str(leaf.dtype) for leaf in mine)
    count = sum(int(np.prod(leaf.shape)) for leaf in mine)
    return {leaf.key: leaf for leaf in mine} if mine and is_free and is_real and count <= _MOST else None


def _by_key(leaves: Mapping[Key, Leaf], values: Array) -> dict[Key, Array]:
    ends = np.cumsum([int(np.prod(leaf.shape)) for leaf in leaves.values()])
    parts = np.split(values, ends[:-1])
    return {key: part.reshape(leaf.shape) for (key, leaf), part in zip(leaves.items(), parts, strict=True)}


def _newton(error: Callable[[Array], Array], start: Array) -> Array | None:
    """Where the errors vanish, by the shortest steps; None where they do not."""
    values, off = start, error(start)
    with np.errstate(all="ignore"):
        for _ in range(_ROUNDS):
            if not np.isfinite(off).all():
                return None
            if np.abs(off).max() <= _CLOSE:
                return values
            slope = np.stack([error(values + _STEP * unit) - off for unit in np.eye(values.size)], axis=-1) / _STEP
            if not np.isfinite(slope).all():
                return None
            step = np.linalg.lstsq(slope, -off, rcond=_STEP)[0]
            for _ in range(_HALVINGS):
                tried = error(values + step)
                if np.linalg.norm(tried) < np.linalg.norm(off):
                    break
                step = step / 2
            else:
                return None
            values, off = values + step, tried
    return None
