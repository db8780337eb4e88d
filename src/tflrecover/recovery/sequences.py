"""Sequences in a file: time or batch first, forwards or backwards, as the operators around a loop have them."""

from __future__ import annotations

from tflrecover import ops
from tflrecover.ir import Op
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.match import maker
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


def lift_turns(draft: Draft) -> int:
    """Batch and time are exchanged where a reshape has exchanged them before, as it may for a batch of one.

    Dense layers and functions of single numbers between the two take the batch first. Who exchanges the same shares it.
    """
    count = 0
    for op in draft.of_type("TRANSPOSE"):
        x, shape = op.inputs[0], draft.shape(op.inputs[0])
        if x is None or swapped(draft, op) is None or 1 not in shape[:2]:
            continue
        for other in {user.id: user for user, _ in draft.consumers(x)}.values():
            if other.id != op.id and other.type == "TRANSPOSE" and other.attributes == op.attributes:
                draft.remove(other.id)
                draft.redirect(other.outputs[0], op.outputs[0])
        count += _lifted(draft, op)
    return count


def _lifted(draft: Draft, op: Op) -> bool:
    between: list[Op] = []
    made = draft.producer(op.inputs[0])
    while made is not None and _is_by_rows(made) and draft.only_consumer(made.outputs[0]) is not None:
        between.append(made)
        made = draft.producer(made.inputs[0])
    if made is None or maker(draft, made.outputs[0], "RESHAPE") is None:
        return False
    first, second, *rest = draft.shape(made.outputs[0])
    x = Writer(draft, op).reshaped(made.inputs[0], (second, first, *rest))
    for inner in reversed(between):
        first, second, *rest = draft.shape(inner.outputs[0])
        known = draft.values[inner.outputs[0]]
        turned = draft.new_value((second, first, *rest), known.dtype, known.name)
        draft.replace(inner.evolve(inputs=(x, *inner.inputs[1:]), outputs=(turned,)))
        x = turned
    assert x is not None
    draft.remove(op.id)
    draft.redirect(op.outputs[0], x)
    return True


def _is_by_rows(op: Op) -> bool:
    """Whether it does the same with every row, in whatever order they are."""
    spec = ops.by_name(op.type)
    return op.type == "FULLY_CONNECTED" or (spec is not None and spec.is_of_single_numbers)
