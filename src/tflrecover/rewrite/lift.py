"""``RESHAPE(x) + w = RESHAPE(x + w')``: a constant that runs over axes which were one axis before.

A projection onto heads is a product onto ``heads · size`` channels, split by a RESHAPE, plus a bias of shape
``(heads, size)``; the converter has the same as one dense layer with a bias of ``heads · size``.
"""

from __future__ import annotations

import math

from tflrecover.ops.shape import RESHAPE
from tflrecover.rewrite.common import lone_constant
from tflrecover.rewrite.draft import Draft


def lift_constants(draft: Draft) -> int:
    """Arithmetic with a constant behind a RESHAPE that splits the last axis moves before it."""
    count = 0
    for op in draft.of_type("ADD", "SUB", "MUL", "DIV"):
        slot, weight = lone_constant(draft, op) or (0, None)
        if slot != 1 or weight is None:
            continue
        split = draft.producer(op.inputs[0])
        if split is None or split.type != "RESHAPE" or draft.only_consumer(split.outputs[0]) is None:
            continue
        inside, outside = draft.shape(split.inputs[0]), draft.shape(split.outputs[0])
        shape = weight.shape
        while shape and shape[0] == 1 and len(shape) > 1:
            shape = shape[1:]
        rank = len(shape)
        if rank < 2 or not inside or outside[-rank:] != shape or math.prod(shape) != inside[-1]:
            continue
        flat = draft.constant(RESHAPE(weight, shape=inside[-1:], target_shape=inside[-1:]))
        middle = draft.new_value(inside, draft.values[op.outputs[0]].dtype)
        draft.remove(split.id)
        draft.replace(op.evolve(inputs=(split.inputs[0], flat), outputs=(middle,)))
        draft.add(split.evolve(inputs=(middle,), outputs=op.outputs))
        count += 1
    return count


def fuse_squared_difference(draft: Draft) -> int:
    """``SQUARE(SUB(x, y))`` becomes ``SQUARED_DIFFERENCE(x, y)``."""
    count = 0
    for op in draft.of_type("SQUARE"):
        difference = draft.producer(op.inputs[0])
        if difference is not None and difference.type == "SUB":
            draft.replace(op.evolve(type="SQUARED_DIFFERENCE", inputs=difference.inputs))
            count += 1
    return count


def square_differences(draft: Draft) -> int:
    """``SQUARED_DIFFERENCE(x, y)`` becomes ``SQUARE(SUB(x, y))`` of a difference that others take, too."""
    taken = {tuple(op.inputs): op.outputs[0] for op in draft.of_type("SUB")}
    found = [op for op in draft.of_type("SQUARED_DIFFERENCE") if tuple(op.inputs) in taken]
    for op in found:
        draft.replace(op.evolve(type="SQUARE", inputs=(taken[tuple(op.inputs)],)))
    return len(found)
