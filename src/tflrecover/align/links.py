"""Scaled edges: between one place and the next the file computes ``x · s₁ + o₁``, the model ``x · s₂ + o₂``.

Two networks are the same when on every edge both scalings are equal, up to what the linear operator behind the edge has
taken into its weights. Which of them a converter leaves where, and which it merges, then does not matter.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from tflrecover.align.view import Edge, View
from tflrecover.rewrite.forward import fits, is_padded, scaling

OpId = int | str


@dataclass(frozen=True, slots=True)
class Link:
    """One edge of both graphs.

    Attributes:
        file: AFFINE operators of the file on it, in order.
        keras: AFFINE operators of the model on it.
        source: Keras node that it comes from, negative for an input or a constant.
        target: The operators that take it, ``(file, Keras)``; None: it is an output of the graph.
        is_linear: Whether what takes it is one linear operator that could have such scalings in its weights.
        is_padded: Whether an offset cannot be in there, because zeros lie at the border.
        is_free: Whether the operator can take these scalings in, on both sides.
        place: Node of the file that takes it, the largest number for an output.
    """

    file: tuple[OpId, ...]
    keras: tuple[OpId, ...]
    source: int
    target: tuple[OpId, OpId] | None = None
    is_linear: bool = False
    is_padded: bool = False
    is_free: bool = False
    place: int = sys.maxsize

    @property
    def is_scaled(self) -> bool:
        """Whether there is anything on it."""
        return bool(self.file or self.keras)

    @property
    def is_odd(self) -> bool:
        """Whether one side alone scales, and no weights behind could hold that."""
        return self.is_scaled and (not self.keras or (not self.file and not self.is_free))


def link(file: View, keras: View, mine: Edge, theirs: Edge, nodes: tuple[int, int] | None) -> Link:
    """The link of an edge of the file and one of Keras, into a pair of nodes or an output."""
    if nodes is None:
        return Link(mine.through, theirs.through, theirs.source)
    f, k = nodes
    pairs = scaling(file.graph, mine.through), scaling(keras.graph, theirs.through)
    ops = file.ops[f], keras.ops[k]
    is_linear = (
        ops[0].type == ops[1].type
        and len(file.operands[f]) == 1
        and fits(file.graph.values, ops[0], pairs[0])
        and fits(keras.graph.values, ops[1], pairs[1])
    )
    is_bordered = is_linear and (is_padded(file.graph.values, ops[0]) or is_padded(keras.graph.values, ops[1]))
    offsets = [offset is not None for _, offset in pairs]
    is_free = is_linear and (not any(offsets) or all(offsets) or not is_bordered)
    target = ops[0].id, ops[1].id
    return Link(mine.through, theirs.through, theirs.source, target, is_linear, is_bordered, is_free, f)
