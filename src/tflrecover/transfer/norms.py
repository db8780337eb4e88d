"""A table whose layer norm, or root mean square norm, is known.

``n(e) * gamma + beta`` with ``n(e) = (e - mean) / sqrt(variance + epsilon)`` has more unknowns than it tells, but not
every table is one: a row of ``n(e)`` adds up to nothing, so all rows of the result have one linear relation,
``Σ (p - beta) / gamma = 0``. Any gamma and beta that have it will do, and ``e`` follows of them, as long as gamma is
large enough: because of epsilon a row of ``n(e)`` may be as short as you like, but not as long as ``sqrt(n)``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from tflrecover import tolerances
from tflrecover.weight import Array, Key, Leaf, Weight, evaluate

# Of the longest row of the norm, relative to what it can be: then epsilon and the variance are of one size.
_LONGEST = 0.5


@dataclass(frozen=True, slots=True)
class _Norm:
    """A norm of rows as an expression has it.

    Attributes:
        table: What is normalized.
        gamma: Factor per column, or None.
        beta: Offset per column, or None.
        epsilon: Beside the mean of the squares.
        is_centered: Whether the mean is subtracted, as in a layer norm.
    """

    table: Leaf
    gamma: Leaf | None
    beta: Leaf | None
    epsilon: float
    is_centered: bool

    def computed(self, rows: Array, gamma: Array, beta: Array) -> Array:
        """What the norm makes of rows."""
        x = rows - rows.mean(-1, keepdims=True) if self.is_centered else rows
        scaled = x / np.sqrt(np.square(x).mean(-1, keepdims=True) + self.epsilon)
        scaled = scaled if self.gamma is None else scaled * gamma
        return np.asarray(scaled if self.beta is None else scaled + beta)


def unnormalized(
    weight: Weight, target: Array, unknown: Collection[Key], known: Mapping[Key, Array] = MappingProxyType({})
) -> dict[Key, Array] | None:
    """Values of a table, of gamma and of beta.

    Args:
        weight: An expression.
        target: What it must be.
        unknown: Variables that may be chosen.
        known: All others: where the same norm is used elsewhere, its gamma and beta.

    Returns:
        By key; None where the expression is no norm of a table, or no table gives the target.
    """
    norm = _read(weight, unknown)
    if norm is None:
        return None
    rows = np.asarray(target, np.float64).reshape(-1, target.shape[-1])
    if all(leaf is None or leaf.key in known for leaf in (norm.gamma, norm.beta)):
        return _plain(norm, rows, known)
    if any(leaf is not None and leaf.key not in unknown for leaf in (norm.gamma, norm.beta)):
        return None
    offset = rows.mean(axis=0) if norm.beta is not None else np.zeros(rows.shape[-1])
    factor = _relation(rows - offset) if norm.is_centered else np.ones(rows.shape[-1])
    if factor is None or (norm.gamma is None and np.ptp(factor) > tolerances.WEIGHT * np.abs(factor).max()):
        return None
    scaled = (rows - offset) * (factor if norm.gamma is not None else 1.0)
    longest = np.square(scaled).mean(-1).max()
    shrink = np.sqrt(longest / _LONGEST) if norm.gamma is not None and longest else 1.0
    scaled = scaled / shrink
    lengths = np.square(scaled).mean(-1, keepdims=True)
    if (lengths >= 1).any():
        return None
    found: dict[Key, Array] = {norm.table.key: _fit(norm.table, scaled * np.sqrt(norm.epsilon / (1 - lengths)))}
    if norm.gamma is not None:
        found[norm.gamma.key] = _fit(norm.gamma, shrink / factor)
    if norm.beta is not None:
        found[norm.beta.key] = _fit(norm.beta, offset)
    return found


def _plain(norm: _Norm, rows: Array, known: Mapping[Key, Array]) -> dict[Key, Array] | None:
    """The table where nothing else is unknown; how long its rows are, hardly anything tells."""
    scaled = rows if norm.beta is None else rows - known[norm.beta.key]
    scaled = scaled if norm.gamma is None else scaled / known[norm.gamma.key]
    lengths = np.square(scaled).mean(-1, keepdims=True)
    if not np.isfinite(lengths).all() or (lengths > 1 + tolerances.WEIGHT).any():
        return None
    room = np.maximum(1 - lengths, np.finfo(np.float32).eps)
    return {norm.table.key: _fit(norm.table, scaled * np.sqrt(norm.epsilon / room))}


def _relation(rows: Array) -> Array | None:
    """Numbers other than zero by which the columns of every row add up to nothing; None where there are none."""
    _, sizes, turned = np.linalg.svd(rows, full_matrices=True)
    rank = int((sizes > tolerances.WEIGHT * sizes.max(initial=0.0)).sum())
    free = turned[rank:]
    # Of all of them the nearest to those of a norm without gamma.
    found = np.asarray(free.T @ free.sum(axis=1))
    is_zero = np.abs(found) <= tolerances.WEIGHT * np.abs(found).max(initial=0.0)
    return None if not len(free) or is_zero.any() else found


def _fit(leaf: Leaf, value: Array) -> Array:
    return np.asarray(value.reshape(leaf.shape), str(leaf.dtype))


def _read(weight: Weight, unknown: Collection[Key]) -> _Norm | None:
    """The norm that an expression is, told by what it computes, however it is written."""
    if not weight.shape or not all("float" in str(leaf.dtype) for leaf in weight.leaves):
        return None
    columns = weight.shape[-1]
    size = int(np.prod(weight.shape))
    vectors = [leaf for leaf in weight.leaves if leaf.shape == (columns,)]
    tables = [leaf for leaf in weight.leaves if leaf not in vectors and np.prod(leaf.shape) == size]
    if len(tables) != 1 or len(vectors) + 1 != len(weight.leaves) or tables[0].shape[-1] != columns or columns < 2:
        return None
    (table,) = tables
    if table.key not in unknown:
        return None
    random = np.random.default_rng(0)
    rows, others = random.normal(size=(2, size // columns, columns))

    def made(rows: Array, values: Mapping[Key, float | Array]) -> Array:
        env = {leaf.key: np.broadcast_to(np.float64(values.get(leaf.key, 1.0)), leaf.shape) for leaf in vectors}
        return np.asarray(evaluate(weight, {**env, table.key: rows.reshape(table.shape)})).reshape(rows.shape)

    # Without its factor a norm says nothing of its rows.
    gammas = [leaf for leaf in vectors if np.array_equal(made(rows, {leaf.key: 0.0}), made(others, {leaf.key: 0.0}))]
    betas = [leaf for leaf in vectors if leaf not in gammas]
    if len(gammas) > 1 or len(betas) > 1:
        return None
    gamma, beta = (listed[0] if listed else None for listed in (gammas, betas))
    bare = {leaf.key: 0.0 for leaf in betas}
    is_centered = np.allclose(made(rows + 1.0, bare), made(rows, bare), rtol=tolerances.WEIGHT)
    small = 1e-2 * (rows - rows.mean(-1, keepdims=True))
    before, after = (np.square(x).mean(-1) for x in (small, made(small, bare)))
    with np.errstate(divide="ignore", invalid="ignore"):
        epsilon = float(np.median(before * (1 / after - 1)))
    norm = _Norm(table, gamma, beta, epsilon, is_centered)
    factor, offset = random.uniform(0.5, 2.0, (2, columns))
    given = {leaf.key: factor if leaf in gammas else offset for leaf in vectors}
    is_so = epsilon > 0 and all(
        np.allclose(made(x, given), norm.computed(x, factor, offset), rtol=tolerances.WEIGHT, atol=tolerances.WEIGHT)
        for x in (rows, 1e-3 * rows + 1e-3)
    )
    return norm if is_so else None
