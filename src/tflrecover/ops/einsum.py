"""Products of two activations over named axes: what a batched matrix product with transposes around it really is."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_letters

import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops.readers import operands
from tflrecover.ops.spec import Attributes, Lowered, OpSpec, Source


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


def _tf(source: Source) -> Lowered | None:
    equation = str(source.attributes.get("equation", ""))
    if "->" not in equation or equation.count(",") != 1 or "." in equation:
        return None
    return Lowered("EINSUM", operands(source)[:2], {"equation": canonical_equation(*sides(equation))})


def _shape(shapes: Sequence[Shape], attributes: Attributes) -> Shape:
    x, y, out = sides(attributes["equation"])
    sizes = dict(zip(x + y, (*shapes[0], *shapes[1]), strict=True))
    return tuple(sizes[axis] for axis in out)


EINSUM = OpSpec(
    "EINSUM",
    evaluate=lambda args, a: [np.einsum(a["equation"], *args)],
    tf={"Einsum": _tf},
    roles=("x", "y"),
    infer_shape=_shape,
    declared=("equation",),
)

SPECS = (EINSUM,)
