"""What rules ask of a value: which operator makes it, and what a constant holds."""

from __future__ import annotations

from collections.abc import Iterator

from tflrecover import ops
from tflrecover.ir import Op
from tflrecover.ops.shape import only_moves_units
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.scalars import known_array
from tflrecover.weight import Array


def maker(draft: Draft, value: int | None, *types: str) -> Op | None:
    """The operator that makes a value, if it is of one of those types."""
    op = draft.producer(value)
    return op if op is not None and op.type in types and op.id not in draft.opaque else None


def array(draft: Draft, value: int | None) -> Array | None:
    """Contents of a constant; None for anything else."""
    weight = draft.weight(value)
    return None if weight is None else known_array(draft, weight)


def bare(draft: Draft, value: int | None) -> int | None:
    """What a value is before reshapes that only move axes of size 1."""
    while (op := maker(draft, value, "RESHAPE")) is not None and only_moves_units(
        draft.shape(op.inputs[0]), draft.shape(value)
    ):
        value = op.inputs[0]
    return value


def elementwise(draft: Draft, *before: str) -> Iterator[Op]:
    """Operators that broadcast their operands; each may be replaced, and others put in, meanwhile.

    Args:
        draft: The graph.
        before: Types of the operators of which one must make an operand; any where none are given.
    """
    for op_id in list(draft.ops) if not before or draft.has(*before) else ():
        op = draft.ops[op_id]
        spec = ops.by_name(op.type)
        if spec is not None and spec.is_elementwise and op_id not in draft.opaque:
            yield op
