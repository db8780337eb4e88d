"""Sequences in a file: time or batch first, forwards or backwards, as the operators around a loop have them."""

from __future__ import annotations

from tflrecover.ir import Op
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.writer import Writer


def swapped(draft: Draft, op: Op | None) -> int | None:
    """The operand of an operator that exchanges the first two axes; None for any other."""
    if op is None or op.inputs[0] is None:
        return None
    before, after = draft.shape(op.inputs[0]), draft.shape(op.outputs[0])
    if op.type == "TRANSPOSE" and op.attributes["perm"] == (1, 0, *range(2, len(before))):
        return op.inputs[0]
    # For a batch of one a converter writes it as a reshape.
    is_reshape = op.type == "RESHAPE" and len(before) > 1 and 1 in before[:2]
    return op.inputs[0] if is_reshape and after == (before[1], before[0], *before[2:]) else None


def batch_first(draft: Draft, write: Writer, value: int) -> int:
    """A sequence whose first axis is time with the batch first."""
    found = swapped(draft, draft.producer(value))
    return swap(draft, write, value) if found is None else found


def swap(draft: Draft, write: Writer, value: int) -> int:
    """The first two axes exchanged."""
    rank = len(draft.shape(value))
    made = write.transposed(value, (1, 0, *range(2, rank)))
    assert made is not None
    return made


def from_the_end(draft: Draft, value: int, axis: int = 0) -> int | None:
    """What a sequence is from its end, where an operator turns its axis of time round; None where none does."""
    op = draft.producer(value)
    if op is not None and op.type == "REVERSE_V2" and tuple(op.attributes["axis"]) == (axis,):
        return op.inputs[0]
    return None
