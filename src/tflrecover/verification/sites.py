"""Places that the file and the model both can show, and what lies between them."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tflrecover.comparison import Comparison
from tflrecover.comparison.inputs import end_names
from tflrecover.differences import describe
from tflrecover.ir import Graph, Op
from tflrecover.rewrite.common import freeze


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A tensor of the file and the value of the trace that is taken for it.

    Attributes:
        tensor: Index in the file.
        value: Id in the trace.
        op: Index of the operator in the file.
        type: Its type.
        name: Name of the tensor.
        layer: Keras layer path.
        output: Names of the file's outputs that it is; None: it is none.
    """

    tensor: int
    value: int
    op: int
    type: str | int
    name: str
    layer: str | None
    output: str | None = None


def sites(comparison: Comparison) -> tuple[list[Site], tuple[str, ...]]:
    """Every site in file order, each tensor and each value once, and notes on what has none."""
    alignment, source = comparison.alignment, comparison.file.graph.values
    traced = comparison.trace.tensors
    found: dict[int, Site] = {}
    hidden = 0
    for match in comparison.matches:
        f, k = alignment.file.graph.op(match.tflite), alignment.keras.graph.op(match.keras)
        mine, theirs = f.outputs[0], k.outputs[0]
        if mine in source and theirs in traced:
            name = describe.file_name(alignment.file, f)
            place = describe.file_index(f) or 0, describe.file_type(f), name, describe.layer_of(k)
            found.setdefault(theirs, Site(mine, theirs, *place))
        else:
            # The sum before an activation that the file has fused is nowhere in the file.
            hidden += 1
    notes = [f"{hidden} operators have no tensor of their own in the file (fused) and are covered by the next one."]
    lost = _name_outputs(comparison, found)
    if lost:
        notes.append(f"Outputs {lost} of the file have no counterpart in the model and were not compared.")
    listed = sorted(found.values(), key=lambda site: (site.op, site.tensor))
    return listed, tuple(notes[not hidden :])


def _name_outputs(comparison: Comparison, found: dict[int, Site]) -> list[str]:
    """Notes which sites are outputs of the file, adds those that no operator stands for; returns what is left."""
    graph, traced, alignment = comparison.file.graph, comparison.trace.tensors, comparison.alignment
    producers = {value: op for op in graph.ops() for value in op.outputs}
    lost = []
    for i, given in enumerate(end_names(comparison.file, "outputs")):
        # As a mapping would call one that has no name.
        name = given or f"#{i}"
        j = alignment.outputs.get(i)
        ends = () if j is None else (alignment.keras.graph.outputs[j], comparison.trace.source.outputs[j])
        theirs = next((value for value in ends if value in traced), None)
        if theirs is None:
            lost.append(name)
            continue
        # What stands behind the canonical output (a DEQUANTIZE) only changes how numbers are stored.
        mine = next(v for v in (alignment.file.graph.outputs[i], graph.outputs[i]) if v in graph.values)
        op = producers.get(mine)
        index, kind = (int(op.id), op.type) if op is not None else (0, "INPUT")
        site = found.setdefault(theirs, Site(mine, theirs, index, kind, graph.values[mine].name, None))
        found[theirs] = replace(site, output=name if site.output is None else f"{site.output}, {name}")
    return lost


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """What lies right before a value.

    Attributes:
        operands: The nearest values that both sides can show.
        ops: The operators from there to the value.
    """

    operands: tuple[int, ...]
    ops: tuple[Op, ...]


def regions(graph: Graph, stops: Collection[int], targets: Iterable[int]) -> dict[int, Region]:
    """The region before each target.

    Args:
        graph: As read or traced.
        stops: Values at which regions begin.
        targets: Values at which they end.
    """
    producers = {value: op for op in graph.ops() for value in op.outputs}
    return {target: _region(producers, stops, target) for target in targets}


def _region(producers: Mapping[int, Op], stops: Collection[int], target: int) -> Region:
    operands: dict[int, None] = {}
    ops: dict[int | str, Op] = {}
    stack = [target]
    while stack:
        op = producers.get(stack.pop())
        if op is None or op.id in ops:
            continue
        ops[op.id] = op
        for value in op.inputs:
            if value is None:
                continue
            if value in stops:
                operands[value] = None
            else:
                stack.append(value)
    return Region(tuple(operands), tuple(ops.values()))


def lone(graph: Graph) -> set[int]:
    """Values that are all that anybody takes of their operator: what a run can be given instead of it."""
    used = {value for op in graph.ops() for value in op.inputs} | set(graph.outputs)
    many = (op for op in graph.ops() if len(op.outputs) > 1)
    several = {v for op in many if len(used & set(op.outputs)) > 1 for v in op.outputs}
    return set(graph.values) - several


def repeats(graph: Graph) -> dict[int, int]:
    """Value to the first that is computed in the same way, for all that repeat another.

    Both sides merge such operators before they are aligned, so that only one of them has a partner.
    """
    first: dict[int, int] = {}
    alone: dict[Hashable, Op] = {}
    made: dict[Hashable, Op] = {}
    for op in graph.ops():
        taken = op.type, tuple([first.get(v, v) if v is not None else None for v in op.inputs])
        # Attributes are looked at only where another of the type takes the same.
        other = alone.setdefault(taken, op)
        if other is op:
            continue
        made.setdefault((taken, freeze(other.attributes)), other)
        same = made.setdefault((taken, freeze(op.attributes)), op)
        if same is not op:
            first.update(zip(op.outputs, same.outputs, strict=False))
    return first


def independent(found: Mapping[int, Region]) -> list[list[int]]:
    """Targets in groups; no target of a group lies right before another, so that all can be computed in one run."""
    neighbours: dict[int, set[int]] = {target: set() for target in found}
    for target, region in found.items():
        for operand in region.operands:
            if operand in neighbours:
                neighbours[target].add(operand)
                neighbours[operand].add(target)
    group: dict[int, int] = {}
    for target in found:
        taken = {group[other] for other in neighbours[target] if other in group}
        group[target] = next(i for i in range(len(found)) if i not in taken)
    members: list[list[int]] = [[] for _ in range(max(group.values(), default=-1) + 1)]
    for target, number in group.items():
        members[number].append(target)
    return members


def batches(groups: Iterable[Sequence[int]], sizes: Mapping[int, int], most: int) -> Iterator[list[int]]:
    """Groups cut into parts of which the sizes add up to ``most``, or of one member that is larger."""
    for group in groups:
        part: list[int] = []
        total = 0
        for member in group:
            if part and total + sizes[member] > most:
                yield part
                part, total = [], 0
            part.append(member)
            total += sizes[member]
        if part:
            yield part


def fits(count: int, shape: Sequence[int | None]) -> bool:
    """Whether a tensor of the trace can hold that many elements."""
    return None not in shape and count == int(np.prod([int(n or 0) for n in shape]))
