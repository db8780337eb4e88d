"""``RESIZE_NEAREST_NEIGHBOR(x, whole factors)`` as what repeats rows, and then columns: Keras writes it so."""

from __future__ import annotations

from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.writer import Writer


def repeat_pixels(draft: Draft) -> int:
    """Resizes to the nearest by whole factors become TILE, each pixel with an axis of its own."""
    count = 0
    for op in draft.of_type("RESIZE_NEAREST_NEIGHBOR"):
        factors, shape = op.attributes["size"], draft.shape(op.inputs[0])
        if op.attributes["align_corners"] or not all(isinstance(factor, int) for factor in factors):
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
