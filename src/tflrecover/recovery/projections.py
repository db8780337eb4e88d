"""What attention makes of its inputs: a dense layer whose units are taken apart into heads.

Every matrix of a product of heads is a part of a dense layer's results: some of its rows, which are steps, times some
of its units, which are a head. Which ones is looked at number by number (:mod:`tflrecover.recovery.moves`).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np

from tflrecover.ir import Shape
from tflrecover.recovery.match import factor
from tflrecover.recovery.moves import moved
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.match import array, maker
from tflrecover.weight import Array


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """``heads of (x · kernel + bias) · scale``, as a stack of matrices.

    Attributes:
        x: What is projected.
        lead: Its axes before the features.
        kernel: With the axes features, heads, size.
        bias: With the axes heads, size.
        head: Of each matrix, which head it is.
        rows: Of each matrix and each of its steps, which row of x that is.
        scale: What it is multiplied by behind.
    """

    x: int
    lead: Shape
    kernel: Array
    bias: Array
    head: Array
    rows: Array
    scale: float = 1.0

    @property
    def size(self) -> int:
        """Of one head."""
        return int(self.kernel.shape[2])

    def scaled(self, number: float) -> Projection:
        """With a factor in its weights."""
        whole = np.float32(number)
        return replace(self, kernel=self.kernel * whole, bias=self.bias * whole, scale=1.0)

    def stacked(self, order: Array) -> Projection:
        """With its matrices in another order."""
        return replace(self, head=self.head[order], rows=self.rows[order])

    def axes(self) -> tuple[int, ...] | None:
        """The fewest axes of x that the steps of a matrix are; None where they are none."""
        behind = range(1, len(self.lead))
        choices = (axes for count in behind for axes in itertools.combinations(behind, count))
        return next((axes for axes in choices if self.examples(axes) is not None), None)

    def examples(self, axes: tuple[int, ...]) -> Array | None:
        """Of each matrix, its place along all other axes, where its steps are these; None where they are not."""
        if len(self.lead) <= max(axes):
            return None
        whole = np.moveaxis(np.arange(math.prod(self.lead)).reshape(self.lead), axes, range(-len(axes), 0))
        rows = whole.reshape(-1, math.prod(self.lead[axis] for axis in axes))
        if rows.shape[1] != self.rows.shape[1]:
            return None
        found = np.searchsorted(rows[:, 0], self.rows[:, 0])
        return found if found.max() < len(rows) and np.array_equal(rows[found], self.rows) else None


def projection(draft: Draft, value: int | None, lead: Shape, *, is_turned: bool) -> Projection | None:
    """What an operand of a product is of a dense layer.

    Args:
        draft: The graph.
        value: The operand.
        lead: Axes of the product before the two of each matrix.
        is_turned: Whether the size of a head is before the steps.
    """
    found = moved(draft, value)
    dense = None if found is None else maker(draft, found.source, "FULLY_CONNECTED")
    if found is None or dense is None or "activation" in dense.attributes:
        return None
    kernel, own = array(draft, dense.inputs[1]), array(draft, dense.inputs[2])
    *axes, units = draft.shape(found.source)
    x, x_lead = _on_rows(draft, dense.inputs[0], tuple(axes))
    if kernel is None or own is None or x is None:
        return None
    index, shift = (None if one is None else _matrices(one, lead, is_turned) for one in (found.index, found.shift))
    assert index is not None
    rows, places = index // units, index % units
    if (rows != rows[..., :1]).any() or (places != places[:, :1]).any():
        return None
    heads, first, head = _numbered(places[:, 0])
    bias = own[heads]
    if shift is not None:
        if (shift != shift[first, :1][head]).any():
            return None
        bias = bias + shift[first, 0]
    return Projection(x, x_lead, kernel[:, heads], bias, head, rows[..., 0], found.scale)


def _matrices(given: Array, lead: Shape, is_turned: bool) -> Array:
    """A stack of matrices of steps and sizes."""
    whole = np.swapaxes(given, -1, -2) if is_turned else given
    return np.broadcast_to(whole, (*lead, *whole.shape[-2:])).reshape(-1, *whole.shape[-2:])


def _numbered(given: Array) -> tuple[Array, Array, Array]:
    """Rows that are different, in order, where each is first, and the number of each row."""
    _, first, inverse = np.unique(given, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return given[first[order]], first[order], np.argsort(order)[inverse.reshape(-1)]


def scaled(draft: Draft, value: int | None) -> tuple[int | None, float]:
    """``(x, number)`` of ``x · number``."""
    inner, number = factor(draft, value)
    return (value, 1.0) if number is None or number.size != 1 else (inner, float(number.reshape(-1)[0]))


def _on_rows(draft: Draft, value: int | None, lead: Shape) -> tuple[int | None, Shape]:
    """What a dense layer works on, before its axes were made rows, and these axes."""
    rows = maker(draft, value, "RESHAPE")
    if rows is not None and len(lead) == 1 and draft.shape(rows.inputs[0])[-1:] == draft.shape(value)[-1:]:
        return rows.inputs[0], draft.shape(rows.inputs[0])[:-1]
    return value, lead
