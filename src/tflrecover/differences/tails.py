"""A model that ends otherwise than the file, with a new head or with none: the mapping that says so."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence

import networkx as nx
import yaml

from tflrecover import ops
from tflrecover.align import Alignment
from tflrecover.align.view import View
from tflrecover.differences import describe
from tflrecover.ir import Assignment, Difference


def accepting(alignment: Alignment, differences: Sequence[Difference], assignments: Sequence[Assignment]) -> str:
    """Mapping lines under which every difference is wanted; nothing where one of them is not at the end.

    A difference is at the end when no weights are copied to a layer behind it.

    Args:
        alignment: The pairs.
        differences: The roots.
        assignments: What would become of the variables.
    """
    open_ = [difference for difference in differences if not difference.accepted]
    skip = list(dict.fromkeys(a.variable.rpartition("/")[0] for a in assignments if a.state == "unresolved"))
    if not open_ or not set(skip) <= _new_layers(alignment, open_):
        return ""
    if not all(_is_at_the_end(alignment, d, skip) for d in open_):
        return ""
    ambiguous = {describe.layer_of(alignment.keras.ops[k]) for _, ks in alignment.ambiguous for k in ks}
    if not ambiguous <= set(skip):
        return ""
    lines = [f"skip: [{', '.join(map(quoted, skip))}]"] if skip else []
    wanted = [accept_line(d) for d in open_ if d.keras_layer not in skip]
    return "\n".join([*lines, *(["accept:", *dict.fromkeys(wanted)] if wanted else [])])


def _new_layers(alignment: Alignment, differences: Sequence[Difference]) -> set[str]:
    """Layers that differ or have no counterpart; what does not fit only because of those is none of them."""
    keras, paired = alignment.keras, set(alignment.pairs.values())
    named = {difference.keras_layer for difference in differences}
    new = [op for k, op in enumerate(keras.ops) if k not in paired or describe.layer_of(op) in named]
    return set(describe.layers_within(new))


def accept_line(difference: Difference) -> str:
    """The line under ``accept:`` that wants a difference, which has an operator or a layer."""
    place = f'op: "#{difference.tflite_op}"' if difference.keras_layer is None else ""
    what = f"kind: {difference.kind}" if difference.kind != "attribute" else f"attribute: {difference.attribute}"
    return f"  - {{{place or f'layer: {quoted(difference.keras_layer or str())}'}, {what}}}"


def _is_at_the_end(alignment: Alignment, difference: Difference, skip: Collection[str]) -> bool:
    if difference.kind == "shape" or (difference.tflite_op is None and difference.keras_layer is None):
        return False
    file, keras = alignment.file, alignment.keras
    ids = set(difference.operators)
    mine = [f for f, op in enumerate(file.ops) if op.id in ids] or [
        f for f, op in enumerate(file.ops) if describe.file_index(op) == difference.tflite_op
    ]
    theirs = [k for k, op in enumerate(keras.ops) if describe.layer_of(op) == difference.keras_layer]
    back = {k: f for f, k in alignment.pairs.items()}
    behind = {alignment.pairs.get(f) for f in _behind(file, mine)} | {k for k in _behind(keras, theirs) if k in back}
    return not any(_is_copied(keras, k, skip) for k in behind if k is not None and k not in theirs)


def _behind(side: View, nodes: Sequence[int]) -> set[int]:
    ids = {side.ops[node].id for node in nodes}
    found = set().union(*(nx.descendants(side.graph, op_id) for op_id in ids)) if ids else set()
    return {side.number[op_id] for op_id in found - ids if op_id in side.number}


def _is_copied(keras: View, node: int, skip: Collection[str]) -> bool:
    spec = ops.by_name(keras.ops[node].type)
    return spec is not None and bool(spec.weights) and describe.layer_of(keras.ops[node]) not in skip


def match_lines(layers: Sequence[str], places: Sequence[str]) -> str:
    """Lines of a mapping that pair layers with places, one by one.

    A layer of several operators is told by the first of them: what is next to a pair, and the same, follows.
    """
    firsts: dict[str, str] = {}
    for layer, place in zip(layers, places, strict=False):
        firsts.setdefault(layer, place)
    return "\n".join(["match:", *(f"  {quoted(layer)}: {quoted(place)}" for layer, place in firsts.items())])


def quoted(name: str) -> str:
    """A name as YAML takes it, in quotes where it needs them."""
    # A JSON string is a YAML string.
    is_plain = re.fullmatch(r"[A-Za-z_][\w./-]*", name) and yaml.safe_load(name) == name
    return name if is_plain else json.dumps(name, ensure_ascii=False)
