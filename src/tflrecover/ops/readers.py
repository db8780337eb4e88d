"""Small readers that many operators share; an operator with more to say has its own in the file of its family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tflrecover.ops.spec import Lowered, Operand, Reader, Source, Writer


def operands(source: Source) -> tuple[Operand, ...]:
    """Every operand: constants as expressions, the rest as value ids."""
    return tuple(operand(source, slot) for slot in range(len(source.inputs)))


def operand(source: Source, slot: int) -> Operand:
    """One operand: a constant as expression, an activation as value id; None when it is left out."""
    if slot >= len(source.inputs):
        return None
    return source.weight(slot) or source.inputs[slot]


def activation(source: Source) -> str | None:
    """Canonical type of the activation that TFLite fused behind the operator."""
    fused = source.attributes.get("fused_activation_function", "NONE")
    return None if fused in ("NONE", 0, None) else str(fused)


def activated(write: Writer, name: object, x: int) -> int:
    """A value behind the activation that an operator has fused."""
    return x if name in ("NONE", None) else write(str(name), x)[0]


def plain(name: str, **renamed: str) -> Reader:
    """Takes the operands as they are and, from the attributes, those named: ``canonical="dialect"``."""

    def read(source: Source) -> Lowered:
        attributes = {new: source.attributes.get(old) for new, old in renamed.items()}
        return Lowered(name, operands(source), attributes, activation(source))

    return read


def axes_of(value: Any, rank: int) -> tuple[int, ...]:
    """Axes as a sorted tuple of non-negative numbers."""
    return tuple(sorted(int(axis) % max(rank, 1) for axis in np.atleast_1d(value)))


def with_constants(
    name: str, constants: dict[int, str], convert: Callable[[Source, dict[str, Any]], dict[str, Any]] = lambda _, a: a
) -> Reader:
    """Moves structural operands into attributes: ``{slot: attribute}``; opaque when one is not a constant.

    Args:
        name: Canonical type.
        constants: Operand slot to attribute name.
        convert: Brings the attributes into canonical terms.
    """

    def read(source: Source) -> Lowered | None:
        found: dict[str, Any] = {}
        for slot, attribute in constants.items():
            value = source.constant(slot) if slot < len(source.inputs) else None
            if value is None:
                return None
            found[attribute] = value
        rest = tuple(operand(source, slot) for slot in range(len(source.inputs)) if slot not in constants)
        return Lowered(name, rest, convert(source, found), activation(source))

    return read
