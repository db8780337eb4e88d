"""Operators without a counterpart, gathered into regions: one region, one cause."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tflrecover.align import Alignment
from tflrecover.align.view import INPUT, OUTPUT, Edge, View
from tflrecover.differences.describe import LAYOUT


@dataclass(frozen=True, slots=True)
class Region:
    """Connected open nodes of one side.

    Attributes:
        nodes: In topological order.
        sources: Matched nodes that lead into it, as nodes of the file; ``-1 - i`` for input ``i`` of the file.
        targets: Matched nodes that it leads to, likewise; ``-1 - i`` for output ``i`` of the file.
        values: Like ``sources``, where what only brings a value into another shape is seen through.
    """

    nodes: tuple[int, ...]
    sources: frozenset[int]
    targets: frozenset[int]
    values: frozenset[int]


def regions(
    side: View, matched: Mapping[int, int], inputs: Mapping[int, int], outputs: Mapping[int, int]
) -> list[Region]:
    """Regions of one side, in order.

    Args:
        side: The graph.
        matched: Matched node to node of the file.
        inputs: Input number to input number of the file.
        outputs: Output number to output number of the file.
    """
    open_ = [i for i in range(len(side)) if i not in matched]
    group: dict[int, int] = {}

    def root(node: int) -> int:
        while group.setdefault(node, node) != node:
            group[node] = group[group[node]]
            node = group[node]
        return node

    for node in open_:
        root(node)
        for edge in side.operands[node]:
            if edge.source >= 0 and edge.source not in matched:
                group[root(node)] = root(edge.source)
    members: dict[int, list[int]] = {}
    for node in open_:
        members.setdefault(root(node), []).append(node)
    return [_region(side, nodes, matched, inputs, outputs) for nodes in members.values()]


def _region(
    side: View, nodes: list[int], matched: Mapping[int, int], inputs: Mapping[int, int], outputs: Mapping[int, int]
) -> Region:
    before = [edge for node in nodes for edge in side.operands[node] if edge.source not in nodes]
    sources, values = (
        {found for edge in edges if (found := _in_the_file(edge, matched, inputs)) is not None}
        for edges in (before, [_unshaped(side, edge, matched) for edge in before])
    )
    targets: set[int] = set()
    for node in nodes:
        for consumer, position, _ in side.consumers[node]:
            if consumer == OUTPUT:
                targets.update({-1 - outputs[position]} if position in outputs else ())
            elif consumer in matched:
                targets.add(matched[consumer])
    return Region(tuple(nodes), frozenset(sources), frozenset(targets), frozenset(values))


def _in_the_file(edge: Edge, matched: Mapping[int, int], inputs: Mapping[int, int]) -> int | None:
    if edge.source == INPUT and edge.slot in inputs:
        return -1 - inputs[edge.slot]
    return matched.get(edge.source)


def _unshaped(side: View, edge: Edge, matched: Mapping[int, int]) -> Edge:
    """Where a value comes from before it was brought into another shape."""
    while edge.source in matched and side.ops[edge.source].type in LAYOUT:
        edge = side.operands[edge.source][0]
    return edge


def open_regions(alignment: Alignment) -> tuple[list[Region], list[Region]]:
    """Regions of the file and of Keras, both told in the file's numbers."""
    back = {k: f for f, k in alignment.pairs.items()}
    into = {k: f for f, k in alignment.inputs.items()}
    out = {k: f for f, k in alignment.outputs.items()}
    identity = {f: f for f in alignment.pairs}
    return (
        regions(alignment.file, identity, {i: i for i in into.values()}, {i: i for i in out.values()}),
        regions(alignment.keras, back, into, out),
    )


def region_of(alignment: Alignment, node: int) -> Region:
    """One node of the file, which has no counterpart but by its place, as a region."""
    rest = {f: f for f in alignment.pairs if f != node}
    return next(region for region in regions(alignment.file, rest, {}, {}) if node in region.nodes)


def replacements(mine: Collection[Region], theirs: Collection[Region]) -> list[tuple[Region, Region]]:
    """Regions that fill the same hole on both sides; then those that do but for where a reshape stands."""
    taken: set[int] = set()
    pairs = []
    for ends in (_hole, _hole_of_values):
        for region in mine:
            found = [other for other in theirs if id(other) not in taken and ends(other) == ends(region)]
            if len(found) == 1 and any(ends(region)) and id(region) not in taken:
                taken.update((id(region), id(found[0])))
                pairs.append((region, found[0]))
    return pairs


def _hole(region: Region) -> tuple[frozenset[int], frozenset[int]]:
    return region.sources, region.targets


def _hole_of_values(region: Region) -> tuple[frozenset[int], frozenset[int]]:
    return region.values, region.targets
