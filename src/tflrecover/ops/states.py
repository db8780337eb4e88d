"""What one call leaves for the next: ``x = STATE(initial)``, and ``NEXT_STATE(x, y)`` says what it becomes.

The library's own; both dialects have variables with operators that read and assign them
(:mod:`tflrecover.rewrite.variables`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tflrecover.ir import Shape
from tflrecover.ops.spec import Attributes, Builder, OpSpec, Part


def _nothing(attributes: Attributes, shapes: Sequence[Shape]) -> Attributes:
    """The variable's name tells states apart, and computes nothing."""
    return {}


def _keras(builder: Builder, part: Part) -> Any:
    return builder.state(part.args[0])


def _keras_next(builder: Builder, part: Part) -> Any:
    state, left = part.args
    builder.keep(state, left)
    return state


STATE = OpSpec("STATE", keras=_keras, roles=("initial",), weights=frozenset({"initial"}), lower=_nothing)
NEXT_STATE = OpSpec("NEXT_STATE", keras=_keras_next, roles=("state", "next"), lower=_nothing)

SPECS = (STATE, NEXT_STATE)
