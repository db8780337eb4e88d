"""Loops in one form: ``LOOP(states)`` … ``END_LOOP(index, condition, next states, items)``.

* A counter that starts at 0 and grows by 1 is the loop's own index.
* ``index < n`` as the condition becomes the attribute ``trips``.
* ``list[index] = item`` as a state becomes an item that END_LOOP stacks.
* A state that nothing but itself depends on goes.
* The index is never less than zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tflrecover.ir import Op
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.scalars import known_array

# TensorFlow's own name: no rule knows more of it.
_SCATTER = "TensorScatterUpdate"


@dataclass
class _State:
    """One loop-carried value: what it starts with, what it is, what it becomes, what it ends as."""

    initial: int | None
    value: int
    next: int | None
    final: int


def tidy_loops(draft: Draft) -> int:
    """Brings every loop into the form above."""
    return _tidy_all(draft, is_exact=False)


def tidy_whole_loops(draft: Draft) -> int:
    """The same where the numbers count: a list that is not written whole stays a state, with SET_ITEM."""
    return _tidy_all(draft, is_exact=True)


def _tidy_all(draft: Draft, *, is_exact: bool) -> int:
    ends = list(draft.of_type("END_LOOP"))
    for end in ends:
        start = draft.producer(end.inputs[0])
        if start is None or start.type != "LOOP" or "trips" in end.attributes:
            continue
        _tidy(draft, start, end, is_exact)
    return len(ends)


def _tidy(draft: Draft, start: Op, end: Op, is_exact: bool) -> None:
    index = start.outputs[0]
    states = [
        _State(*parts) for parts in zip(start.inputs, start.outputs[1:], end.inputs[2:], end.outputs, strict=True)
    ]
    trips = _trips(draft, end.inputs[1], states)
    for state in states:
        if _counter(draft, state) == (0, 1):
            draft.redirect(state.value, index)
        _single(draft, state)
    _count_from_zero(draft, index)
    end = draft.ops[end.id]
    condition = end.inputs[1] if trips is None else None
    stacked = [(state, item) for state in states if (item := _item(draft, state, index)) is not None]
    if is_exact:
        partly = [pair for pair in stacked if trips is None or draft.shape(pair[0].initial)[:1] != (trips,)]
        for state, item in partly:
            _set_item(draft, state, index, item)
        stacked = [pair for pair in stacked if pair not in partly]
    rest = [state for state in states if not any(state is other for other, _ in stacked)]
    stacked = [(state, item) for state, item in stacked if _used(draft, state.final)]
    for state in states:
        state.next = _next(draft, end, states, state)
    kept = _alive(draft, start, rest, [item for _, item in stacked] + ([condition] if condition is not None else []))
    for state, item in stacked:
        final = draft.values[state.final]
        shape = (trips if trips is not None else 1, *draft.shape(item))
        draft.values[state.final] = replace(final, shape=shape, dtype=draft.values[item].dtype)
    attributes = {"trips": trips}
    inputs = (index, condition, *(state.next for state in kept), *(item for _, item in stacked))
    finals = (*(state.final for state in kept), *(state.final for state, _ in stacked))
    draft.replace(end.evolve(inputs=inputs, outputs=finals, attributes=attributes))
    start = draft.ops[start.id]
    # What nothing in the loop reads does not matter when the loop runs at all.
    unread = [state for state in kept if trips and not draft.consumers(state.value)]
    for state in unread:
        draft.values[state.value] = replace(draft.values[state.value], shape=draft.shape(state.next))
        draft.values[state.final] = replace(draft.values[state.final], shape=draft.shape(state.next))
    initial = tuple(None if any(state is other for other in unread) else state.initial for state in kept)
    draft.replace(start.evolve(inputs=initial, outputs=(index, *(state.value for state in kept))))


def _count_from_zero(draft: Draft, index: int) -> None:
    """The index is never negative: what is asked for, as Keras does before it takes an item, is known."""
    for test, slot in draft.consumers(index):
        if test.type != "LESS" or slot != 0 or _number(draft, test.inputs[1]) != 0:
            continue
        for choice, place in draft.consumers(test.outputs[0]):
            if choice.type == "SELECT_V2" and place == 0 and choice.inputs[2] is not None:
                draft.redirect(choice.outputs[0], choice.inputs[2])
                draft.remove(choice.id)


def _next(draft: Draft, end: Op, states: list[_State], state: _State) -> int | None:
    return draft.ops[end.id].inputs[2 + next(i for i, other in enumerate(states) if other is state)]


def _used(draft: Draft, value: int) -> bool:
    return bool(draft.consumers(value)) or value in draft.outputs


def _number(draft: Draft, value: int | None) -> int | None:
    """A constant integer scalar."""
    weight = draft.weight(value)
    if weight is None or math.prod(weight.shape) != 1 or "int" not in str(weight.dtype):
        return None
    array = known_array(draft, weight)
    if array is None:
        return None
    draft.mark_structural(weight)
    return int(array.reshape(()))


def _counter(draft: Draft, state: _State) -> tuple[int, int] | None:
    """``(start, step)`` of a state that counts."""
    start, op = _number(draft, state.initial), draft.producer(state.next)
    if start is None or op is None or op.type != "ADD":
        return None
    steps = [_number(draft, v) for v, other in (op.inputs, op.inputs[::-1]) if other == state.value]
    return (start, steps[0]) if steps and steps[0] is not None else None


def _trips(draft: Draft, condition: int | None, states: list[_State]) -> int | None:
    """How often a loop runs whose condition is that counters stay below constants."""
    op = draft.producer(condition)
    if op is None:
        return None
    if op.type == "LOGICAL_AND":
        sides = [_trips(draft, value, states) for value in op.inputs]
        known = [side for side in sides if side is not None]
        return min(known) if len(known) == len(sides) else None
    if op.type != "LESS":
        return None
    counter = next((_counter(draft, state) for state in states if state.value == op.inputs[0]), None)
    limit = _number(draft, op.inputs[1])
    if counter is None or limit is None or counter[1] < 1:
        return None
    return max(0, -((counter[0] - limit) // counter[1]))


def _single(draft: Draft, state: _State) -> None:
    """``list[0] = item`` on a list of one is the item with an axis in front."""
    op = draft.producer(state.next)
    if op is None or op.type != "SET_ITEM" or op.inputs[0] != state.value or _number(draft, op.inputs[1]) != 0:
        return
    initial = draft.weight(state.initial)
    if initial is None or initial.shape[:1] != (1,) or len(draft.consumers(state.value)) != 1:
        return
    shape = (1, *draft.shape(op.inputs[2]))
    item = op.inputs[2]
    dtype = "float32" if item is None else draft.values[item].dtype
    draft.values[op.outputs[0]] = replace(draft.values[op.outputs[0]], shape=shape, dtype=dtype)
    draft.replace(op.evolve(type="RESHAPE", inputs=op.inputs[2:], attributes={"target_shape": shape}))


def _item(draft: Draft, state: _State, index: int) -> int | None:
    """What a state that is a list is given at the loop's index; None when it is no such list."""
    op = draft.producer(state.next)
    if op is None:
        return None
    if op.type == "SET_ITEM" and op.inputs[:2] == (state.value, index) and len(draft.consumers(state.value)) == 1:
        return op.inputs[2]
    return _scattered(draft, op, state, index) if op.type == _SCATTER else _spliced(draft, op, state, index)


