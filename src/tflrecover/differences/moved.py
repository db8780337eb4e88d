"""Layers that stand in another place than in the file: what is missing here is too many there, and is told once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from tflrecover.align import Alignment
from tflrecover.align.view import View
from tflrecover.differences import describe
from tflrecover.differences.describe import LAYOUT
from tflrecover.differences.found import Found
from tflrecover.differences.layers import Layers, class_of
from tflrecover.ir import Difference, Graph, Op, at_operator

# How often there is an operator of a type with so many weights.
Kinds = Counter[tuple[str, int]]

# Arguments that say that another operator stands somewhere.
_OPERATORS = ("layer", "activation")


def moved(alignment: Alignment, found: Sequence[Found], layers: Layers) -> list[Found]:
    """The differences, with what one layer is too many in one place and missing in another told as that.

    Args:
        alignment: The pairs.
        found: What differs.
        layers: The model's layers by path.
    """
    found = _exchanged(alignment, found)
    lacking = [item for item in found if item.is_root and _lacks(item.difference)]
    paired = describe.layers_of(alignment.keras.ops[k] for k in alignment.back)
    surplus = [item for item in found if item.is_root and _is_whole(item.difference, paired)]
    pairs = [
        (one, other)
        for one in lacking
        for other in surplus
        if _wanted(alignment, one.difference) == _had(alignment, other.difference)
    ]
    if len(pairs) != 1:
        # Which of several was moved where nobody can tell.
        return list(found)
    ((here, there),) = pairs
    crossed = _crossed(alignment, here.difference, there.difference)
    told = replace(here, difference=crossed or _told(alignment, here.difference, there.difference, layers), said=None)
    return [told if item is here else item for item in found if item is not there]


def _lacks(difference: Difference) -> bool:
    """Whether something is missing; a bias may be a batch norm that was folded."""
    is_bias = difference.attribute == "use_bias" and difference.tflite_value is True
    return is_bias or (difference.kind == "missing" and bool(difference.operators))


def _is_whole(difference: Difference, paired: Collection[str]) -> bool:
    """Whether one layer is too many, of which the file has nothing elsewhere."""
    is_one = difference.kind == "extra" and difference.layers == (difference.keras_layer,)
    return is_one and difference.keras_layer not in paired


def _wanted(alignment: Alignment, difference: Difference) -> Kinds:
    graph = alignment.file.graph
    if difference.kind == "attribute":
        return Counter({("AFFINE", 0): 1})
    return _kinds(graph, (graph.op(op_id) for op_id in difference.operators if op_id in graph))


def _had(alignment: Alignment, difference: Difference) -> Kinds:
    graph = alignment.keras.graph
    return _kinds(graph, _of_layer(graph, difference.keras_layer))


def _of_layer(graph: Graph, path: str | None) -> Iterator[Op]:
    return (op for op in graph.ops() if describe.layer_of(op) == path)


def _kinds(graph: Graph, ops: Iterable[Op]) -> Kinds:
    """What is computed, with how many weights: not in which shape, and a scaling only where there is nothing else."""
    listed = [op for op in ops if op.type not in LAYOUT]
    main = [op for op in listed if op.type != "AFFINE"]
    return Counter((str(op.type), _weights(graph, op) if main else 0) for op in main or listed)


def _weights(graph: Graph, op: Op) -> int:
    """How many numbers there are in the largest constant of an operator."""
    weights = (graph.values[value].weight for value in op.inputs if value is not None)
    return max((math.prod(weight.shape) for weight in weights if weight is not None), default=0)


def _told(alignment: Alignment, here: Difference, there: Difference, layers: Layers) -> Difference:
    path = there.keras_layer or ""
    file, keras = alignment.file.graph, alignment.keras.graph
    first = next((op_id for op_id in here.operators if op_id in file), None)
    wanted = here.keras_layer if first is None else _before(alignment.file, file.op(first), alignment)
    have = _before(alignment.keras, next(_of_layer(keras, path)))
    places = [f"behind {layer!r}" if layer else "at the start" for layer in (wanted, have)]
    where = _at(here)
    moving = f"move layer {path!r} ({class_of(layers, path)}) {places[0]}"
    message = f"{moving}: the file has it at {where}, the model {places[1]}"
    return replace(
        here,
        kind="wiring",
        message=message,
        keras_layer=path,
        attribute="inputs",
        tflite_value=wanted,
        keras_value=have,
        layers=there.layers,
    )


def _crossed(alignment: Alignment, here: Difference, there: Difference) -> Difference | None:
    """Operands exchanged, where one value is taken twice by one operator, and the other one of the two is scaled."""
    keras, file = alignment.keras, alignment.file
    scalings = {op.id for op in _of_layer(keras.graph, there.keras_layer)}
    for k, f in alignment.back.items():
        mine, theirs = file.operands[f], keras.operands[k]
        are_scaled = [not scalings.isdisjoint(edge.through) for edge in theirs]
        wanted = [not set(here.operators).isdisjoint(edge.through) for edge in mine]
        if any(are_scaled) and are_scaled == wanted[::-1] and len({(e.source, e.slot) for e in theirs}) == 1:
            takes = f"the file's {describe.in_file(file, file.ops[f])} takes them in the other order"
            asked = f"exchange the inputs of {describe.in_keras(keras.ops[k])}"
            path = describe.layer_of(keras.ops[k])
            told = replace(here, kind="wiring", message=f"{asked}: {takes}", keras_layer=path, attribute="inputs")
            return replace(
                told, tflite_op=describe.file_index(file.ops[f]), tflite_type=describe.file_type(file.ops[f])
            )
    return None


def _before(side: View, op: Op, alignment: Alignment | None = None) -> str | None:
    """The layer of the model in front of an operator of either side, past scalings."""
    graph = side.graph
    while True:
        source = next(iter(graph.predecessors(op.id)), None)
        if source is None:
            return None
        op = graph.op(source)
        if op.type == "AFFINE" or op.type in LAYOUT:
            continue
        if alignment is None:
            return describe.last_layer_of(op, graph)
        k = alignment.pairs.get(side.number[op.id])
        return None if k is None else describe.last_layer_of(alignment.keras.ops[k], alignment.keras.graph)


def _at(difference: Difference) -> str:
    return at_operator(difference.tflite_op, difference.tflite_type, difference.tflite_name or "")


def _exchanged(alignment: Alignment, found: Sequence[Found]) -> list[Found]:
    """Two layers in a row of which each is where the file has the other are one difference."""
    keras = alignment.keras
    listed = list(found)
    for item in found:
        d = item.difference
        if d.attribute not in _OPERATORS or d.keras_layer is None or item not in listed:
            continue
        for other in listed:
            e = other.difference
            is_turned = (d.tflite_value, d.keras_value) == (e.keras_value, e.tflite_value)
            if other is item or not is_turned or not _follows(keras, d.keras_layer, e.keras_layer):
                continue
            order = f"the file has {_at(d)} and {_at(e)} in that order"
            message = f"put layer {e.keras_layer!r} before layer {d.keras_layer!r}: {order}"
            told = replace(
                d,
                kind="wiring",
                message=message,
                attribute="inputs",
                consequences=(*d.consequences, *e.consequences),
                operators=(*d.operators, *e.operators),
                layers=(d.keras_layer, e.keras_layer or ""),
            )
            listed = [
                replace(item, difference=told, is_root=item.is_root or other.is_root) if one is item else one
                for one in listed
                if one is not other
            ]
            break
    return listed


def _follows(keras: View, first: str, second: str | None) -> bool:
    """Whether a layer of the model takes what another one makes."""
    graph = keras.graph
    return any(first in _makers(graph, op) for op in _of_layer(graph, second))


def _makers(graph: Graph, op: Op) -> set[str | None]:
    """The layers of what an operator takes, past scalings and reshapes."""
    found: set[str | None] = set()
    for source in graph.predecessors(op.id):
        before = graph.op(source)
        found |= _makers(graph, before) if before.type == "AFFINE" or before.type in LAYOUT else {None}
        found.add(describe.layer_of(before))
    return found
