"""Attention whose projections are one layer, and whose queries and keys are scaled, as PyTorch has it.

STRIDED_SLICE(RESHAPE(FULLY_CONNECTED(x, k, b)), i) = RESHAPE(FULLY_CONNECTED(x, k[i], b[i]))
RESHAPE(TRANSPOSE(x)) = TRANSPOSE(RESHAPE(x))                         of reshapes that only move axes of size 1
SOFTMAX(x + (0 or -∞)) = SOFTMAX(SELECT_V2(kept, x, -∞))
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tflrecover.ir import Op, Shape
from tflrecover.ops.shape import RESHAPE
from tflrecover.ops.slicing import STRIDED_SLICE, WHOLE
from tflrecover.rewrite.common import lone_constant
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.match import array
from tflrecover.rewrite.reshape import merge_reshapes
from tflrecover.rewrite.scalars import known_array
from tflrecover.rewrite.transposes import merge_transposes
from tflrecover.rewrite.writer import Writer
from tflrecover.weight import Array, Literal, Weight

# Nothing is left of a score that this is added to.
_LOW = -1e9
HIDDEN = float(np.finfo(np.float16).min)
"""What stands in the place of a score and is as low counts for nothing: a file of halves holds no lower number."""


def split_units(draft: Draft) -> int:
    """Every part of a dense layer's units that is taken for itself is a dense layer of its own."""
    count = 0
    for op in draft.of_type("STRIDED_SLICE"):
        before = draft.producer(op.inputs[0])
        dense = draft.producer(before.inputs[0]) if before is not None and before.type == "RESHAPE" else before
        if dense is None or dense.type != "FULLY_CONNECTED" or dense.id in draft.opaque:
            continue
        places = _units(op, draft.shape(op.inputs[0]), draft.shape(dense.outputs[0])[-1])
        kernel = draft.weight(dense.inputs[1])
        if places is None or kernel is None:
            continue
        bias = draft.weight(dense.inputs[2]) if len(dense.inputs) > 2 else None
        operands = [draft.constant(places.of(weight)) for weight in (kernel, bias) if weight is not None]
        write = Writer(draft, op)
        shape = (*draft.shape(dense.outputs[0])[:-1], draft.shape(operands[0])[-1])
        attributes = {**dense.attributes, "units": shape[-1]}
        made = write.add("FULLY_CONNECTED", (dense.inputs[0], *operands), shape, **attributes)
        write.finish(write.reshaped(made, draft.shape(op.outputs[0])))
        count += 1
    return count + (merge_reshapes(draft) if count else 0)


@dataclass(frozen=True, slots=True)
class _Units:
    """Some of the units of a layer.

    Attributes:
        sizes: Of the axes that units are taken apart into.
        places: What is taken along each of them.
    """

    sizes: Shape
    places: tuple[Any, ...]

    def of(self, weight: Weight) -> Weight:
        """Of a constant whose last axis is units."""
        *lead, _ = weight.shape
        apart = RESHAPE(weight, target_shape=(*lead, *self.sizes))
        taken = STRIDED_SLICE(apart, slices=(*[WHOLE] * len(lead), *self.places))
        return RESHAPE(taken, target_shape=(*lead, math.prod(taken.shape[len(lead) :])))


def _units(op: Op, shape: Shape, units: int) -> _Units | None:
    """What a slice takes of a layer whose units are the last axes of a shape; None where it takes of others."""
    first = next((axis for axis in range(len(shape)) if math.prod(shape[axis:]) == units and shape[axis] != 1), None)
    slices = op.attributes["slices"]
    if first is None or len(slices) <= first or any(place != WHOLE for place in slices[:first]):
        return None
    places = (*slices[first:], *[WHOLE] * (len(shape) - len(slices)))
    return None if any(isinstance(place, str) for place in places) else _Units(shape[first:], places)


def transpose_fewer(draft: Draft) -> int:
    """Transposes beside a reshape work without axes of size 1, and meet others behind it."""
    count = 0
    for op_id in [op.id for op in draft.ordered("TRANSPOSE") if op.id not in draft.opaque]:
        count += _without_units(draft, draft.ops[op_id])
    return count + (merge_reshapes(draft) + merge_transposes(draft) if count else 0)


def _without_units(draft: Draft, op: Op) -> bool:
    before, shape = draft.producer(op.inputs[0]), draft.shape(op.inputs[0])
    near = [before, *(user for user, _ in draft.consumers(op.outputs[0]))]
    wide = [axis for axis, n in enumerate(shape) if n != 1]
    if len(wide) in (0, len(shape)) or not any(one is not None and one.type == "RESHAPE" for one in near):
        return False
    perm = tuple(wide.index(axis) for axis in op.attributes["perm"] if axis in wide)
    write, result = Writer(draft, op), draft.shape(op.outputs[0])
    fewer = write.reshaped(op.inputs[0], tuple(shape[axis] for axis in wide))
    write.finish(write.reshaped(write.transposed(fewer, perm), result))
    return True


def select_scores(draft: Draft) -> int:
    """What keeps scores out of a softmax is a choice, whether a low number is added or put in their place."""
    count = 0
    for op in draft.of_type("ADD", "SELECT_V2"):
        softmax = draft.only_consumer(op.outputs[0])
        found = _choice(draft, op) if softmax is not None and softmax.type == "SOFTMAX" else None
        if found is None:
            continue
        low = draft.constant(Literal.of(np.float32(-np.inf)))
        draft.replace(op.evolve(type="SELECT_V2", inputs=(*found, low), attributes={}))
        count += 1
    return count


def _choice(draft: Draft, op: Op) -> tuple[int | None, int | None] | None:
    """Which scores stay, and the scores."""
    if op.type == "SELECT_V2":
        kept, low = (array(draft, value) for value in op.inputs[::2])
        if low is None or (low > HIDDEN).any():
            return None
        return op.inputs[0] if kept is None else draft.constant(Literal.of(_once(kept))), op.inputs[1]
    slot, weight = lone_constant(draft, op) or (0, None)
    added = None if weight is None else known_array(draft, weight)
    if added is None or not ((added == 0) | (added <= _LOW)).all():
        return None
    return draft.constant(Literal.of(_once(added == 0))), op.inputs[1 - slot]


def _once(given: Array) -> Array:
    """Without what repeats along an axis, as broadcasting does it."""
    for axis in range(given.ndim):
        first = np.take(given, [0], axis)
        given = first if (given == first).all() else given
    return given
