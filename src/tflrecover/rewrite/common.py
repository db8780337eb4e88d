"""Equal operators on equal operands are one: ``f(x), f(x)`` becomes ``y = f(x); y, y``. The converter does it too."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from tflrecover import ops
from tflrecover.ir import Op
from tflrecover.ops.spec import OpSpec
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.scalars import known_array
from tflrecover.weight import Apply, Array, Leaf, Literal, Weight

# Keys as they are. Numbers of numpy are not among them: they are subclasses of these, and told apart.
_PLAIN = frozenset({int, float, str, bool, type(None)})


def merge_common(draft: Draft) -> int:
    """Operators of one type with the same attributes and operands become one; its origins tell of all.

    Constants are the same when they are the same variable on the Keras side, the same bytes of the file on the other;
    a number alone that scales or shifts is the same wherever it lies, as in a model it is written in the code.
    """
    alone: dict[Hashable, Op] = {}
    seen: dict[Hashable, Op] = {}
    count = 0
    for op_id in [op.id for op in draft.ordered()]:
        op = draft.ops[op_id]
        spec = ops.by_name(op.type)
        if spec is None:
            continue
        # Attributes and constants are looked at only where another of the type takes the same activations.
        other = alone.setdefault((op.type, _activations(draft, op)), op)
        if other is op:
            continue
        seen.setdefault(_key(draft, other, spec), other)
        first = seen.setdefault(_key(draft, op, spec), op)
        if first is op:
            continue
        first = draft.ops[first.id]
        draft.replace(first.evolve(origins=tuple(dict.fromkeys((*first.origins, *op.origins)))))
        draft.remove(op.id)
        for old, new in zip(op.outputs, first.outputs, strict=True):
            draft.redirect(old, new)
        count += 1
    return count


def _activations(draft: Draft, op: Op) -> frozenset[int | None]:
    return frozenset([value for value in op.inputs if draft.weight(value) is None])


def _key(draft: Draft, op: Op, spec: OpSpec) -> Hashable:
    operands = [_operand(draft, value, spec) for value in op.inputs]
    if spec.commutative:
        operands.sort(key=lambda operand: operand if isinstance(operand, int) else -1)
    return op.type, freeze(op.attributes), tuple(operands)


def freeze(value: Any) -> Hashable:
    """Attributes as a key."""
    if type(value) in _PLAIN:
        return value  # type: ignore[no-any-return]
    if isinstance(value, dict):
        return tuple(sorted([(name, freeze(item)) for name, item in value.items()]))
    if isinstance(value, (list, tuple)):
        # Most are sizes and strides.
        return tuple([item if type(item) in _PLAIN else freeze(item) for item in value])
    if hasattr(value, "tobytes"):
        return (value.shape, value.tobytes())
    return value if isinstance(value, Hashable) else repr(value)


def _operand(draft: Draft, value: int | None, spec: OpSpec) -> Hashable:
    weight = draft.weight(value)
    if weight is None:
        return value
    if spec.is_elementwise and weight.shape in ((), (1,)) and (number := known_array(draft, weight)) is not None:
        return (weight.shape, np.float32(number).tobytes())
    return signature(weight, draft)


def signature(weight: Weight, draft: Draft) -> Hashable:
    """A constant as a key: the same of two tensors with the same bytes of a file."""
    if isinstance(weight, Literal):
        return (weight.shape, weight.array.tobytes())
    if isinstance(weight, Leaf):
        return ("leaf", _Stored(draft.env[weight.key]) if weight.key in draft.env else weight.key, weight.shape)
    if isinstance(weight, Apply):
        return (
            weight.function.name,
            freeze(dict(weight.attributes)),
            tuple(signature(arg, draft) for arg in weight.args),
        )
    return id(weight)


class _Stored:
    """What a tensor of the file holds, as a key; all of it is read only where two begin alike."""

    def __init__(self, array: Array) -> None:
        self._array = array
        self._hash = hash((array.dtype, array.shape, tuple(array.reshape(-1)[:16].tolist())))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Stored) or self._array.dtype != other._array.dtype:
            return False
        return np.array_equal(self._array, other._array)


def lone_constant(draft: Draft, op: Op) -> tuple[int, Weight] | None:
    """``(slot, expression)`` of the constant among two operands of which the other is none."""
    found = [(slot, weight) for slot, value in enumerate(op.inputs) if (weight := draft.weight(value)) is not None]
    return found[0] if len(op.inputs) == 2 and len(found) == 1 else None
