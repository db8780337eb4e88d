"""``RESIZE_NEAREST_NEIGHBOR(x, whole factors)`` as what repeats rows, and then columns: Keras writes it so.

Of one pixel, ``RESIZE_BILINEAR(x)`` is the same.
"""

from __future__ import annotations

from tflrecover.ir import Op, Shape
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.writer import Writer

RESIZES = ("RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR")


def repeats(op: Op, shape: Shape) -> bool:
    """Whether a resize gives each pixel as often as every other."""
    if shape[1:3] == (1, 1):
        return True
    is_whole = all(isinstance(factor, int) for factor in op.attributes["size"])
    return op.type == RESIZES[0] and is_whole and not op.attributes["align_corners"]


def repeat_pixels(draft: Draft) -> int:
    """Resizes to the nearest by whole factors become TILE, each pixel with an axis of its own."""
    count = 0
    for op in draft.of_type(*RESIZES):
        factors, shape = op.attributes["size"], draft.shape(op.inputs[0])
        if not repeats(op, shape):
            continue
        writer, value = Writer(draft, op), op.inputs[0]
        for axis, factor in enumerate(factors, 1):
            lead, size, rest = shape[:axis], shape[axis], shape[axis + 1 :]
            shape = (*lead, size * factor, *rest)
            if factor != 1:
                value = writer.reshaped(value, (*lead, size, 1, *rest))
                multiples = (*(1 for _ in lead), 1, factor, *(1 for _ in rest))
                value = writer.add("TILE", (value,), (*lead, size, factor, *rest), multiples=multiples)
                value = writer.reshaped(value, shape)
        writer.finish(value)
        count += 1
    return count
