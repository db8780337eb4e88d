"""Loops and conditions become one operator again, with a graph of its own for each of their parts.

LOOP(states) … END_LOOP(index, condition, next states, items)     =  WHILE(states, values from outside)
THEN(…), ELSE(…) … END_IF(test, one's results, other's results)   =  IF(test, values from outside)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tflrecover.ir import Op
from tflrecover.ops.quantize import real_dtype
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.loops import inside
from tflrecover.weight import Literal


def nest(draft: Draft) -> int:
    """Puts every loop and condition together, the inner ones first."""
    count = 0
    for end in draft.ordered("END_LOOP", "END_IF"):
        start = draft.producer(end.inputs[0])
        if end.type == "END_IF":
            _if(draft, end)
        elif start is not None and start.type == "LOOP":
            _while(draft, start, end)
        count += 1
    return count


def has_conditions(draft: Draft) -> bool:
    """Whether it depends on numbers what is computed: for several examples at once they would have to agree."""
    graphs = [graph for op in draft.ops.values() for graph in op.attributes.values() if isinstance(graph, Draft)]
    asks = any(op.type == "IF" or op.attributes.get("condition") is not None for op in draft.of_type("IF", "WHILE"))
    return asks or any(map(has_conditions, graphs))


def _while(draft: Draft, start: Op, end: Op) -> None:
    index, *states = start.outputs
    condition, following, trips = end.inputs[1], end.inputs[2:], end.attributes.get("trips")
    results = [following] if trips is not None else [following, (condition,)]
    parts = [(inside(draft, [start], wanted), wanted) for wanted in results]
    outside = _outside(draft, parts, start.outputs, {})
    inputs = (index, *states, *outside)
    graphs = [_graph(draft, ops, inputs, wanted, {}) for ops, wanted in parts]
    initial = tuple(_begun(draft, *pair) for pair in zip(start.inputs, following, strict=False))
    test = None if trips is not None else graphs[1]
    attributes = {"body": graphs[0], "condition": test, "trips": trips, "states": len(states)}
    draft.replace(end.evolve(type="WHILE", inputs=(*initial, *outside), attributes=attributes))


def _begun(draft: Draft, initial: int | None, following: int | None) -> int:
    """What a state begins with; where nobody reads that it is zeros."""
    shape, weight = draft.shape(following), draft.weight(initial)
    # A list may be reserved before the shape of its items is known.
    is_unknown = weight is not None and 0 in weight.shape and 0 not in shape
    if initial is not None and not is_unknown:
        return initial
    assert following is not None
    return draft.constant(Literal.of(np.zeros(draft.shape(following), real_dtype(draft.values[following]))))


def _if(draft: Draft, end: Op) -> None:
    test, *results = end.inputs
    count = len(results) // 2
    parts: list[_Part] = []
    renamed: dict[int, int | None] = {}
    for name, wanted in (("then", results[:count]), ("else", results[count:])):
        mark = draft.ops.get(end.attributes[name])
        parts.append((inside(draft, [mark] if mark is not None else [], wanted), tuple(wanted)))
        if mark is not None:
            renamed.update(zip(mark.outputs, mark.inputs[1:], strict=True))
    outside = _outside(draft, parts, (test,), renamed)
    graphs = [_graph(draft, ops, (test, *outside), wanted, renamed) for ops, wanted in parts]
    attributes = {"then": graphs[0], "otherwise": graphs[1]}
    draft.replace(end.evolve(type="IF", inputs=(test, *outside), attributes=attributes))


_Part = tuple[Sequence[Op], Sequence[int | None]]


def _outside(
    draft: Draft, parts: Sequence[_Part], own: Sequence[int | None], renamed: Mapping[int, int | None]
) -> tuple[int, ...]:
    """What parts use that none of them makes, but for constants."""
    found: dict[int, None] = {}
    for ops, results in parts:
        made = {value for op in ops for value in op.outputs}
        used = [*(value for op in ops for value in op.inputs), *results]
        for value in used:
            given = value if value is None else renamed.get(value, value)
            if given is not None and given not in made and given not in own and draft.weight(given) is None:
                found[given] = None
    return tuple(found)


def _graph(
    draft: Draft,
    ops: Sequence[Op],
    inputs: Sequence[int | None],
    results: Sequence[int | None],
    renamed: Mapping[int, int | None],
) -> Draft:
    """A part as a graph of its own, with the ids of the whole."""

    def given(values: Sequence[int | None]) -> tuple[int | None, ...]:
        return tuple(value if value is None else renamed.get(value, value) for value in values)

    listed = [op.evolve(inputs=given(op.inputs)) for op in ops]
    outputs = tuple(value for value in given(results) if value is not None)
    own = tuple(value for value in inputs if value is not None)
    used = {value for op in listed for value in (*op.inputs, *op.outputs) if value is not None}
    graph = Draft({value: draft.values[value] for value in (*used, *own, *outputs)}, own, draft.env)
    graph.outputs, graph.reasons = outputs, draft.reasons
    graph.opaque = {op.id for op in listed if op.id in draft.opaque}
    for op in listed:
        graph.add(op)
    return graph
