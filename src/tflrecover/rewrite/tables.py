"""Hash tables as the constants that fill them.

HASHTABLE_IMPORT(table, keys, values) … HASHTABLE_FIND(table, x, default)     becomes
HASHTABLE_FIND(x, keys, values, default), and HASHTABLE_SIZE(table) becomes HASHTABLE_SIZE(keys).

A table is filled once, before the first call, and is known by its number.
"""

from __future__ import annotations

from collections.abc import Mapping

from tflrecover.ir import Graph, Op

_TABLE, _IMPORT = "HASHTABLE", "HASHTABLE_IMPORT"


def with_tables(source: Graph) -> Graph:
    """The graph with its tables as operands; the graph itself where it fills none."""
    listed = tuple(source.ops())
    if not any(op.type == _IMPORT for op in listed):
        return source
    numbers: dict[int | None, object] = {
        op.outputs[0]: op.attributes.get("table_id") for op in listed if op.type == _TABLE and op.outputs
    }
    filled = {_of(op, numbers): op.inputs[1:] for op in listed if op.type == _IMPORT and len(op.inputs) == 3}
    kept = [_resolved(op, numbers, filled) for op in listed if op.type not in (_TABLE, _IMPORT)]
    return Graph.build(kept, source.values, source.inputs, source.outputs, str(source.graph["name"]))


def _of(op: Op, numbers: Mapping[int | None, object]) -> object:
    """The number of the table that is an operator's first operand, or None."""
    return numbers.get(op.inputs[0]) if op.inputs else None


def _resolved(op: Op, numbers: Mapping[int | None, object], filled: Mapping[object, tuple[int | None, ...]]) -> Op:
    contents = filled.get(_of(op, numbers))
    if contents is None:
        return op
    if op.type == "HASHTABLE_FIND" and len(op.inputs) == 3:
        return op.evolve(inputs=(op.inputs[1], *contents, op.inputs[2]))
    return op.evolve(inputs=contents[:1]) if op.type == "HASHTABLE_SIZE" else op
