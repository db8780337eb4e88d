"""What a norm is scaled and shifted by comes out of it: ``x · r · w + (o - m · r · w) = (x · r - m · r) · w + o``.

Keras scales what it divides by, PyTorch the result; a converter takes the latter into the layer behind it. A norm of
one's own is written as its formula: ``(x - m) · w · r + o``, in any order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tflrecover.ir import Op
from tflrecover.rewrite.draft import Draft, merged_origins
from tflrecover.rewrite.match import bare, maker
from tflrecover.rewrite.scalars import scalar
from tflrecover.rewrite.writer import Writer


@dataclass(frozen=True, slots=True, eq=False)
class _Shift:
    """``MUL(m, s) · factor + offset``, and the operators that are it, the product first."""

    product: Op
    factor: int | None
    offset: int | None
    ops: tuple[Op, ...]


def factor_scales(draft: Draft) -> int:
    """Sums of two products with the same are scaled by a constant in it, and shifted, behind the sum."""
    count = 0
    for op in draft.of_type("ADD"):
        for first, second in (op.inputs, op.inputs[::-1]):
            product, shift = draft.producer(first), _shift(draft, second)
            if (
                product is not None
                and product.type == "MUL"
                and shift is not None
                and _factored(draft, op, product, shift)
            ):
                count += 1
                break
    return count


def center_norms(draft: Draft) -> int:
    """``x · r - m · r = (x - m) · r`` and ``(y · w) · r = (y · r) · w`` for the inverse r of a deviation."""
    count = factor_scales(draft)
    count += sum(_centered(draft, op) for op in draft.of_type("ADD"))
    return count + sum(_scaled_behind(draft, op) for op in draft.of_type("MUL"))


def _centered(draft: Draft, op: Op) -> bool:
    for first, second in (op.inputs, op.inputs[::-1]):
        product, shift = maker(draft, first, "MUL"), _shift(draft, second)
        if product is None or shift is None or shift.offset is not None or scalar(draft, shift.factor, 1.0) != -1:
            continue
        for x, r in (product.inputs, product.inputs[::-1]):
            root, inner = bare(draft, r), [bare(draft, value) for value in shift.product.inputs]
            if root in inner and maker(draft, root, "RSQRT") is not None:
                m = shift.product.inputs[1 - inner.index(root)]
                write = Writer(draft, op)
                write.finish(write.add("MUL", (write.add("SUB", (x, m)), r)))
                return True
    return False


def _scaled_behind(draft: Draft, op: Op) -> bool:
    for one, other in (op.inputs, op.inputs[::-1]):
        made = maker(draft, one, "MUL", "AFFINE")
        if made is None:
            continue
        y, w = made.inputs[:2] if made.type == "AFFINE" else _without_constant(draft, made)
        has_offset = made.type == "AFFINE" and made.inputs[2] is not None
        if y is None or w is None or has_offset or draft.weight(w) is None or scalar(draft, w, 0.0):
            continue
        is_norm = any(maker(draft, bare(draft, value), "RSQRT") is not None for value in (y, other))
        shape = np.broadcast_shapes(draft.shape(y), draft.shape(other))
        if is_norm and shape == draft.shape(op.outputs[0]):
            write = Writer(draft, op)
            write.finish(write.add("AFFINE", (write.add("MUL", (y, other)), w, None)))
            return True
    return False


def _shift(draft: Draft, value: int | None) -> _Shift | None:
    op = last = draft.producer(value)
    offset = None
    if last is not None and last.type == "ADD":
        value, offset = _without_constant(draft, last)
        op = draft.producer(value)
    if op is None or op.type != "AFFINE" or (op.inputs[2] is not None and offset is not None):
        return None
    product = draft.producer(op.inputs[0])
    if product is None or product.type != "MUL" or scalar(draft, op.inputs[1], 1.0) is None:
        return None
    parts = (product, op) if last is None or last is op else (product, op, last)
    offset = op.inputs[2] if offset is None else offset
    # A converter writes 0 - x where a framework has -x.
    return _Shift(product, op.inputs[1], None if scalar(draft, offset, 0.0) == 0 else offset, parts)


def _factored(draft: Draft, op: Op, product: Op, shift: _Shift) -> bool:
    for x, s in (product.inputs, product.inputs[::-1]):
        if s not in shift.product.inputs:
            continue
        m = shift.product.inputs[1 - shift.product.inputs.index(s)]
        made = draft.producer(s)
        r, w = _without_constant(draft, made) if made is not None and made.type == "MUL" else (s, None)
        if made is not None and made.type == "AFFINE" and made.inputs[2] is None:
            # One number per channel, as what it divides by.
            r, w = made.inputs[:2]
        r = s if w is None else r
        if w is not None or shift.offset is not None:
            _write(draft, op, product, shift, (x, m, r, w))
            return True
    return False


def _without_constant(draft: Draft, op: Op) -> tuple[int | None, int | None]:
    """What is not constant of two operands, and what is; None where neither or both are."""
    for value, constant in (op.inputs, op.inputs[::-1]):
        if draft.weight(constant) is not None and draft.weight(value) is None:
            return value, constant
    return None, None


def _write(draft: Draft, op: Op, product: Op, shift: _Shift, operands: tuple[int | None, ...]) -> None:
    """``AFFINE(ADD(MUL(x, r), AFFINE(MUL(m, r), factor)), w, offset)``."""
    x, m, r, w = operands
    wide, narrow, result = draft.shape(x), draft.shape(m), draft.values[op.outputs[0]]
    scaled, center, minus, difference = (draft.new_value(shape, result.dtype) for shape in (wide, narrow, narrow, wide))
    inner, affine, *_ = shift.ops
    draft.add(product.evolve(id=f"{product.id} in {op.id}", inputs=(x, r), outputs=(scaled,)))
    draft.add(inner.evolve(id=f"{inner.id} in {op.id}", inputs=(m, r), outputs=(center,)))
    if shift.factor is None:
        minus = center
    else:
        draft.add(affine.evolve(id=f"{affine.id} in {op.id}", inputs=(center, shift.factor, None), outputs=(minus,)))
    draft.add(op.evolve(id=f"{op.id} inside", inputs=(scaled, minus), outputs=(difference,)))
    draft.remove(op.id)
    origins = merged_origins(product, *shift.ops, op)
    draft.add(Op(op.id, "AFFINE", (difference, w, shift.offset), op.outputs, {}, op.layer, origins))
