"""Outputs and inputs that nothing but their order tells apart.

``output_2`` of a signature means the model's output 2, if the model was built by the same code. That is used, but it is
no proof: where another pairing would fit as well, it is told, and names in the file that contradict it are told too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tflrecover.align.alignment import Alignment, align
from tflrecover.align.pins import Pins
from tflrecover.align.view import View
from tflrecover.ir import Graph

# Steps that decide by names, or not at all.
_UNSURE = ("names", "counted names", "symmetry")
_AUTOMATIC = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Za-z])(?=[A-Z][a-z])")


@dataclass(frozen=True, slots=True)
class ByOrder:
    """Pairs of ends that only their order tells apart, file number to Keras number.

    Attributes:
        inputs: Pairs of inputs.
        outputs: Pairs of outputs.
        named_inputs: Pairs of inputs that the file's names speak for instead; empty where they do not.
        named_outputs: Likewise of outputs.
    """

    inputs: Mapping[int, int] = field(default_factory=dict)
    outputs: Mapping[int, int] = field(default_factory=dict)
    named_inputs: Mapping[int, int] = field(default_factory=dict)
    named_outputs: Mapping[int, int] = field(default_factory=dict)


def align_by_order(file: Graph, keras: Graph, pins: Pins, layers: Mapping[str, Any]) -> tuple[Alignment, ByOrder, Pins]:
    """Aligns, and finds the pins by number that nothing else bears out; also gives the pins that were used.

    Args:
        file: The file's canonical graph.
        keras: The model's.
        pins: What is certain, and what is told by a number alone.
        layers: The model's layers by path.
    """
    found = align(file, keras, pins)
    nothing = ByOrder()
    if pins.ops and pins.numbered_outputs and not found.complete:
        # The mapping says more than a number does.
        fewer = _without(pins, "outputs")
        free = align(file, keras, fewer)
        if free.complete:
            return free, nothing, fewer
    if not found.complete:
        return found, nothing, pins
    (inputs, named_inputs), (outputs, named_outputs) = (
        _told_by_order(file, keras, pins, found, end, layers) for end in ("inputs", "outputs")
    )
    return found, ByOrder(inputs, outputs, named_inputs, named_outputs), pins


def _without(pins: Pins, end: str) -> Pins:
    """The pins but those of one end that are told by a number."""
    if end == "inputs":
        inputs = {i: j for i, j in pins.inputs.items() if i not in pins.numbered_inputs}
        return replace(pins, inputs=inputs, numbered_inputs=frozenset())
    outputs = {i: j for i, j in pins.outputs.items() if i not in pins.numbered_outputs}
    return replace(pins, outputs=outputs, numbered_outputs=frozenset())


def _told_by_order(
    file: Graph, keras: Graph, pins: Pins, found: Alignment, end: str, layers: Mapping[str, Any]
) -> tuple[dict[int, int], dict[int, int]]:
    """Pairs by number without which the two could be paired in another way, and those that names speak for instead."""
    numbered = getattr(pins, f"numbered_{end}")
    shapes = found.file.inputs if end == "inputs" else found.file.output_shapes
    alike = [i for i in sorted(numbered) if any(i != other and shapes[i] == shapes[other] for other in numbered)]
    if not alike:
        return {}, {}
    free = align(file, keras, _without(pins, end))
    if free.complete and not any(match.step in _UNSURE for match in free.matches):
        return {}, {}
    pairs = {i: getattr(pins, end)[i] for i in alike}
    named = _named(found, pairs, end, layers)
    return ({}, {}) if named == pairs else (pairs, named if len(named) == len(pairs) else {})


def _named(found: Alignment, pairs: Mapping[int, int], end: str, layers: Mapping[str, Any]) -> dict[int, int]:
    """File's end to the one end of Keras of whose layers, named by the user, it alone has the names."""
    own = _fed_by if end == "inputs" else _leading_to
    theirs = {j: _layer_names(found.keras, nodes, layers) for j, nodes in own(found.keras, pairs.values()).items()}
    named: dict[int, int] = {}
    for i, nodes in own(found.file, pairs).items():
        words = _words(found.file, nodes)
        fits = [j for j, names in theirs.items() if any(_names(word, name) for word in words for name in names)]
        if len(fits) == 1:
            named[i] = fits[0]
    return named if len(set(named.values())) == len(named) else {}


def _leading_to(side: View, outputs: Iterable[int]) -> dict[int, set[int]]:
    """Output to the nodes that lead to it and to none of the others."""
    sources = [[edge.source for edge in edges] for edges in side.operands]
    return _alone({output: _reached([side.outputs[output].source], sources) for output in outputs})


def _fed_by(side: View, inputs: Iterable[int]) -> dict[int, set[int]]:
    """Input to the nodes that depend on it and on none of the others."""
    consumers = [[consumer for consumer, _, _ in uses] for uses in side.consumers]
    return _alone({i: _reached([consumer for consumer, _ in side.input_uses[i]], consumers) for i in inputs})


def _reached(start: list[int], edges: Sequence[Sequence[int]]) -> set[int]:
    stack, seen = list(start), set[int]()
    while stack:
        node = stack.pop()
        if node >= 0 and node not in seen:
            seen.add(node)
            stack += edges[node]
    return seen


def _alone(reached: Mapping[int, set[int]]) -> dict[int, set[int]]:
    return {i: seen.difference(*(other for j, other in reached.items() if j != i)) for i, seen in reached.items()}


def _words(side: View, nodes: set[int]) -> set[str]:
    """Parts of the names of what operators make, and of the tensors that their weights come from."""
    values = side.graph.values
    names = [values[value].name for node in nodes for value in side.ops[node].outputs]
    weights = [values[v].weight for node in nodes for v in side.ops[node].inputs if v is not None]
    names += [leaf.name for weight in weights if weight is not None for leaf in weight.leaves]
    return {word for name in names for word in re.split(r"[/;]", name)}


def _layer_names(side: View, nodes: set[int], layers: Mapping[str, Any]) -> set[str]:
    paths: Sequence[str] = [path for node in nodes if (path := side.ops[node].layer) is not None]
    return {path.rsplit("/", 1)[-1] for path in paths if path in layers and not _is_automatic(layers[path])}


def _is_automatic(layer: Any) -> bool:
    """Whether Keras has named the layer after its class: such names count what was built before."""
    stem = _AUTOMATIC.sub("_", type(layer).__name__).lower()
    return re.fullmatch(rf"{re.escape(stem)}(_\d+)?", layer.name) is not None


def _names(word: str, layer: str) -> bool:
    """Whether a part of a tensor's name is a layer's, to which Keras 3 puts a number."""
    return word == layer or re.fullmatch(rf"{re.escape(layer)}_\d+", word) is not None
