"""Products of two activations over named axes: what a batched matrix product with transposes around it really is."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_letters, ascii_uppercase
from typing import Any

import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops.readers import operands
from tflrecover.ops.spec import Attributes, Builder, Lowered, OpSpec, Part, Source


def canonical_equation(x: str, y: str, out: str) -> str:
    """The equation with axes named in order of appearance."""
    order = dict.fromkeys(x + y + out)
    names = dict(zip(order, ascii_letters, strict=False))
    return f"{rename(x, names)},{rename(y, names)}->{rename(out, names)}"


def rename(axes: str, names: dict[str, str]) -> str:
    """Axes under other names."""
    return "".join(names[axis] for axis in axes)


def sides(equation: str) -> tuple[str, str, str]:
    """``(x, y, out)`` of an equation."""
    left, out = equation.replace(" ", "").split("->")
    x, y = left.split(",")
    return x, y, out


def batched(attributes: Attributes, x: Shape, y: Shape) -> tuple[str, str, str]:
    """``(x, y, out)`` of a batched product; axes of leading size 1 that one operand lacks get no name in common."""
    rank = max(len(x), len(y))
    batch = ascii_letters[: rank - 2]
    rows, inner, columns = tuple(ascii_letters[rank - 2 : rank + 1])
    left, right = batch[rank - len(x) :], batch[rank - len(y) :]
    return (
        left + (inner + rows if attributes["adj_x"] else rows + inner),
        right + (columns + inner if attributes["adj_y"] else inner + columns),
        batch + rows + columns,
    )


def _named(axes: str, rank: int, free: str) -> str:
    """Axes with letters in the place of an ellipsis."""
    hidden = rank - len(axes.replace("...", ""))
    return axes.replace("...", free[len(free) - hidden :])


def _tf(source: Source) -> Lowered | None:
    equation = str(source.attributes.get("equation", "")).replace(" ", "")
    if "->" not in equation or equation.count(",") > 1:
        return None
    # Letters for an ellipsis; its last axis has the last of them on every side.
    free = "".join(letter for letter in ascii_uppercase if letter not in equation)
    left, out = equation.split("->")
    listed = left.split(",")
    given = [_named(axes, len(source.shape(slot)), free) for slot, axes in enumerate(listed)]
    hidden = max(len(named) - len(axes.replace("...", "")) for named, axes in zip(given, listed, strict=True))
    out = _named(out, len(out.replace("...", "")) + hidden, free) if "..." in out else out
    if len(given) == 1:
        is_permuted = sorted(given[0]) == sorted(out) and len(set(out)) == len(out)
        perm = tuple(given[0].index(axis) for axis in out) if is_permuted else ()
        return Lowered("TRANSPOSE", operands(source)[:1], {"perm": perm}) if is_permuted else None
    x, y = given
    if len({*zip(x, source.shape(0), strict=True), *zip(y, source.shape(1), strict=True)}) != len(set(x + y)):
        # An axis of size 1 that broadcasts.
        return None
    return Lowered("EINSUM", operands(source)[:2], {"equation": canonical_equation(x, y, out)})


def _shape(shapes: Sequence[Shape], attributes: Attributes) -> Shape:
    x, y, out = sides(attributes["equation"])
    sizes = dict(zip(x + y, (*shapes[0], *shapes[1]), strict=True))
    return tuple(sizes[axis] for axis in out)


def _keras(builder: Builder, part: Part) -> Any:
    return builder.ops("einsum", part.attributes["equation"], *part.args)


EINSUM = OpSpec(
    "EINSUM",
    keras=_keras,
    evaluate=lambda args, a: [np.einsum(a["equation"], *args)],
    tf={"Einsum": _tf},
    roles=("x", "y"),
    infer_shape=_shape,
    declared=("equation",),
)

SPECS = (EINSUM,)
