"""Masks of attention, in the forms in which files write them.

SELECT(mask, scores, -1e9)                  Keras; behind the softmax, SELECT(mask, weights, 0)
scores + constant                           0 where a score counts, -1e9 where it does not
scores + (CAST(mask) · 1e9 - 1e9)           tf_keras
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tflrecover.ir import Op, Shape
from tflrecover.recovery.match import offset, pairs
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.match import array, maker
from tflrecover.rewrite.writer import Writer
from tflrecover.weight import Array, Literal

# A score that is lower than all others by this counts for nothing: its exponential is zero.
_MASKED = -1e4
# Added to a score in float32, this leaves nothing of it: in a row without any key, all keys are the same.
_LOST = -1e9


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """Where a score counts.

    Attributes:
        value: Booleans: a value of the draft, or an array where they are known.
        is_turned: Whether it counts where that is False.
    """

    value: int | Array
    is_turned: bool = False

    def is_same(self, other: Condition | None) -> bool:
        """Whether both are one."""
        if other is None or self.is_turned != other.is_turned or type(self.value) is not type(other.value):
            return False
        return bool(np.array_equal(self.value, other.value))


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """Which keys a query sees, as the call of a layer has it.

    Attributes:
        seen: Booleans that broadcast to the scores; None where all are True.
        is_causal: Whether, besides, no query sees keys behind its own place.
    """

    seen: Condition | None = None
    is_causal: bool = False

    @property
    def leaves_some(self) -> bool:
        """Whether every query is known to see a key."""
        if self.seen is None:
            return True
        known = self.seen.value
        # Beside a causal mask, no key but the first is there for every query.
        return not isinstance(known, int) and bool((known[..., :1] if self.is_causal else known).any(axis=-1).all())

    def operand(self, draft: Draft, op: Op) -> int | None:
        """The booleans as an operand of an operator."""
        if self.seen is None:
            return None
        value = self.seen.value
        if not isinstance(value, int):
            return draft.constant(Literal.of(value))
        return Writer(draft, op).add("LOGICAL_NOT", (value,)) if self.seen.is_turned else value


def taken_off(draft: Draft, value: int | None) -> tuple[int | None, Condition | None]:
    """``(scores, mask)`` of masked scores; the value itself and None where there is no mask."""
    for condition, x, other in _selected(draft, value):
        fill = array(draft, other)
        if fill is not None and fill.size == 1 and fill.item() <= _MASKED:
            return x, condition
    x, added = offset(draft, value)
    if added is not None and added.min() <= _MASKED and np.isin(added, [0, added.min()]).all():
        is_seen = added == 0
        if added.min() <= _LOST or is_seen.any(axis=-1).all():
            return x, Condition(is_seen)
    for x, added_value in pairs(draft, value, "ADD"):
        if (seen := _of_booleans(draft, added_value)) is not None:
            return x, Condition(seen)
    return value, None


def zeros_taken_off(draft: Draft, value: int | None) -> tuple[int | None, Condition | None]:
    """``(weights, mask)`` of weights that are zero where the mask is False."""
    for condition, x, other in _selected(draft, value):
        zeros = array(draft, other)
        if zeros is not None and not zeros.any():
            return x, condition
    return value, None


def understood(draft: Draft, condition: Condition | None, scores: Shape, *, has_heads: bool = False) -> Mask:
    """A mask in the terms of a layer's call.

    Args:
        draft: The graph.
        condition: The mask.
        scores: Shape of the scores.
        has_heads: Whether the mask has the axes of the scores; a layer puts in that of the heads by itself.
    """
    if condition is None:
        return Mask()
    value = condition.value
    if not isinstance(value, int):
        return _constant(value, scores)
    if condition.is_turned:
        return Mask(condition)
    for inner, other in pairs(draft, value, "LOGICAL_AND"):
        if (known := array(draft, other)) is not None and (fixed := _constant(known, scores)).seen is None:
            mask = understood(draft, Condition(inner), scores, has_heads=has_heads)
            return Mask(mask.seen, mask.is_causal or fixed.is_causal)
    apart = None if has_heads else maker(draft, value, "RESHAPE")
    if apart is not None and apart.inputs[0] is not None:
        shape, before = draft.shape(value), draft.shape(apart.inputs[0])
        if len(shape) == 4 and before == (shape[0], *shape[2:]):
            return understood(draft, Condition(apart.inputs[0]), scores)
    return Mask(condition)


def _constant(known: Array, scores: Shape) -> Mask:
    # Most are the same for all examples and heads.
    while known.ndim > 2 and (known == known[:1]).all():
        known = known[0]
    if known.all():
        return Mask()
    if known.shape == scores[-2:] and np.array_equal(known, np.tri(*scores[-2:], dtype=bool)):
        return Mask(is_causal=True)
    return Mask(Condition(known))


def _selected(draft: Draft, value: int | None) -> Iterator[tuple[Condition, int | None, int | None]]:
    """``(condition, x, other)`` of ``SELECT(condition, x, other)``, in both orders."""
    op = maker(draft, value, "SELECT_V2")
    if op is None or op.inputs[0] is None:
        return
    value, x, other = op.inputs
    known = array(draft, value)
    if known is not None:
        yield Condition(known.astype(bool)), x, other
        yield Condition(~known.astype(bool)), other, x
    elif value is not None:
        yield Condition(value), x, other
        yield Condition(value, is_turned=True), other, x


def _of_booleans(draft: Draft, value: int | None) -> int | None:
    """The mask of ``CAST(mask) · n - n``."""
    op = maker(draft, value, "AFFINE")
    scale, shift = (None, None) if op is None else (array(draft, given) for given in op.inputs[1:3])
    cast = None if op is None else maker(draft, op.inputs[0], "CAST")
    if cast is None or cast.inputs[0] is None or draft.values[cast.inputs[0]].dtype != "bool":
        return None
    if scale is None or shift is None or scale.size != 1 or shift.size != 1:
        return None
    return cast.inputs[0] if scale.item() == -shift.item() and shift.item() <= _LOST else None
