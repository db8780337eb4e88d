"""Batch norms and other scalings that stand on one side only."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from tflrecover.align import Alignment
from tflrecover.align.links import Link
from tflrecover.differences import describe
from tflrecover.differences.found import Found
from tflrecover.differences.layers import Layers


def unmatched(alignment: Alignment, layers: Layers, taken: Collection[int]) -> Iterator[Found]:
    """Batch norms and scalings that stand on one side only."""
    file, keras = alignment.file, alignment.keras
    common = {op_id for link in alignment.links if not link.is_odd for op_id in (*link.file, *link.keras)}
    seen: set[int | str] = set()
    for link in alignment.odd:
        alone = [op_id for op_id in (*link.file, *link.keras) if op_id not in seen]
        # An operator that is paired on another edge stands in the wrong place; any other is one too many.
        for op_id in [op_id for op_id in alone if op_id not in common] or alone:
            op = (file if link.file else keras).graph.op(op_id)
            told = (
                describe.missing(file, [op], _at_link(alignment, link))
                if link.file
                else describe.extra(keras, [op], layers)
            )
            operators = (op_id,) if link.file else ()
            place = min(link.place, len(file))
            follows = link.source in taken or _is_behind_open(alignment, link.source)
            follows = follows or _is_behind_another(alignment, link.source)
            yield Found(place, replace(told, operators=operators), not follows)
        seen.update(alone)


def _at_link(alignment: Alignment, link: Link) -> str:
    """Behind which layer an edge is; before which, where it comes from an input, or what takes it begins before it."""
    keras = alignment.keras
    source = keras.ops[link.source] if link.source >= 0 else None
    layer = None if source is None else describe.last_layer_of(source, keras.graph)
    taker = describe.layer_of(keras.graph.op(link.target[1])) if link.target is not None else None
    if taker is not None and (source is None or (source.type in describe.LAYOUT and layer == taker)):
        return f" before {taker!r}"
    return f" after {layer!r}" if layer else ""


def _is_behind_another(alignment: Alignment, node: int) -> bool:
    """Whether a node of Keras, or what it multiplies, stands in the place of another operator of the file.

    A function that is written with a factor behind is told as the operator that it is besides.
    """
    keras = alignment.keras
    factors = [edge.source for edge in keras.operands[node]] if node >= 0 and keras.ops[node].type == "MUL" else []
    pairs = ((k, alignment.back[k]) for k in (node, *factors) if k in alignment.back)
    return any(alignment.file.ops[f].type != keras.ops[k].type for k, f in pairs)


def _is_behind_open(alignment: Alignment, node: int) -> bool:
    """Whether a node of Keras only shapes what, in the file, comes from an operator without a counterpart."""
    file, f = alignment.file, alignment.back.get(node, -1)
    while f in alignment.pairs and file.ops[f].type in describe.LAYOUT:
        f = file.operands[f][0].source
        if f >= 0 and f not in alignment.pairs:
            return True
    return False
