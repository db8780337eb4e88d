"""A graph while it is being rewritten: plain dictionaries, kept consistent by a handful of methods."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tflrecover.errors import InvalidGraph
from tflrecover.ir import Graph, Op, Origin, Shape, Value
from tflrecover.weight import Array, Key, Weight

OpId = int | str
# Operators of both dialects that change a variable: they have no result, but what they do is seen in the next call.
ASSIGNS = ("ASSIGN_VARIABLE", "AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp")


class Draft:
    """The mutable form of :class:`~tflrecover.ir.Graph` that rules work on.

    Attributes:
        ops: Id to operator.
        values: Id to value; ids of values that the source graph has are kept.
        inputs: Value ids.
        outputs: Value ids.
        env: Contents of the leaves where they are known (the file's tensors); empty on the Keras side.
        structural: Keys of leaves that were read as shapes, paddings or axes.
        opaque: Ids of operators that could not be read into canonical terms; their attributes are the source's own.
        reasons: Id to why, where it is known.
    """

    def __init__(self, values: Mapping[int, Value], inputs: Iterable[int], env: Mapping[Key, Array]) -> None:
        self.ops: dict[OpId, Op] = {}
        self.values = dict(values)
        self.inputs = tuple(inputs)
        self.outputs: tuple[int, ...] = ()
        self.env = env
        self.structural: set[Key] = set()
        self.opaque: set[OpId] = set()
        self.reasons: dict[OpId, str] = {}
        self._producer: dict[int, OpId] = {}
        self._consumers: dict[int, dict[tuple[OpId, int], None]] = {}
        self._next = max(self.values, default=-1) + 1
        self._types: Counter[str | int] = Counter()
        # Most rules find nothing to change: the order is the same for the next one.
        self._order: tuple[Op, ...] | None = None

    def add(self, op: Op) -> None:
        """Puts an operator in; its id must be free."""
        if op.id in self.ops:
            raise InvalidGraph(f"operator {op.id!r} is there twice")
        self._order = None
        self._types[op.type] += 1
        self.ops[op.id] = op
        for value in op.outputs:
            self._producer[value] = op.id
        for slot, operand in enumerate(op.inputs):
            if operand is not None:
                self._consumers.setdefault(operand, {})[op.id, slot] = None

    def remove(self, op_id: OpId) -> Op:
        """Takes an operator out and returns it."""
        self._order = None
        op = self.ops.pop(op_id)
        self._types[op.type] -= 1
        for value in op.outputs:
            if self._producer.get(value) == op_id:
                del self._producer[value]
        for slot, operand in enumerate(op.inputs):
            if operand is not None:
                self._consumers[operand].pop((op_id, slot), None)
        return op

    def replace(self, op: Op) -> None:
        """Swaps the operator of that id for another version of it."""
        self.remove(op.id)
        self.add(op)

    def new_value(self, shape: Shape | None, dtype: str | int, name: str = "", weight: Weight | None = None) -> int:
        """Adds a value and returns its id."""
        self.values[self._next] = Value(name, shape, dtype, weight=weight)
        self._next += 1
        return self._next - 1

    def constant(self, weight: Weight) -> int:
        """A value for an expression."""
        return self.new_value(weight.shape, weight.dtype, weight=weight)

    def producer(self, value: int | None) -> Op | None:
        """The operator that makes a value, or None for inputs and constants."""
        if value is None or value not in self._producer:
            return None
        return self.ops[self._producer[value]]

    def consumers(self, value: int) -> list[tuple[Op, int]]:
        """``(operator, operand slot)`` of every use."""
        return [(self.ops[op_id], slot) for op_id, slot in self._consumers.get(value, ())]

    def only_consumer(self, value: int) -> Op | None:
        """The operator that alone takes a value, once, when the value is no output of the graph."""
        uses = self._consumers.get(value, {})
        if len(uses) != 1 or value in self.outputs:
            return None
        return self.ops[next(iter(uses))[0]]

    def redirect(self, old: int, new: int) -> None:
        """Every use of ``old`` becomes a use of ``new``, graph outputs included."""
        for op, _ in self.consumers(old):
            if op.id in self.ops and old in self.ops[op.id].inputs:
                inputs = tuple(new if value == old else value for value in self.ops[op.id].inputs)
                self.replace(self.ops[op.id].evolve(inputs=inputs))
        self.outputs = tuple(new if value == old else value for value in self.outputs)

    def weight(self, value: int | None) -> Weight | None:
        """The expression of a constant, None for an activation."""
        return None if value is None else self.values[value].weight

    def shape(self, value: int | None) -> Shape:
        """Static shape; () for what has none."""
        return (self.values[value].shape or ()) if value is not None else ()

    def mark_structural(self, weight: Weight) -> None:
        """Notes that a constant was read as a shape, a padding or an axis."""
        self.structural.update(leaf.key for leaf in weight.leaves)

    def has(self, *types: str | int) -> bool:
        """Whether there is an operator of one of those types: without one, most rules have nothing to look for."""
        return any(self._types[kind] for kind in types)

    def ordered(self, *types: str | int) -> tuple[Op, ...]:
        """Operators in topological order; among those that are free, in the order in which they were added.

        Args:
            types: Only those of these types, where any are given.

        Raises:
            InvalidGraph: there is a cycle.
        """
        if types and not self.has(*types):
            return ()
        if self._order is None:
            self._order = tuple(self._sorted())
        return tuple(op for op in self._order if op.type in types) if types else self._order

    def _sorted(self) -> list[Op]:
        rank = {op_id: i for i, op_id in enumerate(self.ops)}
        waiting = {op.id: sum(value in self._producer for value in set(op.inputs)) for op in self.ops.values()}
        free = [(rank[op_id], op_id) for op_id, count in waiting.items() if not count]
        heapq.heapify(free)
        order: list[Op] = []
        while free:
            _, op_id = heapq.heappop(free)
            order.append(self.ops[op_id])
            for value in self.ops[op_id].outputs:
                for consumer in {user for user, _ in self._consumers.get(value, ())}:
                    waiting[consumer] -= 1
                    if not waiting[consumer]:
                        heapq.heappush(free, (rank[consumer], consumer))
        if len(order) != len(self.ops):
            stuck = [op_id for op_id, count in waiting.items() if count][:8]
            raise InvalidGraph(f"operators {stuck} form a cycle")
        return order

    def of_type(self, *types: str | int) -> Iterator[Op]:
        """Operators of those types that are still there when their turn comes; opaque ones mean nothing to a rule."""
        listed = list(self.ops.items()) if self.has(*types) else ()
        for op_id, op in listed:
            if op.type in types and op_id in self.ops and op_id not in self.opaque:
                yield self.ops[op_id]

    def prune(self) -> None:
        """Removes operators whose results nobody uses; what a state becomes is used if the state is."""
        stack = [op for op in map(self.producer, self.outputs) if op is not None]
        stack += [op for op in self.ops.values() if op.type in ASSIGNS]
        alive: set[OpId] = set()
        while stack:
            op = stack.pop()
            if op.id in alive:
                continue
            alive.add(op.id)
            stack.extend(made for value in op.inputs if (made := self.producer(value)) is not None)
            if op.type == "STATE":
                stack.extend(use for use, _ in self.consumers(op.outputs[0]) if use.type == "NEXT_STATE")
        for op_id in [op_id for op_id in self.ops if op_id not in alive]:
            self.remove(op_id)

    def _trimmed(self, op: Op) -> Op:
        """Without its last results, where nobody takes them."""
        if len(op.outputs) < 2:
            return op
        count = max((i for i, v in enumerate(op.outputs) if self._consumers.get(v) or v in self.outputs), default=0) + 1
        return op.evolve(outputs=op.outputs[:count])

    def freeze(self, name: str = "", **extra: Any) -> Graph:
        """The graph, with the values that are still used; last results of an operator that nobody takes are none."""
        order = [self._trimmed(op) for op in self.ordered()]
        used = {v for op in order for v in (*op.inputs, *op.outputs) if v is not None}
        used.update(self.inputs, self.outputs)
        values = {v: value for v, value in self.values.items() if v in used}
        graph = Graph.build(order, values, self.inputs, self.outputs, name)
        graph.graph.update(extra, reasons=self.reasons)
        return graph


def merged_origins(*ops: Op) -> tuple[Origin, ...]:
    """Origins of several operators that become one, without repeats."""
    return tuple(dict.fromkeys(origin for op in ops for origin in op.origins))
