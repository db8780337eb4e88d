"""A graph for the tools of graphs: GraphML (yEd, Gephi, networkx) and DOT (Graphviz)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import networkx as nx

from tflrecover.ir import Graph, Op, Value, short_name
from tflrecover.render.inspect import sizes
from tflrecover.render.values import safe


def graphml_text(graph: Graph) -> str:
    """The graph as GraphML.

    Nodes are operators by their number, with ``type``, ``name`` (of the first output), ``options`` and ``constants``;
    what the graph is given and gives are nodes ``input 0``, ``output 0`` and so on. Edges have the ``name``, ``shape``
    and ``dtype`` of a tensor, and ``output_slot`` and ``input_slot``, its places among the ends of either operator.
    """
    return "\n".join(nx.generate_graphml(plain(graph))) + "\n"


def dot_text(graph: Graph) -> str:
    """The graph in Graphviz's language, with the nodes and edges of :func:`graphml_text`."""
    made = plain(graph)
    lines = [f"  {_quoted(node)} [label={_label(node, data)}];" for node, data in made.nodes(data=True)]
    for source, target, data in made.edges(data=True):
        lines.append(f"  {_quoted(source)} -> {_quoted(target)} [label={_quoted(data['shape'])}];")
    return "\n".join(["digraph {", "  node [shape=box];", *lines, "}"]) + "\n"


def plain(graph: Graph) -> Any:
    """A networkx multigraph whose attributes are numbers and printable text: XML cannot hold all that names do."""
    made = nx.MultiDiGraph(name=safe(graph.graph["name"]))
    places: dict[int, tuple[str, int]] = {}
    for i, value in enumerate(graph.inputs):
        places[value] = f"input {i}", 0
        made.add_node(f"input {i}", type="INPUT", name=safe(graph.values[value].name))
    for op in graph.ops():
        made.add_node(str(op.id), **_described(graph, op))
        places |= {value: (str(op.id), slot) for slot, value in enumerate(op.outputs)}
    for i, value in enumerate(graph.outputs):
        made.add_node(f"output {i}", type="OUTPUT", name=safe(graph.values[value].name))
    for value, target, slot in _uses(graph):
        if value in places:
            source, output_slot = places[value]
            tensor = _tensor(graph.values[value])
            made.add_edge(source, target, str(len(made.edges)), output_slot=output_slot, input_slot=slot, **tensor)
    return made


def _uses(graph: Graph) -> Iterator[tuple[int, str, int]]:
    """Every value that is taken, by which node, in which place."""
    for op in graph.ops():
        yield from ((value, str(op.id), slot) for slot, value in enumerate(op.inputs) if value is not None)
    yield from ((value, f"output {i}", 0) for i, value in enumerate(graph.outputs))


def _described(graph: Graph, op: Op) -> dict[str, str]:
    taken = [graph.values[value] for value in op.inputs if value is not None]
    constants = [f"{value.name} {sizes(value)} {value.dtype}" for value in taken if value.data is not None]
    options = [f"{name}={given}" for name, given in op.attributes.items() if given is not None]
    name = graph.values[op.outputs[0]].name if op.outputs else ""
    return {
        "type": safe(op.type),
        "name": safe(name),
        "options": safe(", ".join(options)),
        "constants": safe(", ".join(constants)),
    }


def _tensor(value: Value) -> dict[str, str]:
    return {"name": safe(value.name), "shape": sizes(value), "dtype": str(value.dtype)}


def _label(node: str, data: dict[str, str]) -> str:
    """Number and type, the tensor, the options, one under another."""
    head = f"{node} {data['type']}" if "options" in data else node
    return _quoted(*(line for line in (head, short_name(data["name"]), data.get("options")) if line))


def _quoted(*lines: str) -> str:
    """A string of DOT: a backslash would begin an escape, a quote would end it."""
    return '"' + r"\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in lines) + '"'
