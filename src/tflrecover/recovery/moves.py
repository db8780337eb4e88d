"""Where the numbers of a value come from, through operators that only move, pick or repeat them.

What is a head of attention is asked of numbers, not of operators: files take heads apart in any order of reshapes,
transposes and slices, from a layer of their own or from one that makes queries, keys and values together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tflrecover import ops
from tflrecover.ir import Op
from tflrecover.recovery.match import factor, offset
from tflrecover.rewrite.draft import Draft
from tflrecover.weight import Array

_MOVES = ("RESHAPE", "TRANSPOSE", "STRIDED_SLICE", "TILE", "BROADCAST_TO", "UPSAMPLING")


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """``(source[index] + shift) · scale``.

    Attributes:
        source: A value that is made by an operator of another kind, or by none.
        index: With the value's axes: which number of the source stands there.
        shift: With the same axes; None where nothing is added.
        scale: What all is multiplied by.
    """

    source: int
    index: Array
    shift: Array | None = None
    scale: float = 1.0


def moved(draft: Draft, value: int | None) -> Moved | None:
    """How a value is made of the numbers of another; None where it is a constant.

    Args:
        draft: The graph.
        value: The value.
    """
    steps: list[Op | Array] = []
    scale = 1.0
    while (op := draft.producer(value)) is not None and op.id not in draft.opaque:
        if op.type in _MOVES:
            steps.append(op)
            value = op.inputs[0]
            continue
        inner, number = factor(draft, value)
        shifted, added = offset(draft, value)
        # A number behind a sum is a factor of all; before one it is not.
        if number is not None and number.size == 1 and all(isinstance(step, Op) for step in steps):
            scale *= float(number.reshape(-1)[0])
            value = inner
        elif added is not None and draft.shape(shifted) == draft.shape(value):
            steps.append(added)
            value = shifted
        else:
            break
    return None if value is None or draft.weight(value) is not None else _followed(draft, value, steps, scale)


def places(draft: Draft, source: int, steps: Sequence[Op]) -> Array:
    """With the axes of a result: which number of a value stands there.

    Args:
        draft: The graph.
        source: The value.
        steps: What moves it, the last first.
    """
    return _followed(draft, source, steps, 1.0).index


def _followed(draft: Draft, source: int, steps: Sequence[Op | Array], scale: float) -> Moved:
    shape = draft.shape(source)
    index, shift = np.arange(math.prod(shape)).reshape(shape), None
    for step in reversed(steps):
        if isinstance(step, Op):
            spec = ops.by_name(step.type)
            assert spec is not None
            index = spec.compute([index], step.attributes)
            shift = None if shift is None else spec.compute([shift], step.attributes)
        else:
            shift = np.broadcast_to(step, index.shape) if shift is None else shift + step
    return Moved(source, index, shift, scale)
