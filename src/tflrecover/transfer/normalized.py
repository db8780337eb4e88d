"""A weight that the model's code normalises: standardised kernels, weight norm, unit vectors.

Of all weights that become the same, the file has what they become; and that, normalised again, stays what it is. So it
is one of them, but for the epsilon of a variance, which asks for another scale per filter.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from tflrecover.transfer.solve import Solver
from tflrecover.weight import Array, Key, Leaf, Weight, evaluate

# Scales lie between two powers of two, which halving an interval in logarithms finds to float32's digits.
_WIDEST, _HALVINGS = 24.0, 40


def candidates(weight: Weight, target: Array, solver: Solver, unknown: Collection[Key]) -> Iterator[dict[Key, Array]]:
    """Variables that may be what they become, each alone: as it is, and in another scale per last or first axis.

    Args:
        weight: What the variables become.
        target: What the file has.
        solver: What is known of other variables.
        unknown: What is not known.
    """
    leaves = {leaf.key: leaf for leaf in weight.leaves if leaf.key in unknown and leaf.shape == weight.shape}
    for leaf in leaves.values():
        yield {leaf.key: target.astype("float32")}
        if unknown == {leaf.key} and target.ndim > 1:
            for axis in (target.ndim - 1, 0):
                yield {leaf.key: _scaled(weight, leaf, target.astype(np.float64), solver, axis)}


def _scaled(weight: Weight, leaf: Leaf, target: Array, solver: Solver, axis: int) -> Array:
    """The target in the scale, one per place along an axis, in which it becomes itself."""
    rest = tuple(i for i in range(target.ndim) if i != axis)
    square = (target * target).sum(axis=rest, keepdims=True)
    low = np.full(square.shape, -_WIDEST)
    high = -low
    with np.errstate(all="ignore"):
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            made = evaluate(weight, {**solver.known, leaf.key: target * 2.0**middle})
            is_small = (made * target).sum(axis=rest, keepdims=True) < square
            low, high = np.where(is_small, middle, low), np.where(is_small, high, middle)
    return np.asarray(target * 2.0**low).astype("float32")
