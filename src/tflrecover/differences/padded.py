"""A border that the file makes before a window, where the model's window pads itself: one difference of the window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tflrecover.align import Alignment
from tflrecover.differences.describe import LAYOUT
from tflrecover.differences.found import Found
from tflrecover.ir import Op
from tflrecover.ops import by_name


def padded(alignment: Alignment, found: Sequence[Found]) -> list[Found]:
    """The differences, with a border that is missing told with the padding that stands in its place.

    Args:
        alignment: The pairs.
        found: What differs.
    """
    listed = list(found)
    told_of: set[int | str] = set()
    for item in found:
        d = item.difference
        if d.kind != "attribute" or d.attribute != "padding" or d.tflite_value != "valid":
            continue
        border = _border(alignment, item.place)
        if border is None:
            continue
        at = next((i for i, one in enumerate(listed) if _is_only(alignment, one, border)), None)
        if at is None and border.id not in told_of:
            continue
        told_of.add(border.id)
        under = () if at is None else (listed.pop(at).difference,)
        message = f"put {_called(border)} before layer {d.keras_layer!r} and {d.message}"
        told = replace(d, message=message, consequences=(*d.consequences, *under))
        listed[listed.index(item)] = replace(item, difference=told)
    return listed


def _border(alignment: Alignment, node: int) -> Op | None:
    """What pads in the file before a window, and has no counterpart."""
    file = alignment.file
    while (edges := file.operands[node]) and edges[0].source >= 0:
        node = edges[0].source
        op = file.ops[node]
        spec = by_name(op.type)
        if spec is not None and spec.family == "pad":
            return None if node in alignment.pairs else op
        if op.type not in LAYOUT:
            break
    return None


def _is_only(alignment: Alignment, item: Found, border: Op) -> bool:
    """Whether a difference is that a border is missing, and nothing else."""
    graph = alignment.file.graph
    kinds = {op_id: graph.op(op_id).type for op_id in item.difference.operators if op_id in graph}
    rest = {kind for op_id, kind in kinds.items() if op_id != border.id}
    return item.difference.kind == "missing" and border.id in kinds and rest <= set(LAYOUT)


def _called(border: Op) -> str:
    mode, amounts = str(border.attributes.get("mode", "constant")).lower(), border.attributes["padding"]
    return f"`keras.ops.pad(x, {amounts}, mode={mode!r})`"
