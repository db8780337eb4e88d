"""Layout changes of weights: einops notation is the documentation and the program."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import einops
import numpy as np

from tflrecover.ops.spec import Attributes, OpSpec
from tflrecover.weight import Apply, Array, Weight


def _evaluate(args: Sequence[Array], attributes: Attributes) -> list[Array]:
    return [einops.rearrange(args[0], attributes["pattern"], **attributes["axes"])]


def invert(pattern: str) -> str:
    """``"o h w i -> h w i o"`` becomes ``"h w i o -> o h w i"``."""
    left, right = (side.strip() for side in pattern.split("->"))
    return f"{right} -> {left}"


def _inverse(slot: int, target: Array, args: Sequence[Array], attributes: Attributes) -> Array:
    return np.asarray(einops.rearrange(target, invert(attributes["pattern"]), **attributes["axes"]))


REARRANGE = OpSpec("REARRANGE", evaluate=_evaluate, inverse=_inverse)


@functools.lru_cache(maxsize=4096)
def _shape(shape: tuple[int, ...], pattern: str, axes: tuple[tuple[str, int], ...]) -> tuple[int, ...]:
    # A stride-0 view has the shape and costs nothing; einops then does the arithmetic on names.
    ghost = np.broadcast_to(np.zeros((), np.bool_), shape)
    return tuple(einops.rearrange(ghost, pattern, **dict(axes)).shape)


def rearrange(weight: Weight, pattern: str, **axes: int) -> Apply:
    """``weight`` in another layout.

    Args:
        weight: The expression.
        pattern: einops pattern.
        axes: Lengths that the pattern alone does not give.
    """
    shape = _shape(weight.shape, pattern, tuple(sorted(axes.items())))
    attributes: dict[str, Any] = {"pattern": pattern, "axes": axes}
    return Apply(shape, weight.dtype, REARRANGE, (weight,), attributes)
