"""Truth values, in the fewest operators: TensorFlow's own passes write them so before a converter sees them.

EQUAL(CAST(b), 0) = NOT_EQUAL(CAST(b), 1) = LOGICAL_NOT(b)      NOT_EQUAL(CAST(b), 0) = EQUAL(CAST(b), 1) = b
LOGICAL_NOT(EQUAL(x, y)) = NOT_EQUAL(x, y), and so on           LOGICAL_NOT(LOGICAL_NOT(b)) = b
SELECT_V2(LOGICAL_AND(b, True), x, y) = SELECT_V2(b, x, y)      where x has the axes that are gone
"""

from __future__ import annotations

import numpy as np

from tflrecover.ir import Op
from tflrecover.rewrite.draft import Draft, merged_origins
from tflrecover.rewrite.match import array, maker
from tflrecover.rewrite.scalars import scalar
from tflrecover.rewrite.writer import Writer

_OPPOSITES = {
    "EQUAL": "NOT_EQUAL",
    "NOT_EQUAL": "EQUAL",
    "GREATER": "LESS_EQUAL",
    "GREATER_EQUAL": "LESS",
    "LESS": "GREATER_EQUAL",
    "LESS_EQUAL": "GREATER",
}


def plain_logic(draft: Draft) -> int:
    """Comparisons of truth values with numbers, what is negated, and conditions become what they say."""
    count = 0
    for op_id in [op.id for op in draft.ordered(*_RULES)]:
        while (op := draft.ops.get(op_id)) is not None and op_id not in draft.opaque and op.type in _RULES:
            if not _RULES[str(op.type)](draft, op):
                break
            count += 1
    return count


def _comparison(draft: Draft, op: Op) -> bool:
    """Of a truth value that was made a number, with one of the two numbers that it can be."""
    slot = next((i for i, value in enumerate(op.inputs) if draft.weight(value) is not None), 0)
    number, cast = scalar(draft, op.inputs[slot], 0.5), draft.producer(op.inputs[1 - slot])
    if number not in (0.0, 1.0) or cast is None or cast.type != "CAST":
        return False
    truth = cast.inputs[0]
    if truth is None or draft.values[truth].dtype != "bool" or draft.shape(truth) != draft.shape(op.outputs[0]):
        return False
    if (op.type == "EQUAL") == bool(number):
        draft.remove(op.id)
        draft.redirect(op.outputs[0], truth)
    else:
        draft.replace(op.evolve(type="LOGICAL_NOT", inputs=(truth,), origins=merged_origins(cast, op)))
    return True


def _negation(draft: Draft, op: Op) -> bool:
    negated = draft.producer(op.inputs[0])
    if negated is None or negated.id in draft.opaque:
        return False
    if negated.type == "LOGICAL_NOT" and negated.inputs[0] is not None:
        draft.remove(op.id)
        draft.redirect(op.outputs[0], negated.inputs[0])
        return True
    opposite = _OPPOSITES.get(str(negated.type))
    if opposite is None:
        return False
    origins = merged_origins(negated, op)
    draft.replace(op.evolve(type=opposite, inputs=negated.inputs, attributes=negated.attributes, origins=origins))
    return True


def _choice(draft: Draft, op: Op) -> bool:
    condition = _lean(draft, op, op.inputs[0])
    inputs = (condition, *op.inputs[1:])
    is_as_wide = np.broadcast_shapes(*map(draft.shape, inputs)) == draft.shape(op.outputs[0])
    if condition == op.inputs[0] or not is_as_wide:
        return False
    draft.replace(op.evolve(inputs=inputs))
    return True


def _lean(draft: Draft, op: Op, value: int | None) -> int | None:
    """A condition without what is always true in it, which only makes it wider."""
    both = maker(draft, value, "LOGICAL_AND")
    if both is None:
        return value
    known = [array(draft, operand) for operand in both.inputs]
    kept = [v for v, one in zip(both.inputs, known, strict=True) if one is None or not one.all()]
    if len(kept) == 1:
        return _lean(draft, op, kept[0])
    inner = tuple(_lean(draft, op, operand) for operand in both.inputs)
    return value if inner == both.inputs else Writer(draft, op).add("LOGICAL_AND", inner)


# A comparison may become a negation, which may go, too.
_RULES = {"EQUAL": _comparison, "NOT_EQUAL": _comparison, "LOGICAL_NOT": _negation, "SELECT_V2": _choice}
