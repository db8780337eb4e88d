"""What one call leaves for the next: ``x = STATE(initial)``, and ``NEXT_STATE(x, y)`` says what it becomes.

The library's own; both dialects have variables with operators that read and assign them
(:mod:`tflrecover.rewrite.variables`).
"""

from __future__ import annotations

from collections.abc import Sequence

from tflrecover.ir import Shape
from tflrecover.ops.spec import Attributes, OpSpec


def _nothing(attributes: Attributes, shapes: Sequence[Shape]) -> Attributes:
    """The variable's name tells states apart, and computes nothing."""
    return {}


STATE = OpSpec("STATE", roles=("initial",), weights=frozenset({"initial"}), lower=_nothing)
NEXT_STATE = OpSpec("NEXT_STATE", roles=("state", "next"), lower=_nothing)

SPECS = (STATE, NEXT_STATE)
