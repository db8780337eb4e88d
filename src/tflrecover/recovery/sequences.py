"""Sequences in a file: time or batch first, forwards or backwards, as the operators around a loop have them."""

from __future__ import annotations

from tflrecover import ops
from tflrecover.ir import Op
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.writer import Writer

_NORMS = ("LAYER_NORMALIZATION", "RMS_NORMALIZATION")


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
    """Batch and time are exchanged where they have been exchanged before, by a reshape as it may be for a batch of one.

    What does the same with every row between the two takes the batch first. Who exchanges the same shares it.
    """
    count = 0
    for back in draft.of_type("RESHAPE"):
        # Of one example nothing moves, so what puts the batch first again may as well take what has it first.
        turned = draft.producer(back.inputs[0])
        x = swapped(draft, turned) if turned is not None and turned.type == "TRANSPOSE" else None
        if x is not None and draft.shape(x)[0] == 1 == draft.shape(back.outputs[0])[0]:
            draft.replace(back.evolve(inputs=(x,)))
            count += 1
    for op_id in [op.id for op in draft.of_type("TRANSPOSE")]:
        op = draft.ops.get(op_id)
        x = None if op is None else op.inputs[0]
        if op is None or x is None or swapped(draft, op) is None:
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
    while made is not None and _is_by_rows(draft, made) and draft.only_consumer(made.outputs[0]) is not None:
        between.append(made)
        made = draft.producer(made.inputs[0])
    before = swapped(draft, made)
    if made is None or (made.type != "RESHAPE" and before is None):
        return False
    first, second, *rest = draft.shape(made.outputs[0])
    if made.type == "RESHAPE" and 1 not in (first, second):
        return False
    x = before if before is not None else Writer(draft, op).reshaped(made.inputs[0], (second, first, *rest))
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


def _is_by_rows(draft: Draft, op: Op) -> bool:
    """Whether it does the same with every row, in whatever order they are along the first two axes."""
    last = len(draft.shape(op.outputs[0])) - 1
    if op.type == "FULLY_CONNECTED" or op.type in _NORMS:
        axes = [last] if op.type not in _NORMS else [axis % (last + 1) for axis in op.attributes["axis"]]
        return axes == [last] and last > 1
    spec = ops.by_name(op.type)
    return spec is not None and spec.is_of_single_numbers
