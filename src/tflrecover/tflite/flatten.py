"""Subgraphs that operators call, put into the main graph: calls as they are, loops as one symbolic iteration.

``state_1, …, state_n = WHILE(initial_1, …, initial_n)`` becomes::

    index, state_1, …        = LOOP(initial_1, …)
    next_1, …; condition     = body(state_1, …); condition(state_1, …)
    final_1, …               = END_LOOP(index, condition, next_1, …)

``result_1, … = IF(test, argument_1, …)`` becomes::

    argument_1, …   = THEN(test, argument_1, …)       and the same with ELSE
    result_1, …     = END_IF(test, result_1 of the one, …, result_1 of the other, …)

A value that every iteration hands on unchanged is no state: the body takes it from outside. So the weights of a
recurrent layer are operands like any others, and every rule works inside a loop as it does outside. A condition one
side of which changes a variable stays one operator: what it leaves depends on the test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tflrecover.errors import InvalidFile
from tflrecover.ir import Graph, Op, Value
from tflrecover.tflite.model import TFLiteModel

# Operators that run one subgraph, and the option that names it.
CALLS: Mapping[str, str] = {
    "CALL": "subgraph",
    "CALL_ONCE": "init_subgraph_index",
    "STABLEHLO_COMPOSITE": "decomposition_subgraph_index",
}
# Of an IF, by the names of its marks.
_SIDES: Mapping[str, str] = {"then": "then_subgraph_index", "else": "else_subgraph_index"}
_LOOP_PARTS = ("cond_subgraph_index", "body_subgraph_index")
_CHANGES = ("ASSIGN_VARIABLE", "CALL_ONCE", "HASHTABLE_IMPORT")
_DEPTH = 32
_MOST_OPS = 1_000_000


def flattened(model: TFLiteModel) -> Graph:
    """The main graph with everything in it that it calls.

    Tensors and operators of the main graph keep their ids; an operator from a subgraph is called
    ``"<index of its caller>/<its own index>"``.

    Args:
        model: The file.

    Raises:
        InvalidFile: a subgraph that is called does not exist, calls itself, or does not fit its caller.
    """
    if not any(op.type in ("WHILE", "IF", *CALLS) for op in model.graph.ops()):
        return model.graph
    work = _Flattener(model)
    known = {value: value for value in model.graph.values}
    work.walk(model.graph, known, "", 0)
    outputs = [known[value] for value in model.graph.outputs]
    return Graph.build(work.ops, work.values, model.graph.inputs, outputs, str(model.graph.graph["name"]))


class _Flattener:
    def __init__(self, model: TFLiteModel) -> None:
        self.model = model
        self.ops: list[Op] = []
        self.values: dict[int, Value] = dict(model.graph.values)

    def walk(self, graph: Graph, known: dict[int, int], prefix: str, depth: int) -> None:
        """Adds the operators of a graph; ``known`` maps its values to ours and is completed."""
        for op in graph.ops():
            name = f"{prefix}{op.id}" if prefix else op.id
            inputs = tuple(None if value is None else self._id(graph, value, known) for value in op.inputs)
            here = replace(op, id=name, inputs=inputs)
            if op.type == "WHILE":
                self._loop(here, graph, known, depth)
            elif op.type in CALLS:
                self._call(here, known, depth)
            elif op.type == "IF" and not any(self._changes(here, side, depth) for side in _SIDES.values()):
                self._condition(here, graph, known, depth)
            else:
                self._add(replace(here, outputs=tuple(self._id(graph, value, known) for value in op.outputs)))

    def _add(self, op: Op) -> None:
        if len(self.ops) >= _MOST_OPS:
            raise InvalidFile(f"calls its subgraphs more than {_MOST_OPS} times", source=self.model.source)
        self.ops.append(op)

    def _id(self, graph: Graph, value: int, known: dict[int, int]) -> int:
        if value not in known:
            known[value] = self._new(graph.values[value])
            self._carry_parameters(graph, value, known)
        return known[value]

    def _carry_parameters(self, graph: Graph, value: int, known: dict[int, int]) -> None:
        """Quantization that names tensors of its subgraph names ours."""
        quantization = graph.values[value].quantization
        if quantization is None or "scales" not in quantization.details:
            return
        named = {name: quantization.details[name] for name in ("scales", "zero_points")}
        moved = {name: self._id(graph, i, known) if i in graph.values else i for name, i in named.items()}
        changed = replace(quantization, details={**quantization.details, **moved})
        self.values[known[value]] = replace(self.values[known[value]], quantization=changed)

    def _new(self, value: Value) -> int:
        number = len(self.values)
        while number in self.values:
            number += 1
        self.values[number] = value
        return number

    def _misfit(self, op: Op, message: str) -> InvalidFile:
        return InvalidFile(message, source=self.model.source, where=f"operator {op.id} ({op.type})")

    def _subgraph(self, op: Op, option: str, depth: int) -> Graph:
        index = op.attributes.get(option)
        if not isinstance(index, int) or not 0 < index < len(self.model.subgraphs):
            raise self._misfit(op, f"names subgraph {index} of {len(self.model.subgraphs)}")
        if depth >= _DEPTH:
            raise self._misfit(op, f"calls subgraph {index} inside {depth} others; does it call itself?")
        return self.model.subgraphs[index]

    def _inline(self, op: Op, option: str, arguments: Sequence[int | None], prefix: str, depth: int) -> list[int]:
        graph = self._subgraph(op, option, depth)
        if len(graph.inputs) != len(arguments):
            raise self._misfit(op, f"gives {len(arguments)} values to a subgraph of {len(graph.inputs)} inputs")
        inner = {mine: given for mine, given in zip(graph.inputs, arguments, strict=True) if given is not None}
        self.walk(graph, inner, prefix, depth + 1)
        return [self._id(graph, value, inner) for value in graph.outputs]

    def _call(self, op: Op, known: dict[int, int], depth: int) -> None:
        start = len(self.ops)
        results = self._inline(op, CALLS[str(op.type)], op.inputs, f"{op.id}/", depth)
        if len(results) < len(op.outputs):
            raise self._misfit(op, f"takes {len(op.outputs)} values from a subgraph of {len(results)} outputs")
        known.update(zip(op.outputs, results, strict=False))
        if op.type == "CALL_ONCE":
            # What runs before the first call alone: initial values of variables.
            self.ops[start:] = [
                replace(made, attributes={**made.attributes, "once": True}) for made in self.ops[start:]
            ]

    def _loop(self, op: Op, graph: Graph, known: dict[int, int], depth: int) -> None:
        condition_of, body_of = _LOOP_PARTS
        body = self._subgraph(op, body_of, depth)
        if not len(op.inputs) == len(op.outputs) == len(body.inputs) == len(body.outputs) or None in op.inputs:
            raise self._misfit(op, f"hands {len(op.inputs)} values to a body with {len(body.inputs)} inputs")
        states = [i for i, value in enumerate(body.inputs) if body.outputs[i] != value]
        arguments = [value for value in op.inputs if value is not None]
        initial = tuple(arguments[i] for i in states)
        for i, value in enumerate(op.outputs):
            if i in states:
                arguments[i] = self._new(body.values[body.inputs[i]])
                self._id(graph, value, known)
            else:
                known[value] = arguments[i]
        index = self._new(Value("index", (), "int32"))
        self._add(Op(f"{op.id}/loop", "LOOP", initial, (index, *(arguments[i] for i in states))))
        condition = self._inline(op, condition_of, arguments, f"{op.id}/condition/", depth)
        if len(condition) != 1:
            raise self._misfit(op, f"asks a condition with {len(condition)} outputs")
        results = self._inline(op, body_of, arguments, f"{op.id}/", depth)
        finals = tuple(known[op.outputs[i]] for i in states)
        self._add(Op(op.id, "END_LOOP", (index, condition[0], *(results[i] for i in states)), finals))

    def _changes(self, op: Op, option: str, depth: int) -> bool:
        """Whether a subgraph, or one that it calls, leaves something for the next call."""
        called = (*CALLS.values(), *_LOOP_PARTS, *_SIDES.values())
        return any(
            inner.type in _CHANGES
            or any(self._changes(inner, other, depth + 1) for other in called if other in inner.attributes)
            for inner in self._subgraph(op, option, depth).ops()
        )

    def _condition(self, op: Op, graph: Graph, known: dict[int, int], depth: int) -> None:
        test, *arguments = op.inputs
        results: list[int] = []
        names = {name: f"{op.id}/{name}" for name in _SIDES}
        for name, mark in names.items():
            inner = [
                None if value is None else self._new(replace(self.values[value], data=None)) for value in arguments
            ]
            kept = [(value, mine) for value, mine in zip(arguments, inner, strict=True) if mine is not None]
            outputs = tuple(mine for _, mine in kept)
            self._add(Op(mark, name.upper(), (test, *(value for value, _ in kept)), outputs))
            made = self._inline(op, _SIDES[name], inner, f"{mark}/", depth)
            if len(made) != len(op.outputs):
                raise self._misfit(op, f"takes {len(op.outputs)} values from a subgraph of {len(made)} outputs")
            results += made
        finals = tuple(self._id(graph, value, known) for value in op.outputs)
        self._add(Op(op.id, "END_IF", (test, *results), finals, names))
