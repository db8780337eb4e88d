"""Channels first at the ends of one network, last at those of the other: they are given one layout.

x = TRANSPOSE(x', p⁻¹) for an input, y' = TRANSPOSE(y, p) for an output.

PyTorch has its channels first, and a converter keeps that at the inputs and outputs of the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tflrecover.ir import Op, Shape
from tflrecover.rewrite.draft import Draft

End = Literal["input", "output"]


@dataclass(frozen=True, slots=True)
class Turned:
    """An end of the first network that the second has with its channels elsewhere.

    Attributes:
        end: Which.
        number: Its position among the inputs or outputs.
        perm: The axes of the first in the order of the second.
        mine: Its shape in the first.
        theirs: Its shape in the second.
    """

    end: End
    number: int
    perm: tuple[int, ...]
    mine: Shape
    theirs: Shape


def turned_ends(end: End, mine: Sequence[Shape], theirs: Sequence[Shape]) -> tuple[Turned, ...]:
    """The ends whose shape the second network has only with channels elsewhere."""
    found = []
    for number, shape in enumerate(mine):
        rest = () if shape in theirs else _channels_moved(len(shape))
        moved = [(perm, tuple(shape[axis] for axis in perm)) for perm in rest]
        fitting = [(perm, other) for perm, other in moved if other in theirs]
        if len(fitting) == 1:
            found.append(Turned(end, number, fitting[0][0], shape, fitting[0][1]))
    return tuple(found)


def _channels_moved(rank: int) -> Iterable[tuple[int, ...]]:
    """Channels from the first axis behind the batch to the last, and back."""
    if rank > 2:
        last = rank - 1
        yield (0, *range(2, rank), 1)
        if rank > 3:
            yield (0, last, *range(1, last))


def turn_ends(draft: Draft, turned: Iterable[Turned]) -> None:
    """Gives the first network the ends of the second; its operators stay."""
    for one in turned:
        ends = list(draft.inputs if one.end == "input" else draft.outputs)
        old = ends[one.number]
        new = draft.new_value(one.theirs, draft.values[old].dtype, draft.values[old].name)
        ends[one.number] = new
        op_id = f"{one.end}{one.number}.turned"
        if one.end == "input":
            back = tuple(int(axis) for axis in np.argsort(one.perm))
            draft.add(Op(op_id, "TRANSPOSE", (new,), (old,), {"perm": back}))
            draft.inputs = tuple(ends)
        else:
            draft.add(Op(op_id, "TRANSPOSE", (old,), (new,), {"perm": one.perm}))
            draft.outputs = tuple(ends)
