"""``RELU(RELU(x)) = RELU(x)``, and the like: clamps in a row are the narrower one, and go by its name.

MAXIMUM(x, low) = CLAMP(x, low, ∞)      MINIMUM(x, high) = CLAMP(x, -∞, high)
CLAMP(CLAMP(x, a, b), c, d) = CLAMP(x, max(a, c), min(b, d))      where that is no empty range
"""

from __future__ import annotations

import math

import numpy as np

from tflrecover.ir import Op
from tflrecover.rewrite.draft import Draft, merged_origins
from tflrecover.rewrite.scalars import scalar
from tflrecover.weight import Literal

Range = tuple[float, float]

# Bounds of the activations that only clamp.
RANGES: dict[str | int, Range] = {
    "RELU": (0.0, math.inf),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
    "RELU_0_TO_1": (0.0, 1.0),
}
_NAMES = {bounds: name for name, bounds in RANGES.items()}
_BOUNDS = ("MAXIMUM", "MINIMUM")


def merge_clamps(draft: Draft) -> int:
    """A clamp behind another becomes one when the range of both has a name; a bound of zero has one, too."""
    count = 0
    for op_id in [op.id for op in draft.ordered(*RANGES, *_BOUNDS)]:
        op = draft.ops[op_id]
        found = _range(draft, op)
        if found is None:
            continue
        bounds, x, bound = found
        before = draft.producer(x)
        inner = _range(draft, before)
        if before is not None and inner is not None and (together := _both(inner[0], bounds)) in _NAMES:
            # The first stays when somebody else takes its result too; pruning removes it otherwise.
            _name(draft, op.evolve(origins=merged_origins(op, before)), together, inner[1], (bound, inner[2]))
            count += 1
        elif bounds in _NAMES and op.type not in RANGES:
            _name(draft, op, bounds, x, (bound,))
            count += 1
    return count


def write_clamps(draft: Draft) -> int:
    """Every clamp becomes its bounds, the lower one first: what integers made of a bound has no name."""
    named = draft.ordered(*RANGES)
    for op in named:
        bounds = {kind: b for kind, b in zip(_BOUNDS, RANGES[op.type], strict=True) if math.isfinite(b)}
        _put(draft, op, op.inputs[0], {kind: draft.constant(Literal.of(np.float32(b))) for kind, b in bounds.items()})
    count = len(named)
    for op in draft.ordered("MAXIMUM"):
        low = _range(draft, op)
        before = draft.producer(low[1]) if low is not None else None
        high = _range(draft, before) if before is not None and before.type == "MINIMUM" else None
        if low is not None and high is not None and low[0][0] < high[0][1]:
            _put(draft, op, high[1], {"MAXIMUM": low[2], "MINIMUM": high[2]})
            count += 1
    return count


def _put(draft: Draft, op: Op, x: int | None, bounds: dict[str, int | None]) -> None:
    """Bounds in the place of an operator."""
    draft.remove(op.id)
    for kind, bound in bounds.items():
        is_last = kind == [*bounds][-1]
        made = op.outputs[0] if is_last else draft.new_value(draft.shape(x), draft.values[op.outputs[0]].dtype)
        draft.add(
            op.evolve(
                id=op.id if is_last else f"{op.id}.low", type=kind, inputs=(x, bound), outputs=(made,), attributes={}
            )
        )
        x = made


def _range(draft: Draft, op: Op | None) -> tuple[Range, int | None, int | None] | None:
    """``(range, what is clamped, the constant that says so)``."""
    if op is not None and op.type in RANGES:
        return RANGES[op.type], op.inputs[0], None
    if op is None or op.type not in _BOUNDS:
        return None
    for x, bound in (op.inputs[:2], op.inputs[1::-1]):
        number = scalar(draft, bound, math.nan) if draft.weight(x) is None else None
        if number is not None:
            return ((number, math.inf) if op.type == "MAXIMUM" else (-math.inf, number)), x, bound
    return None


def _both(first: Range, then: Range) -> Range:
    low, high = max(first[0], then[0]), min(first[1], then[1])
    # Ranges that do not meet leave a constant, which no clamp is.
    return (low, high) if low < high else (math.nan, math.nan)


def _name(draft: Draft, op: Op, bounds: Range, x: int | None, constants: tuple[int | None, ...]) -> None:
    for constant in constants:
        weight = draft.weight(constant)
        if weight is not None:
            draft.mark_structural(weight)
    draft.replace(op.evolve(type=_NAMES[bounds], inputs=(x,), attributes={}))
