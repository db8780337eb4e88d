"""What attention makes of its inputs: a dense layer whose units are taken apart into heads.

heads first of (x · kernel + bias)     in any order of: taken apart, bias, repeated for groups, scaled
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from tflrecover.ir import Shape
from tflrecover.recovery.match import factor, offset
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.match import array, maker
from tflrecover.weight import Array


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """``heads of x·kernel + bias``.

    Attributes:
        x: What is projected.
        kernel: With the axes features, heads, size.
        bias: With the axes heads, size.
        scale: What it is multiplied by behind.
        repeats: How many heads in a row are the same.
    """

    x: int
    kernel: Array
    bias: Array
    scale: float = 1.0
    repeats: int = 1

    @property
    def heads(self) -> int:
        """How many there are, repeated ones too."""
        return int(self.kernel.shape[1]) * self.repeats

    @property
    def size(self) -> int:
        """Of one head."""
        return int(self.kernel.shape[2])

    def scaled(self, number: float) -> Projection:
        """With a factor in its weights."""
        whole = np.float32(number)
        return replace(self, kernel=self.kernel * whole, bias=self.bias * whole, scale=1.0)


def heads_first(rank: int, *, is_turned: bool = False) -> tuple[int, ...]:
    """The order of axes from (…, time, heads, size) to (…, heads, time, size), or to size before time."""
    time, heads, size = range(rank - 3, rank)
    return (*range(rank - 3), heads, *((size, time) if is_turned else (time, size)))


def projection(draft: Draft, value: int | None, *, is_turned: bool) -> Projection | None:
    """The heads of a dense layer; ``is_turned`` where their size is before time."""
    outer, scale = scaled(draft, value)
    turned = maker(draft, outer, "TRANSPOSE")
    if turned is None or tuple(turned.attributes["perm"]) != heads_first(len(draft.shape(outer)), is_turned=is_turned):
        return None
    inner, again = scaled(draft, turned.inputs[0])
    single, repeats = _repeated(draft, inner)
    apart, bias = offset(draft, single)
    split = maker(draft, apart, "RESHAPE")
    dense = None if split is None else maker(draft, split.inputs[0], "FULLY_CONNECTED")
    if split is None or dense is None or "activation" in dense.attributes:
        return None
    taken_apart = draft.shape(split.outputs[0])
    if len(taken_apart) > len(draft.shape(inner)):
        taken_apart = (*taken_apart[:-2], taken_apart[-1])
    *lead, heads, size = taken_apart
    kernel, own = array(draft, dense.inputs[1]), array(draft, dense.inputs[2])
    x = _on_rows(draft, dense.inputs[0], tuple(lead))
    if x is None or kernel is None or own is None or draft.shape(dense.outputs[0])[-1] != heads * size:
        return None
    both = own.reshape(heads, size)
    if bias is not None:
        whole = (*(1 for _ in lead), heads, size)
        if np.broadcast_shapes(bias.shape, whole) != whole:
            return None
        both = both + np.broadcast_to(bias, whole).reshape(heads, size)
    return Projection(x, kernel.reshape(-1, heads, size), both, scale * again, repeats)


def scaled(draft: Draft, value: int | None) -> tuple[int | None, float]:
    """``(x, number)`` of ``x · number``."""
    inner, number = factor(draft, value)
    return (value, 1.0) if number is None or number.size != 1 else (inner, float(number.reshape(-1)[0]))


def _on_rows(draft: Draft, value: int | None, lead: Shape) -> int | None:
    """What a dense layer works on, with all its axes, where it works on rows; None where it has others."""
    if draft.shape(value)[:-1] == lead:
        return value
    rows = maker(draft, value, "RESHAPE")
    if rows is None or draft.shape(rows.inputs[0]) != (*lead, draft.shape(value)[-1]):
        return None
    return rows.inputs[0] if draft.shape(value)[:-1] == (math.prod(lead),) else None


def _repeated(draft: Draft, value: int | None) -> tuple[int | None, int]:
    """``(x, n)`` where each head of x is there n times: an axis behind the heads is repeated, and merged with them.

    Where nothing lies between, the heads are taken apart together with that axis, which x then has.
    """
    merged = maker(draft, value, "RESHAPE")
    tiled = None if merged is None else maker(draft, merged.inputs[0], "TILE", "BROADCAST_TO")
    apart = None if tiled is None else maker(draft, tiled.inputs[0], "RESHAPE")
    if tiled is None or apart is None or len(draft.shape(tiled.outputs[0])) != len(draft.shape(value)) + 1:
        return value, 1
    *lead, heads, single, size = draft.shape(tiled.inputs[0])
    repeats = draft.shape(tiled.outputs[0])[-2]
    is_so = single == 1 and draft.shape(tiled.outputs[0]) == (*lead, heads, repeats, size)
    if not is_so or draft.shape(value) != (*lead, heads * repeats, size):
        return value, 1
    has_heads = draft.shape(apart.inputs[0]) == (*lead, heads, size)
    return (apart.inputs[0] if has_heads else apart.outputs[0]), repeats
