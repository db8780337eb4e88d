"""A canonical graph as the alignment sees it: numbered nodes, edges by slot, AFFINE seen through.

Whether a converter absorbs an AFFINE depends on who else takes the value, so one missing skip connection would change
the form of its surroundings. The view therefore leaves AFFINE out and notes it on the edge.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from tflrecover import ops
from tflrecover.ir import Graph, Op, Shape
from tflrecover.rewrite.common import freeze

# Sources that are no operator: (INPUT, input number) and (CONSTANT, 0).
INPUT = -1
CONSTANT = -2
OUTPUT = -3
# Attributes that tell what shape comes out, and so follow from what goes in.
_SIZES = frozenset({"target_shape"})


@dataclass(frozen=True, slots=True)
class Edge:
    """One operand: node (or INPUT, CONSTANT), its output slot (or input number), and the AFFINE operators between.

    Behind a RESHAPE these may be such as the graph has in front of it.
    """

    source: int
    slot: int
    through: tuple[int | str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Nodes in topological order.

    Attributes:
        ops: The operators.
        operands: Per node, its operands in slot order; weights that are solved for are left out.
        consumers: Per node, ``(consumer, operand position, output slot)``; an output of the graph is
            ``(OUTPUT, output number, output slot)``.
        commutative: Per node, whether the order of its operands means nothing.
        strict: Per node, everything that is declared: type, lowered attributes, shapes.
        loose: Per node, its type.
        inputs: Shapes of the graph's inputs.
        outputs: Where each output of the graph comes from.
        output_shapes: Their shapes.
        input_uses: Per input, ``(consumer, position)``.
        number: Operator id to node.
    """

    graph: Graph
    ops: tuple[Op, ...]
    operands: tuple[tuple[Edge, ...], ...]
    consumers: tuple[tuple[tuple[int, int, int], ...], ...]
    commutative: tuple[bool, ...]
    strict: tuple[Hashable, ...]
    loose: tuple[Hashable, ...]
    inputs: tuple[Shape, ...]
    outputs: tuple[Edge, ...]
    output_shapes: tuple[Shape, ...]
    input_uses: tuple[tuple[tuple[int, int], ...], ...]
    number: dict[int | str, int] = field(repr=False)

    def __len__(self) -> int:
        return len(self.ops)


def shape_of(graph: Graph, value: int | None) -> Shape:
    """Static shape, () where there is none."""
    return () if value is None else graph.values[value].shape or ()


def lowered(op: Op, shapes: list[Shape]) -> dict[str, Any]:
    """The numbers that decide what an operator computes on operands of those shapes."""
    spec = ops.by_name(op.type)
    if spec is not None and spec.lower is not None:
        return dict(spec.lower(op.attributes, shapes))
    if spec is not None and spec.declared:
        return {name: op.attributes.get(name) for name in spec.declared}
    return dict(op.attributes)


def declared(op: Op) -> Hashable:
    """Type and written attributes, which stay what they are when an operator gets another operand."""
    spec = ops.by_name(op.type)
    names = spec.declared if spec is not None and spec.declared else tuple(op.attributes)
    return op.type, freeze({name: op.attributes.get(name) for name in names if name not in _SIZES})


def activations(op: Op) -> list[int | None]:
    """Operands but for the weights that are solved for."""
    spec = ops.by_name(op.type)
    if spec is None:
        return list(op.inputs)
    return [value for slot, value in enumerate(op.inputs) if spec.role(slot) not in spec.weights]


def view(graph: Graph) -> View:
    """Makes the view; linear in operators and edges."""
    listed = [op for op in graph.ops() if op.type != "AFFINE"]
    number = {op.id: i for i, op in enumerate(listed)}
    source: dict[int, Edge] = {value: Edge(INPUT, i) for i, value in enumerate(graph.inputs)}
    operands: list[tuple[Edge, ...]] = []
    for op in graph.ops():
        if op.type == "AFFINE":
            base = source.get(op.inputs[0], Edge(CONSTANT, 0)) if op.inputs[0] is not None else Edge(CONSTANT, 0)
            source[op.outputs[0]] = Edge(base.source, base.slot, (*base.through, op.id))
            continue
        taken = [Edge(CONSTANT, 1) if v is None else source.get(v, Edge(CONSTANT, 0)) for v in activations(op)]
        carried: tuple[int | str, ...] = ()
        if op.type == "RESHAPE" and taken and _lets_pass(graph, op, taken[0], listed):
            carried, taken[0] = taken[0].through, Edge(taken[0].source, taken[0].slot)
        operands.append(tuple(taken))
        for slot, value in enumerate(op.outputs):
            source[value] = Edge(number[op.id], slot, carried)
    outputs = tuple(source.get(value, Edge(CONSTANT, 0)) for value in graph.outputs)
    consumers: list[list[tuple[int, int, int]]] = [[] for _ in listed]
    input_uses: list[list[tuple[int, int]]] = [[] for _ in graph.inputs]
    for i, edges in enumerate(operands):
        for position, edge in enumerate(edges):
            if edge.source >= 0:
                consumers[edge.source].append((i, position, edge.slot))
            elif edge.source == INPUT:
                input_uses[edge.slot].append((i, position))
    for i, edge in enumerate(outputs):
        if edge.source >= 0:
            consumers[edge.source].append((OUTPUT, i, edge.slot))
    specs = [ops.by_name(op.type) for op in listed]
    return View(
        graph,
        tuple(listed),
        tuple(operands),
        tuple(map(tuple, consumers)),
        tuple(spec is not None and spec.commutative for spec in specs),
        tuple(_strict(graph, op) for op in listed),
        tuple(op.type for op in listed),
        tuple(shape_of(graph, value) for value in graph.inputs),
        outputs,
        tuple(shape_of(graph, value) for value in graph.outputs),
        tuple(map(tuple, input_uses)),
        number,
    )


def _lets_pass(graph: Graph, op: Op, edge: Edge, listed: list[Op]) -> bool:
    """Whether the scalings in front of a RESHAPE can as well be behind it, where other weights may hold them.

    In front they stay where what makes its operand can hold them, and where channels do not stay the last axis: one
    number could pass there too, but on the other side there may be one per channel.
    """
    if not edge.through:
        return False
    before = ops.by_name(listed[edge.source].type) if edge.source >= 0 else None
    if before is not None and before.family == "linear":
        return False
    return shape_of(graph, op.inputs[0])[-1:] == shape_of(graph, op.outputs[0])[-1:]


def _strict(graph: Graph, op: Op) -> Hashable:
    shapes = [shape_of(graph, value) for value in op.inputs]
    results = tuple(shape_of(graph, value) for value in op.outputs)
    return (op.type, freeze(lowered(op, shapes)), _operand_shapes(graph, op, shapes), results)


def _operand_shapes(graph: Graph, op: Op, shapes: list[Shape]) -> tuple[Shape, ...]:
    """Shapes that must be the same: without those of constants that broadcasting may repeat, for solving compares them.

    The first operand of the others is left out: where its shape matters it shows in the result's.
    """
    spec = ops.by_name(op.type)
    if spec is None or not spec.is_elementwise:
        return tuple(shapes[1:])
    taken = [
        shape
        for shape, value in zip(shapes, op.inputs, strict=True)
        if value is None or not graph.values[value].is_constant
    ]
    return tuple(sorted(taken) if spec.commutative else taken)
