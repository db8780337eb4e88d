"""What changes nothing, as where code pads up to an even size what is even, or splits off a part that has no numbers.

IDENTITY(x) = PAD(x, 0) = CONCATENATION(x) = x          CONCATENATION(x, empty, y) = CONCATENATION(x, y)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tflrecover.ir import Op
from tflrecover.rewrite.draft import Draft


def drop_identity(draft: Draft) -> int:
    """What changes nothing becomes its operand."""
    count = sum(_without_empty(draft, op) for op in draft.of_type("CONCATENATION"))
    found = [op for op in draft.of_type(*_QUIET) if _QUIET[str(op.type)](op)]
    for op in found:
        value = draft.ops[op.id].inputs[0]
        draft.remove(op.id)
        if value is not None:
            draft.redirect(op.outputs[0], value)
    return len(found) + count


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
