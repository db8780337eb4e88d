"""Operators with graphs of their own: loops and conditions.

In the canonical form they are taken apart (``LOOP … END_LOOP``; of a condition, one ``CHOICE`` per result), so that
every rule works inside; where a model is recovered, :mod:`tflrecover.recovery.nest` puts them together again. Their
graphs take the values that they use from outside as operands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tflrecover.ops.keras import is_constant
from tflrecover.ops.spec import Builder, Nested, OpSpec, Part, Unsupported

FreeShape = tuple[int | None, ...]


def _while(builder: Builder, part: Part) -> Any:
    count = part.attributes["states"]
    states, outside = part.args[:count], part.args[count:]
    shapes = _widest(states, outside)
    while True:
        given = (((), "int32"), *zip(shapes, map(_dtype, states), strict=True), *outside)
        body = builder.nested(part.attributes["body"], given)
        found = [_narrowed(before, after.shape) for before, after in zip(shapes, body.outputs, strict=False)]
        if found == shapes:
            break
        shapes = found
    condition = part.attributes["condition"]
    is_repeated = any(is_constant(state) and state.shape != shape for state, shape in zip(states, shapes, strict=True))
    return builder.control(
        "WhileLoop",
        [value for value in (*states, *outside) if not is_constant(value)],
        body=body,
        condition=None if condition is None else builder.nested(condition, given),
        trips=part.attributes["trips"],
        initial=[state if is_constant(state) else None for state in states],
        is_repeated=is_repeated or None,
    )


def _widest(states: Sequence[Any], outside: Sequence[Any]) -> list[FreeShape]:
    """Shapes of the states: where anything has a free batch, a constant of one example may be one for each."""
    is_free = any(None in value.shape for value in (*states, *outside) if not is_constant(value))
    return [
        tuple(None if n == 1 and is_free and is_constant(state) else n for n in tuple(state.shape)) for state in states
    ]


def _dtype(value: Any) -> str:
    return value.dtype.name if is_constant(value) else str(value.dtype)


def _narrowed(before: FreeShape, after: FreeShape) -> FreeShape:
    """A state's shape with those axes fixed that an iteration fixes.

    Raises:
        Unsupported: an iteration changes it.
    """
    pairs = list(zip(before, after, strict=False))
    if len(before) != len(after) or any(n is not None and n != m for n, m in pairs):
        raise Unsupported(f"a state of shape {before} becomes one of shape {after}")
    return tuple(m for _, m in pairs)


def _if(builder: Builder, part: Part) -> Any:
    test, *outside = part.args
    branches: list[Nested] = []
    for name in ("then", "otherwise"):
        branches.append(builder.nested(part.attributes[name], (test, *outside)))
    if is_constant(test):
        raise Unsupported("its condition is a constant")
    inputs = [test, *(value for value in outside if not is_constant(value))]
    return builder.control("Conditional", inputs, then=branches[0], otherwise=branches[1])


WHILE = OpSpec("WHILE", keras=_while)
IF = OpSpec("IF", keras=_if)
CHOICE = OpSpec("CHOICE", roles=("test", "then", "otherwise"), infer_shape=lambda shapes, _: shapes[1])

SPECS = (WHILE, IF, CHOICE)
