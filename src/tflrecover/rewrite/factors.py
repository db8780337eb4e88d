"""What a norm is scaled and shifted by comes out of it: ``x · r · w + (o - m · r · w) = (x - m) · r · w + o``.

Keras scales what it divides by, PyTorch the result; a converter takes the latter into the layer behind it. A norm of
one's own is written as its formula: ``(x - m) · w · r + o``, in any order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tflrecover.ir import Op
from tflrecover.rewrite.common import lone_constant
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.match import bare, maker
from tflrecover.rewrite.scalars import scalar
from tflrecover.rewrite.writer import Writer


@dataclass(frozen=True, slots=True)
class _Shift:
    """``-m · s + offset``, of the operands ``(m, s)`` in either order."""

    operands: tuple[int | None, ...]
    offset: int | None


def factor_scales(draft: Draft) -> int:
    """Differences of two products with the same are scaled by a constant in it, and shifted, behind the difference."""
    count = 0
    for op in draft.of_type("ADD"):
        for first, second in (op.inputs, op.inputs[::-1]):
            product, shift = maker(draft, first, "MUL"), _shift(draft, second)
            if product is not None and shift is not None and _factored(draft, op, product, shift):
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
        if product is None or shift is None or shift.offset is not None:
            continue
        for x, r in (product.inputs, product.inputs[::-1]):
            root, inner = bare(draft, r), [bare(draft, value) for value in shift.operands]
            if root in inner and maker(draft, root, "RSQRT") is not None:
                m = shift.operands[1 - inner.index(root)]
                write = Writer(draft, op)
                write.finish(write.add("MUL", (write.add("SUB", (x, m)), r)))
                return True
    return False


def _scaled_behind(draft: Draft, op: Op) -> bool:
    for one, other in (op.inputs, op.inputs[::-1]):
        y, w = _unscaled(draft, one)
        if w is None or draft.weight(w) is None or scalar(draft, w, 0.0):
            continue
        is_norm = any(maker(draft, bare(draft, value), "RSQRT") is not None for value in (y, other))
        shape = np.broadcast_shapes(draft.shape(y), draft.shape(other))
        if is_norm and shape == draft.shape(op.outputs[0]):
            write = Writer(draft, op)
            write.finish(write.add("AFFINE", (write.add("MUL", (y, other)), w, None)))
            return True
    return False


def _shift(draft: Draft, value: int | None) -> _Shift | None:
    """What is shifted and negated, in the one order or the other."""
    offset, sign = None, 1.0
    while (op := maker(draft, value, "ADD", "AFFINE")) is not None:
        inner, added = _without_constant(draft, op) if op.type == "ADD" else (op.inputs[0], op.inputs[2])
        factor = scalar(draft, op.inputs[1], 1.0) if op.type == "AFFINE" else 1.0
        # A converter writes 0 - x where a framework has -x.
        added = None if scalar(draft, added, 0.0) == 0 else added
        if inner is None or factor is None or (added is not None and (offset is not None or sign != 1)):
            return None
        value, sign, offset = inner, sign * factor, offset if added is None else added
    product = maker(draft, value, "MUL")
    if product is None:
        return None
    operands = []
    for operand in product.inputs:
        x, w = _unscaled(draft, operand)
        factor = scalar(draft, w, 1.0)
        operands.append(operand if factor is None else x)
        sign *= 1.0 if factor is None else factor
    return _Shift(tuple(operands), offset) if sign == -1 else None


def _factored(draft: Draft, op: Op, product: Op, shift: _Shift) -> bool:
    """``AFFINE(MUL(SUB(x, m), r), w, offset)``."""
    for x, s in (product.inputs, product.inputs[::-1]):
        if s not in shift.operands:
            continue
        r, w = _unscaled(draft, s)
        write = Writer(draft, op)
        center = shift.operands[1 - shift.operands.index(s)]
        made: int | None = write.add("MUL", (write.add("SUB", (x, center)), r))
        if w is not None or shift.offset is not None:
            made = write.add("AFFINE", (made, w, shift.offset), draft.shape(op.outputs[0]))
        write.finish(made)
        return True
    return False


def _unscaled(draft: Draft, value: int | None) -> tuple[int | None, int | None]:
    """A value without the constant that it is multiplied by, and that."""
    op = maker(draft, value, "MUL", "AFFINE")
    if op is None or (op.type == "AFFINE" and op.inputs[2] is not None):
        return value, None
    r, w = op.inputs[:2] if op.type == "AFFINE" else _without_constant(draft, op)
    return (value, None) if w is None else (r, w)


def _without_constant(draft: Draft, op: Op) -> tuple[int | None, int | None]:
    """What is not constant of two operands, and what is; None where neither or both are."""
    slot, _ = lone_constant(draft, op) or (None, None)
    return (None, None) if slot is None else (op.inputs[1 - slot], op.inputs[slot])
