"""Arguments that another layer before or behind has, such as the strides of a block: told once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import networkx as nx

from tflrecover.align import Alignment
from tflrecover.differences import describe
from tflrecover.differences.found import Found
from tflrecover.ir import Difference, at_operator

# What stands between a layer and what is said of it.
_BECAUSE = ": the file has "


def exchanged(alignment: Alignment, found: Sequence[Found]) -> list[Found]:
    """The differences, with those of two layers told as one where the one has what the other should have.

    Args:
        alignment: The pairs.
        found: What differs.
    """
    listed = list(found)
    for item in found:
        if item not in listed or not item.is_root or item.difference.kind != "attribute":
            continue
        turned = next((other for other in _behind(alignment, item, listed) if _is_turned(item, other)), None)
        beside = next((other for other in listed if _makes_up_for(alignment, item, other)), None)
        if turned is not None:
            told = _told(alignment, item, turned)
        elif beside is not None:
            told = _with_argument(beside.difference, item.difference)
        else:
            continue
        gone = turned or beside
        listed = [replace(item, difference=told) if one is item else one for one in listed if one is not gone]
    return listed


def _behind(alignment: Alignment, item: Found, found: Sequence[Found]) -> list[Found]:
    """Differences of operators that an operator of the file leads to, the nearest first."""
    file = alignment.file
    places = {other.place: file.ops[other.place].id for other in (item, *found) if 0 <= other.place < len(file)}
    if item.place not in places:
        return []
    apart = nx.single_source_shortest_path_length(file.graph, places[item.place])
    reached = [other for other in found if other is not item and places.get(other.place) in apart]
    return sorted(reached, key=lambda other: apart[places[other.place]])


def _is_turned(item: Found, other: Found) -> bool:
    """Whether two layers have each other's value of an argument."""
    d, e = item.difference, other.difference
    names = {d.keras_layer, e.keras_layer}
    is_pair = other.is_root and e.kind == "attribute" and len(names) == 2 and None not in names
    return is_pair and (d.attribute, d.tflite_value, d.keras_value) == (e.attribute, e.keras_value, e.tflite_value)


def _told(alignment: Alignment, item: Found, other: Found) -> Difference:
    d, e = item.difference, other.difference
    values = (f"{describe.show(one.tflite_value)} at {_at(one)}" for one in (d, e))
    message = (
        f"exchange `{d.attribute}` of layers {d.keras_layer!r} and {e.keras_layer!r}{_BECAUSE}{' and '.join(values)}, "
        "the model has it the other way round"
    )
    operators = tuple(alignment.file.ops[one.place].id for one in (item, other))
    return replace(d, message=message, consequences=(*d.consequences, e), operators=operators)


def _at(difference: Difference) -> str:
    return at_operator(difference.tflite_op, difference.tflite_type, difference.tflite_name or "")


def _makes_up_for(alignment: Alignment, item: Found, other: Found) -> bool:
    """Whether a layer's argument is another because a layer beside it stands on one side alone.

    That is a window that goes in steps in its place, or what moves the axes that it makes.
    """
    d, e = item.difference, other.difference
    if not other.is_root or item.place not in alignment.pairs:
        return False
    if e.kind == "missing":
        side, node, ids, value = alignment.file, item.place, set(e.operators), d.keras_value
    elif e.kind == "extra" and len(e.layers) == 1:
        side, node, value = alignment.keras, alignment.pairs[item.place], d.tflite_value
        ids = {op.id for op in side.ops if describe.layer_of(op) == e.keras_layer}
    else:
        return False
    if len(ids) != 1:
        return False
    if d.attribute == "target_shape":
        behind = (side.ops[user] for user, _, _ in side.consumers[node] if user >= 0)
        return any(op.type == "TRANSPOSE" and op.id in ids for op in behind)
    source = side.operands[node][0].source
    before = side.ops[source if source >= 0 else node]
    return d.attribute == "strides" and before.id in ids and before.attributes.get("strides") == value


def _with_argument(e: Difference, d: Difference) -> Difference:
    what, because, why = e.message.partition(_BECAUSE)
    asked = d.message.partition(_BECAUSE)[0]
    return replace(e, message=f"{what} and {asked}{because}{why}", consequences=(*e.consequences, d))
