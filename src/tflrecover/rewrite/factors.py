"""What a norm is scaled and shifted by comes out of it: ``x · r · w + (o - m · r · w) = (x - m) · r · w + o``.

Keras scales what it divides by, PyTorch the result; a converter takes the latter into the layer behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

from tflrecover.ir import Op
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.match import maker
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
    for value, constant in (op.inputs, op.inputs[::-1]):
        if draft.weight(constant) is not None and draft.weight(value) is None:
            return value, constant
    return None, None
