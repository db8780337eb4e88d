"""What changes nothing, as where code pads up to an even size what is even, or splits off a part that has no numbers.

IDENTITY(x) = PAD(x, 0) = CONCATENATION(x) = x          CONCATENATION(x, empty, y) = CONCATENATION(x, y)
IDENTITY(MINIMUM(x, m)) = x    where it is a cast and m the largest number of its type, as ``saturate_cast`` clamps
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tflrecover.ir import Op
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.scalars import scalar

# Of the types that mixed precision casts to.
_LARGEST = {"float16": 65504.0, "bfloat16": (2 - 2**-7) * 2.0**127}
_CLAMPS = {"MINIMUM": 1.0, "MAXIMUM": -1.0}


def drop_identity(draft: Draft) -> int:
    """What changes nothing becomes its operand."""
    count = sum(_without_empty(draft, op) for op in draft.of_type("CONCATENATION"))
    found = [op for op in draft.of_type(*_QUIET) if _QUIET[str(op.type)](op)]
    for op in found:
        value = _not_saturated(draft, draft.ops[op.id])
        draft.remove(op.id)
        if value is not None:
            draft.redirect(op.outputs[0], value)
    return len(found) + count


def _not_saturated(draft: Draft, op: Op) -> int | None:
    """The operand; of a cast, what was clamped to the numbers that its type has."""
    value = op.inputs[0]
    largest = _LARGEST.get(str(draft.values[op.outputs[0]].dtype))
    while largest is not None and (clamp := draft.producer(value)) is not None and clamp.type in _CLAMPS:
        a, b = clamp.inputs[:2]
        wanted = _CLAMPS[str(clamp.type)] * largest
        if scalar(draft, b, 0.0) == wanted:
            value = a
        elif scalar(draft, a, 0.0) == wanted:
            value = b
        else:
            break
    return value


def _without_empty(draft: Draft, op: Op) -> bool:
    inputs = tuple(value for value in op.inputs if 0 not in draft.shape(value))
    if not inputs or inputs == op.inputs:
        return False
    draft.replace(op.evolve(inputs=inputs))
    return True


def _is_empty(op: Op) -> bool:
    """Whether a PAD adds nothing."""
    return not any(map(any, op.attributes["padding"]))


_QUIET: Mapping[str, Callable[[Op], bool]] = {
    "IDENTITY": lambda op: True,
    "PAD": _is_empty,
    "MIRROR_PAD": _is_empty,
    "CONCATENATION": lambda op: len(op.inputs) == 1,
}
"""Type to whether an operator of it changes nothing."""
