"""What only brings tensors into another shape on one side: a fault, or where a reshape happens to stand."""

from __future__ import annotations

from collections.abc import Iterator

from tflrecover.align import Alignment
from tflrecover.align.view import View, shape_of
from tflrecover.differences import describe
from tflrecover.differences.layers import Layers, class_of
from tflrecover.differences.regions import Region
from tflrecover.ir import Op

# Layers that are there for another shape.
_SHAPING = ("Reshape", "Flatten", "Permute")


def is_shift(side: View, region: Region, layers: Layers, has_moved: bool = True) -> bool:
    """Whether a region only gives tensors another shape, and no layer is there to do that, or the file has it too.

    Where that stands depends on the operators beside it, so that it moves when those are others.
    """
    listed = [side.ops[node] for node in region.nodes]
    classes = {class_of(layers, describe.layer_of(op)) for op in listed}
    return all(op.type == "RESHAPE" for op in listed) and (has_moved or classes.isdisjoint(_SHAPING))


def makes_other_rows(alignment: Alignment, region: Region) -> bool:
    """Whether what a region gives has another last axis than what the model has in its place, made of the same value.

    Whatever is done to each row by itself, where a reshape stands does not change what a row is.
    """
    file, keras = alignment.file, alignment.keras
    for node in region.nodes:
        made = shape_of(file.graph, file.ops[node].outputs[0])
        for taker, position, _ in file.consumers[node]:
            if taker not in alignment.pairs:
                continue
            edge = keras.operands[alignment.pairs[taker]][position]
            before = file.operands[node][0].source
            if edge.source >= 0 and alignment.pairs.get(before) == edge.source:
                own = [
                    shape_of(side.graph, side.ops[n].outputs[0]) for side, n in ((file, before), (keras, edge.source))
                ]
                if own[0] == own[1] and made[-1:] != own[1][-1:]:
                    return True
    return False


def is_brought_to_others(alignment: Alignment, f: int, k: int) -> bool:
    """Whether a resize brings an image to the size of what it is joined with, which is another on either side."""
    file, keras = alignment.file, alignment.keras
    if not str(file.ops[f].type).startswith("RESIZE"):
        return False
    pairs = [(f, k)] + [
        (edge.source, alignment.pairs[edge.source])
        for taker, _, _ in file.consumers[f]
        if taker in alignment.pairs and k in {user.source for user in keras.operands[alignment.pairs[taker]]}
        for edge in file.operands[taker]
        if edge.source in alignment.pairs and edge.source != f
    ]
    own, *others = [
        tuple(shape_of(side.graph, side.ops[n].outputs[0])[1:3] for side, n in ((file, one), (keras, other)))
        for one, other in pairs
    ]
    return own[0] != own[1] and own in others


def has_as_many(alignment: Alignment) -> bool:
    """Whether the file has as many reshapes without a counterpart as the model."""
    mine = sum(op.type == "RESHAPE" and f not in alignment.pairs for f, op in enumerate(alignment.file.ops))
    return mine >= sum(op.type == "RESHAPE" and k not in alignment.back for k, op in enumerate(alignment.keras.ops))


def on_other_shapes(alignment: Alignment) -> Iterator[Op]:
    """Operators of the model that take other shapes than their counterparts in the file."""
    file, keras = alignment.file, alignment.keras
    for f, k in alignment.pairs.items():
        mine, theirs = file.ops[f], keras.ops[k]
        if [shape_of(file.graph, v) for v in mine.inputs[:1]] != [shape_of(keras.graph, v) for v in theirs.inputs[:1]]:
            yield theirs