def _set_item(draft: Draft, state: _State, index: int, item: int) -> None:
    """Writes what a list is given as one operator, however it was written."""
    op = draft.producer(state.next)
    assert op is not None
    shape = (*draft.shape(state.initial)[:1], *draft.shape(item))
    for value in (state.value, op.outputs[0], state.final):
        draft.values[value] = replace(draft.values[value], shape=shape, dtype=draft.values[item].dtype)
    draft.opaque.discard(op.id)
    draft.replace(op.evolve(type="SET_ITEM", inputs=(state.value, index, item), attributes={}))


def _scattered(draft: Draft, op: Op, state: _State, index: int) -> int | None:
    """``tensor_scatter_nd_update(list, [[index]], [item])``, as a recovered loop that ends early has it."""
    items, places, updates = op.inputs
    made = draft.producer(updates)
    is_one = draft.shape(places) == (1, 1) and _first(draft, places) == index
    if items != state.value or not is_one or len(draft.consumers(state.value)) != 1:
        return None
    if made is None or made.type != "RESHAPE" or draft.shape(updates) != (1, *draft.shape(made.inputs[0])):
        return None
    return made.inputs[0]


def _spliced(draft: Draft, op: Op, state: _State, index: int) -> int | None:
    """``CONCATENATION(list[:index], [item], list[index + 1:])``, which converters write where they have no lists."""
    if op.type != "CONCATENATION" or op.attributes["axis"] != 0 or len(op.inputs) != 3:
        return None
    before, made, after = (draft.producer(value) for value in op.inputs)
    if before is None or made is None or after is None or made.type != "RESHAPE":
        return None
    taken = all(part.type == "SLICE" and part.inputs[0] == state.value for part in (before, after))
    if not taken or len(draft.consumers(state.value)) != 2:
        return None
    at, behind = _first(draft, before.inputs[2]), _first(draft, after.inputs[1])
    step = draft.producer(behind)
    if at != index or step is None or step.type != "ADD" or index not in step.inputs:
        return None
    return made.inputs[0]


def _first(draft: Draft, value: int | None) -> int | None:
    """The scalar that an index vector starts with."""
    op = draft.producer(value)
    while op is not None and op.type in ("CONCATENATION", "RESHAPE", "PACK"):
        value = op.inputs[0]
        op = draft.producer(value)
    return value


def _alive(draft: Draft, start: Op, states: list[_State], needed: list[int]) -> list[_State]:
    """States that something outside the loop, or another living state, depends on."""
    alive = [state for state in states if _used(draft, state.final)]
    frontier = [*needed, *(state.next for state in alive)]
    while True:
        found = reached(draft, frontier, start)
        more = [s for s in states if s.value in found and not any(s is other for other in alive)]
        if not more:
            return [state for state in states if any(state is other for other in alive)]
        alive += more
        frontier = [state.next for state in more]


def reached(draft: Draft, values: Sequence[int | None], start: Op) -> set[int]:
    """Results of ``start`` that values are made from."""
    found: set[int] = set()
    seen: set[int] = set()
    stack = [value for value in values if value is not None]
    while stack:
        value = stack.pop()
        op = draft.producer(value)
        if op is None or value in seen:
            continue
        seen.add(value)
        if op.id == start.id:
            found.add(value)
        else:
            stack.extend(v for v in op.inputs if v is not None)
    return found


def inside(draft: Draft, starts: Sequence[Op], results: Sequence[int | None]) -> list[Op]:
    """Operators between ``starts``, which are not among them, and ``results``, in topological order."""
    order = draft.ordered()
    reached_from = {start.id for start in starts}
    for op in order:
        if any((maker := draft.producer(value)) is not None and maker.id in reached_from for value in op.inputs):
            reached_from.add(op.id)
    needed = {value for value in results if value is not None}
    found = []
    for op in reversed(order):
        if op.id in reached_from and op not in starts and not needed.isdisjoint(op.outputs):
            needed.update(value for value in op.inputs if value is not None)
            found.append(op)
    return found[::-1]
