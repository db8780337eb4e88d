"""What rules ask of the operators around a value."""

from __future__ import annotations

from collections.abc import Iterator

from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.match import array
from tflrecover.weight import Array


def pairs(draft: Draft, value: int | None, kind: str) -> Iterator[tuple[int, int]]:
    """The operands of the commutative operator that makes a value, in both orders."""
    op = draft.producer(value)
    if op is None or op.type != kind or len(op.inputs) != 2:
        return
    one, other = op.inputs
    if one is not None and other is not None:
        yield one, other
        yield other, one


def offset(draft: Draft, value: int | None) -> tuple[int | None, Array | None]:
    """``(x, constant)`` of a value that is ``x + constant``; the value itself and None where it is no such sum."""
    op = draft.producer(value)
    if op is not None and op.type == "AFFINE" and op.inputs[1] is None and op.inputs[2] is not None:
        return op.inputs[0], array(draft, op.inputs[2])
    for x, constant in pairs(draft, value, "ADD"):
        if (known := array(draft, constant)) is not None:
            return x, known
    return value, None


def factor(draft: Draft, value: int | None) -> tuple[int | None, Array | None]:
    """``(x, constant)`` of a value that is ``x · constant``; the value itself and None where it is no such product."""
    op = draft.producer(value)
    if op is not None and op.type == "AFFINE" and op.inputs[2] is None and op.inputs[1] is not None:
        return op.inputs[0], array(draft, op.inputs[1])
    for x, constant in pairs(draft, value, "MUL"):
        if (known := array(draft, constant)) is not None:
            return x, known
    return value, None
