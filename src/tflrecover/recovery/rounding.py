"""Keeps what a quantized file does to its activations: each is rounded to what its tensor can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tflrecover.ir import Op, Value
from tflrecover.ops.quantize import LIMITS
from tflrecover.rewrite.draft import Draft

# Operators that move numbers or choose among them: on one grid from the first operand to the result they round nothing.
_MOVES = frozenset(
    [
        "BATCH_TO_SPACE_ND",
        "CONCATENATION",
        "DEPTH_TO_SPACE",
        "GATHER",
        "GATHER_ND",
        "IDENTITY",
        "MAXIMUM",
        "MAX_POOL_2D",
        "MINIMUM",
        "MIRROR_PAD",
        "PACK",
        "PAD",
        "RELU",
        "RESHAPE",
        "RESIZE_NEAREST_NEIGHBOR",
        "REVERSE_V2",
        "SELECT_V2",
        "SPACE_TO_BATCH_ND",
        "SPACE_TO_DEPTH",
        "STRIDED_SLICE",
        "TILE",
        "TRANSPOSE",
    ]
)
# How kernels round, those of XNNPACK where it has one; all others to the even number of steps. Averages and resizes
# divide integers by a small number, so that many results lie in the middle.
_KERNELS: Mapping[str, str] = {
    "ADD": "up",
    "AVERAGE_POOL_2D": "away",
    "RESIZE_BILINEAR": "up",
    "SQRT": "down",
    "SUB": "up",
}
# The ends of loops and of what is kept between calls make no numbers.
_ENDS = frozenset(["LOOP", "END_LOOP", "STATE", "NEXT_STATE"])


def keep_rounding(draft: Draft) -> None:
    """``y`` becomes ``ROUNDED(y)`` wherever the file stores ``y`` as an integer with one scale, or fakes that."""
    for op in draft.ordered("IDENTITY"):
        if op.attributes:
            draft.replace(op.evolve(type="ROUNDED"))
    for value in draft.inputs:
        if grid := _grid(draft.values[value]):
            one = draft.values[value]
            rounded = draft.new_value(one.shape, "float32")
            draft.redirect(value, rounded)
            draft.add(Op(f"{value}.rounded", "ROUNDED", (value,), (rounded,), grid))
    for op in draft.ordered():
        grids = [_grid(draft.values[value]) for value in op.outputs]
        if op.type in _ENDS or op.id in draft.opaque or not any(grids) or op.type == "ROUNDED" or _moves(draft, op):
            continue
        outputs = [_before(draft, value) if grid else value for value, grid in zip(op.outputs, grids, strict=True)]
        draft.replace(op.evolve(outputs=tuple(outputs)))
        rounding = _KERNELS.get(str(op.type))
        for made, value, grid in zip(outputs, op.outputs, grids, strict=True):
            if grid:
                grid |= {} if rounding is None else {"rounding": rounding}
                draft.add(Op(f"{value}.rounded", "ROUNDED", (made,), (value,), grid, op.layer, op.origins))


def _before(draft: Draft, value: int) -> int:
    """A value for what is rounded. It takes the name, and the layer that rounds is named after its class."""
    one = draft.values[value]
    draft.values[value] = replace(one, name="")
    return draft.new_value(one.shape, "float32", one.name)


def _grid(value: Value) -> dict[str, Any]:
    """What a tensor can hold, as attributes of ROUNDED; empty where it is real, or has a scale per channel."""
    found, limits = value.quantization, LIMITS.get(str(value.dtype))
    if found is None or limits is None or found.scale.size != 1 or value.weight is not None:
        return {}
    zero = int(found.zero_point[0]) if found.zero_point.size else 0
    return {"scale": float(found.scale[0]), "zero_point": zero, "axis": 0, "low": limits[0], "high": limits[1]}


def _moves(draft: Draft, op: Op) -> bool:
    values = [draft.values[value] for value in (*op.inputs, *op.outputs) if value is not None]
    grids = [_grid(replace(value, weight=None)) for value in values]
    return op.type in _MOVES and all(grid == grids[0] for grid in grids)
