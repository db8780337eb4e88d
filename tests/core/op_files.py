"""What an example of an operator is: the operands of a file that holds just this one, and its options."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

RNG = np.random.default_rng(7)
SAME, VALID = schema.Padding.SAME, schema.Padding.VALID


@dataclass(frozen=True)
class Given:
    """An operand that is fed when the file runs."""

    array: Any


@dataclass(frozen=True)
class Example:
    """What one operator is given.

    Attributes:
        operands: In the file's order; ``Given`` or a constant; None where one is left out.
        options: Name of the options' table without ``Options``, or "" for none.
        fields: Its fields.
        results: How many results there are.
        kind: Type of the results; a tuple for one each.
        version: The oldest version of the builtin that LiteRT has.
    """

    operands: tuple[Any, ...]
    options: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    results: int = 1
    kind: str | tuple[str, ...] = "float32"
    version: int = 1


def real(*shape: int, low: float = 0.5, high: float = 2.0) -> np.ndarray:
    """Random numbers in float32."""
    return RNG.uniform(low, high, shape).astype(np.float32)


def whole(*numbers: Any) -> np.ndarray:
    """Indices, sizes and axes."""
    return np.array(numbers, np.int32)


def flags(*shape: int) -> np.ndarray:
    """Random booleans, of both kinds."""
    array = RNG.uniform(size=shape) > 0.5
    array.flat[0], array.flat[-1] = True, False
    return array
