"""The proof that a complete matching is harmless: it is an isomorphism, checked edge by edge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from tflrecover.align.matching import Matching
from tflrecover.align.view import INPUT, Edge, View
from tflrecover.ir import Value
from tflrecover.rewrite.common import freeze
from tflrecover.weight import Apply, Leaf, Literal, Weight


def is_isomorphic(matching: Matching) -> bool:
    """Whether the pairs map one graph exactly onto the other.

    Types, attributes and shapes are equal, operands come from the same places in the same order (where order matters),
    and every input and output has its counterpart. That the scalings on the edges are equal, and that one variable
    stands for equal contents wherever it is used, is checked when weights are solved.
    """
    file, keras = matching.file, matching.keras
    if not len(file) == len(keras) == len(matching.pairs):
        return False
    if any(file.strict[f] != keras.strict[k] for f, k in matching.pairs.items()):
        return False
    outputs = matching.outputs()
    if len(outputs) != len(file.outputs) or len(outputs) != len(keras.outputs):
        return False
    return all(a and b and matching.same_source(a, b) for a, b, _ in matching.edges())


def is_same_function(first: Matching, other: Matching) -> bool:
    """Whether two complete matchings differ only in how they pair inputs between which the model knows no difference.

    One after the other they map the model onto itself. Where that leaves every output, every variable and every
    scaling what it is, as in two towers that share their layers and are added, the inputs may change places.
    """
    if first.outputs() != other.outputs() or not all(map(is_isomorphic, (first, other))):
        return False
    keras = first.keras
    moved = {k: other.pairs[f] for f, k in first.pairs.items()}
    inputs = {j: other.inputs[i] for i, j in first.inputs.items() if i in other.inputs}
    if len(inputs) != len(keras.inputs):
        return False
    return all(
        _contents(keras, k) == _contents(keras, to)
        and _taken(keras, k, [_moved(edge, moved, inputs) for edge in keras.operands[k]])
        == _taken(keras, to, list(keras.operands[to]))
        for k, to in moved.items()
    ) and all(
        _taken(keras, None, [_moved(edge, moved, inputs)]) == _taken(keras, None, [edge]) for edge in keras.outputs
    )


def _moved(edge: Edge, nodes: dict[int, int], inputs: dict[int, int]) -> Edge:
    if edge.source == INPUT:
        return Edge(INPUT, inputs[edge.slot], edge.through)
    return Edge(nodes.get(edge.source, edge.source), edge.slot, edge.through)


def _taken(side: View, node: int | None, edges: list[Edge]) -> Hashable:
    """Where operands come from and how they are scaled; without order where it means nothing."""
    listed = [
        (edge.source, edge.slot, tuple(_constants(side, side.graph.op(scaling).inputs[1:]) for scaling in edge.through))
        for edge in edges
    ]
    return frozenset(Counter(listed).items()) if node is not None and side.commutative[node] else tuple(listed)


def _contents(side: View, node: int) -> Hashable:
    return side.strict[node], _constants(side, side.ops[node].inputs)


def _constants(side: View, values: tuple[int | None, ...]) -> Hashable:
    return tuple(None if value is None else _constant(side.graph.values[value]) for value in values)


def _constant(value: Value) -> Hashable:
    return freeze(value.data) if value.weight is None else _written(value.weight)


def _written(weight: Weight) -> Hashable:
    """An expression as a key; one that is none of the known kinds equals only itself."""
    match weight:
        case Leaf():
            return weight.key
        case Literal():
            return str(weight.array.dtype), freeze(weight.array)
        case Apply():
            return weight.function.name, freeze(dict(weight.attributes)), tuple(map(_written, weight.args))
    return id(weight)
