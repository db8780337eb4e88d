"""Resource variables as values: what a call reads of the call before it, and what it leaves for the next.

READ_VARIABLE(v) … ASSIGN_VARIABLE(v, y)     becomes     x = STATE(initial) … NEXT_STATE(x, y)

* A variable that is read after it was assigned is what was assigned; one that nothing assigns is its initial value.
* What CALL_ONCE assigns is the initial value; on Keras's side the variable itself is.
* A variable that loops assign stays with its operators as they are: nothing may take it for one that is understood.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from tflrecover.ir import Graph, Op, Origin, Value
from tflrecover.rewrite.draft import ASSIGNS, Draft, OpId
from tflrecover.rewrite.scalars import known_array
from tflrecover.weight import Literal

_READS = ("READ_VARIABLE", "ReadVariableOp")
_HANDLE = "VAR_HANDLE"
# What an operator of TensorFlow does with the old value and its operand before it assigns.
_UPDATES: Mapping[str, str] = {"AssignAddVariableOp": "AddV2", "AssignSubVariableOp": "Sub"}


def threaded(source: Graph) -> Graph:
    """A graph as read or traced with its variables as values; the graph itself where it assigns none."""
    if not any(op.type in ASSIGNS or op.type == _HANDLE for op in source.ops()):
        return source
    work = _Threads(source)
    for op in source.ops():
        work.take(op)
    work.finish()
    outputs = [work.renamed.get(value, value) for value in source.outputs]
    return Graph.build(work.ops, work.values, source.inputs, outputs, str(source.graph["name"]))


def unfilled(source: Graph) -> tuple[str, ...]:
    """Names of variables that are read though nothing has filled them."""
    if not any(op.type == _HANDLE for op in source.ops()):
        return ()
    work = _Threads(source)
    names = {op.outputs[0]: str(op.attributes.get("shared_name")) for op in source.ops() if op.type == _HANDLE}
    reads = (op.inputs[0] for op in source.ops() if op.type in _READS and op.inputs)
    filled = work.initial.keys() | work.assigned
    return tuple(dict.fromkeys(names[v] for v in reads if v in names and work.keys[v] not in filled))


@dataclass
class _Threads:
    """Where every variable stands while the operators are gone through in order."""

    source: Graph
    ops: list[Op] = field(default_factory=list)
    renamed: dict[int, int] = field(default_factory=dict)
    states: dict[Hashable, int] = field(default_factory=dict)
    now: dict[Hashable, int] = field(default_factory=dict)
    last: dict[Hashable, Op] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.values: dict[int, Value] = dict(self.source.values)
        listed = list(self.source.ops())
        self.keys: dict[int, Hashable] = {
            op.outputs[0]: (op.attributes.get("container"), op.attributes.get("shared_name"))
            for op in listed
            if op.type == _HANDLE and op.outputs
        }
        self.initial: dict[Hashable, int] = {}
        self.assigned: set[Hashable] = set()
        self.stuck: set[Hashable] = set()
        depth = 0
        for op in listed:
            depth += (op.type == "LOOP") - (op.type == "END_LOOP")
            if op.type in ASSIGNS and len(op.inputs) == 2:
                self._note(op, in_loop=depth > 0)

    def _note(self, op: Op, *, in_loop: bool) -> None:
        key, value = self._key(op), op.inputs[1]
        if op.attributes.get("once") and value is not None and not in_loop:
            self.initial[key] = value
            return
        self.assigned.add(key)
        handle = op.inputs[0]
        if handle is not None and self.values[handle].weight is not None:
            self.initial[key] = handle
        if in_loop or op.attributes.get("once"):
            self.stuck.add(key)

    def _key(self, op: Op) -> Hashable:
        handle = op.inputs[0]
        return self.keys.get(handle, handle) if handle is not None else None

    def take(self, op: Op) -> None:
        """Goes on to the next operator."""
        if any(v in self.renamed for v in op.inputs):
            op = replace(op, inputs=tuple(self.renamed.get(v, v) if v is not None else None for v in op.inputs))
        if op.type in ASSIGNS and len(op.inputs) == 2:
            self._assign(op)
        elif op.type in _READS and op.inputs and op.outputs and self._is_known(op):
            self._read(op)
        else:
            self.ops.append(op)

    def _is_known(self, op: Op) -> bool:
        """Whether a variable of the file, or one that the model assigns, has a value here."""
        key, handle = self._key(op), op.inputs[0]
        if key in self.stuck or not (handle in self.keys or key in self.assigned):
            return False
        return key in self.now or key in self.initial

    def _read(self, op: Op) -> None:
        key = self._key(op)
        if key in self.now:
            self.renamed[op.outputs[0]] = self.now[key]
        elif key not in self.assigned:
            self.renamed[op.outputs[0]] = self.initial[key]
        else:
            self.states[key] = self.now[key] = op.outputs[0]
            self.ops.append(Op(op.id, "STATE", (self.initial[key],), op.outputs, {"variable": str(key)}, op.layer))

    def _assign(self, op: Op) -> None:
        key, value = self._key(op), op.inputs[1]
        if key in self.stuck or value is None:
            # An effect has a result of its own here, so that it can be compared and shown.
            self.ops.append(replace(op, outputs=(self._new(Value(str(key), None, "resource")),)))
        elif not op.attributes.get("once"):
            if op.type in _UPDATES:
                value = self._updated(op, key, value)
            self.now[key], self.last[key] = value, op

    def _updated(self, op: Op, key: Hashable, value: int) -> int:
        if key not in self.now:
            old = self._new(replace(self.values[self.initial[key]], weight=None))
            self._read(Op(f"{op.id}/read", _READS[1], op.inputs[:1], (old,), {}, op.layer))
        made = self._new(replace(self.values[value], weight=None))
        self.ops.append(Op(f"{op.id}/update", _UPDATES[str(op.type)], (self.now[key], value), (made,), {}, op.layer))
        return made

    def _new(self, value: Value) -> int:
        number = max(self.values, default=-1) + 1
        self.values[number] = value
        return number

    def finish(self) -> None:
        """Every state is told what it is in the next call."""
        for key, op in self.last.items():
            if key in self.states:
                result = self._new(Value(str(key), None, self.values[self.states[key]].dtype))
                inputs = (self.states[key], self.now[key])
                attributes = {"variable": str(key)}
                self.ops.append(Op(f"{op.id}/next", "NEXT_STATE", inputs, (result,), attributes, op.layer))


def lower_state(op: Op, draft: Draft, origin: Origin) -> None:
    """One end of a state; it has the shape of what it is given. One that begins with no constant stays opaque."""
    given = op.inputs[-1]
    if op.type == "STATE" and draft.weight(given) is None:
        draft.opaque.add(op.id)
        op = op.evolve(type="STATE (unreadable)")
    dtype = "float32" if given is None else draft.values[given].dtype
    for result in op.outputs:
        draft.values[result] = Value(draft.values[result].name, draft.shape(given), dtype)
    draft.add(op.evolve(origins=(origin,)))


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A state that was left out.

    Attributes:
        end: Its NEXT_STATE operator.
        maker: Id of the operator that makes the next state.
        is_blank: Whether it is not known to begin with anything but zeros.
    """

    end: Op
    maker: OpId | None
    is_blank: bool


def forget_states(draft: Draft) -> tuple[Forgotten, ...]:
    """``STATE(initial) = 0``: every call begins anew, with zeros.

    It is done on both sides, and only where one side keeps states and the other does not, to see whether that is the
    one difference; see :mod:`tflrecover.comparison.forms`.
    """
    found = []
    for end in draft.of_type("NEXT_STATE"):
        start, maker = draft.producer(end.inputs[0]), draft.producer(end.inputs[1])
        draft.remove(end.id)
        weight = None if start is None else draft.weight(start.inputs[0])
        if start is None or weight is None:
            continue
        array = known_array(draft, weight)
        draft.mark_structural(weight)
        zeros = Literal.of(np.zeros(weight.shape, np.float32 if array is None else array.dtype))
        draft.remove(start.id)
        draft.redirect(start.outputs[0], draft.constant(zeros))
        found.append(Forgotten(end, None if maker is None else maker.id, array is None or not array.any()))
    return tuple(found)
