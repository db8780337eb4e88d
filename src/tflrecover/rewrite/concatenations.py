"""Concatenations of concatenations: ``CONCAT(CONCAT(a, b), c) = CONCAT(a, b, c)`` along one axis.

A dense block joins what it has so far again and again. Keras's own joins the last result with what is new, PyTorch's
lists all of it.
"""

from __future__ import annotations

from collections.abc import Hashable

from tflrecover.ir import Op
from tflrecover.rewrite.draft import Draft, merged_origins

_JOIN = "CONCATENATION"


def flatten_concatenations(draft: Draft) -> int:
    """What is joined again is joined once, in order; a concatenation that others take stays for them."""
    count = 0
    for op_id in [op.id for op in draft.ordered(_JOIN) if op.id not in draft.opaque]:
        op, inputs, origins = draft.ops[op_id], list[int | None](), [draft.ops[op_id]]
        for value in op.inputs:
            inner = draft.producer(value)
            is_nested = inner is not None and inner.type == _JOIN and inner.id not in draft.opaque
            if inner is not None and is_nested and _axis(draft, inner) == _axis(draft, op):
                inputs += inner.inputs
                origins.append(inner)
            else:
                inputs.append(value)
        if len(origins) > 1:
            draft.replace(op.evolve(inputs=tuple(inputs), origins=merged_origins(*origins)))
            count += 1
    return count


def nest_concatenations(draft: Draft) -> int:
    """A concatenation that begins with all that another one joins takes that one's result."""
    count = 0
    known: dict[Hashable, int] = {}
    for op_id in [op.id for op in draft.ordered(_JOIN) if op.id not in draft.opaque]:
        op = draft.ops[op_id]
        axis = _axis(draft, op)
        for length in range(len(op.inputs) - 1, 1, -1):
            result = known.get((axis, op.inputs[:length]))
            if result is not None:
                draft.replace(op.evolve(inputs=(result, *op.inputs[length:])))
                count += 1
                break
        known.setdefault((axis, op.inputs), op.outputs[0])
    return count


def _axis(draft: Draft, op: Op) -> int:
    return int(op.attributes["axis"]) % max(len(draft.shape(op.outputs[0])), 1)
