"""One way to write a square and a reciprocal.

POW(x, 2) = SQUARE(x)      MUL(x, x) = SQUARE(x)      DIV(1, x) = RECIPROCAL(x)
"""

from __future__ import annotations

from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.scalars import scalar


def name_powers(draft: Draft) -> int:
    """Squares and reciprocals get their name, however they were written."""
    count = 0
    for op in draft.of_type("MUL"):
        if op.inputs[0] == op.inputs[1]:
            draft.replace(op.evolve(type="SQUARE", inputs=op.inputs[:1], attributes={}))
            count += 1
    for op in draft.of_type("POW"):
        if _is_number(draft, op.inputs[1], 2.0):
            draft.replace(op.evolve(type="SQUARE", inputs=op.inputs[:1], attributes={}))
            count += 1
    for op in draft.of_type("DIV"):
        if _is_number(draft, op.inputs[0], 1.0):
            draft.replace(op.evolve(type="RECIPROCAL", inputs=op.inputs[1:], attributes={}))
            count += 1
    return count


def _is_number(draft: Draft, value: int | None, number: float) -> bool:
    """Whether a constant operand is that number; it is then explained by the name."""
    weight = draft.weight(value)
    if weight is None or scalar(draft, value, number) != number:
        return False
    draft.mark_structural(weight)
    return True
