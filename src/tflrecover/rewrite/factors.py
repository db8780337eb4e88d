"""A scale inside of a normalization comes out of it: ``x · (r · w) + (o - m · (r · w)) = (x · r - m · r) · w + o``.

Keras scales what it divides by, PyTorch the result; a converter takes the latter into the layer behind it.
"""

from __future__ import annotations

from collections.abc import Iterator

from tflrecover.ir import Op
from tflrecover.rewrite.draft import Draft, merged_origins
from tflrecover.rewrite.scalars import scalar


def factor_scales(draft: Draft) -> int:
    """Sums whose two operands are multiplied by one product with a constant are scaled behind the sum."""
    count = 0
    for op in draft.of_type("ADD"):
        count += any(_factored(draft, op, *found) for found in _products(draft, op))
    return count


def _products(draft: Draft, op: Op) -> Iterator[tuple[Op, Op, Op]]:
    """``(x · s, m · s, -(m · s) + o)`` of a sum, in both orders."""
    for first, second in (op.inputs, op.inputs[::-1]):
        product, shift = draft.producer(first), draft.producer(second)
        if product is None or product.type != "MUL" or shift is None or shift.type != "AFFINE":
            continue
        inner = draft.producer(shift.inputs[0])
        if inner is not None and inner.type == "MUL" and scalar(draft, shift.inputs[1], 1.0) is not None:
            yield product, inner, shift


def _factored(draft: Draft, op: Op, product: Op, inner: Op, shift: Op) -> bool:
    for x, s in (product.inputs, product.inputs[::-1]):
        scale = draft.producer(s)
        if s not in inner.inputs or scale is None or scale.type != "MUL":
            continue
        m = inner.inputs[1 - inner.inputs.index(s)]
        for r, w in (scale.inputs, scale.inputs[::-1]):
            if draft.weight(w) is None or draft.weight(r) is not None:
                continue
            _write(draft, op, (x, m, r, w), (product, inner, shift, scale))
            return True
    return False


def _write(draft: Draft, op: Op, operands: tuple[int | None, ...], parts: tuple[Op, Op, Op, Op]) -> None:
    x, m, r, w = operands
    product, inner, shift, _ = parts
    result = draft.values[op.outputs[0]]
    wide, narrow = draft.shape(x), draft.shape(m)
    scaled, center, minus, difference = (draft.new_value(s, result.dtype) for s in (wide, narrow, narrow, wide))
    draft.add(product.evolve(id=f"{product.id} in {op.id}", inputs=(x, r), outputs=(scaled,)))
    draft.add(inner.evolve(id=f"{inner.id} in {op.id}", inputs=(m, r), outputs=(center,)))
    draft.add(shift.evolve(id=f"{shift.id} in {op.id}", inputs=(center, shift.inputs[1], None), outputs=(minus,)))
    draft.add(op.evolve(id=f"{op.id} inside", inputs=(scaled, minus), outputs=(difference,)))
    draft.remove(op.id)
    made = Op(op.id, "AFFINE", (difference, w, shift.inputs[2]), op.outputs, {}, op.layer, merged_origins(*parts, op))
    draft.add(made)
