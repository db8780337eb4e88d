"""Sums that ``keras.ops.add`` computes as they are meant.

On TensorFlow it takes a second operand with one axis longer than 1 for a bias, and looks for an axis of the first that
has its size: the last one, then axis 1. Where that is not the axis that broadcasting means, its result is another one:
``add(zeros((1, 8, 8, 8)), b)`` puts a ``b`` of shape ``(8, 1, 1)`` on the last axis. Sizes that are free decide that
only when the model is called.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from tflrecover.ir import Shape

_FreeShape = Sequence[int | None]


def is_misread(x: _FreeShape, y: _FreeShape) -> bool:
    """Whether ``keras.ops.add`` may compute something else on operands of these shapes, free sizes being None."""
    return any(_is_misread(first, second) for first, second in _fixed(x, y))


def _is_misread(x: Shape, y: Shape) -> bool:
    longer = [axis - len(y) for axis, n in enumerate(y) if n > 1]
    if len(longer) != 1 or len(x) < 2 or y[longer[0]] not in (x[1], x[-1]):
        return False
    taken = -1 if x[-1] == y[longer[0]] else 1 - len(x)
    return taken != longer[0] or len(y) > len(x)


def _fixed(x: _FreeShape, y: _FreeShape) -> Iterator[tuple[Shape, Shape]]:
    """The shapes with every size that can make a difference in the place of what is free."""
    free = sorted({axis - len(shape) for shape in (x, y) for axis, n in enumerate(shape) if n is None})
    sizes = sorted({1, *(n for n in (*x, *y) if n is not None), *range(2, 2 + len(free))})
    for chosen in product(sizes, repeat=len(free)):
        known = dict(zip(free, chosen, strict=True))
        one, other = (
            tuple(known[axis - len(shape)] if n is None else n for axis, n in enumerate(shape)) for shape in (x, y)
        )
        yield one, other


def in_order(x: Any, y: Any) -> tuple[Any, Any] | None:
    """The operands in an order in which their sum is read right; None where it is in neither."""
    for first, second in ((x, y), (y, x)):
        if not is_misread(_shape(first), _shape(second)):
            return first, second
    return None


def _shape(operand: Any) -> _FreeShape:
    return tuple(getattr(operand, "shape", ()))
