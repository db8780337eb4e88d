"""``LOOP … END_LOOP`` with known trips becomes its iterations, one after the other.

It is done on both sides, and only where one side has a loop and the other has it written out; see
:mod:`tflrecover.comparison.forms`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tflrecover.ir import Op
from tflrecover.ops.slicing import WHOLE
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.loops import inside
from tflrecover.rewrite.scalars import known_array
from tflrecover.weight import Literal

_MOST_OPS = 200_000


def unroll_loops(draft: Draft) -> int:
    """Writes out every loop whose trips are known, the innermost first."""
    count = 0
    for end in reversed(draft.ordered("END_LOOP")):
        start = draft.producer(end.inputs[0])
        if start is None or not end.attributes.get("trips"):
            continue
        body = inside(draft, [start], end.inputs)
        if any(op.type == "LOOP" for op in body) or len(body) * end.attributes["trips"] > _MOST_OPS:
            continue
        _unroll(draft, start, draft.ops[end.id], body)
        count += 1
    return count


def _unroll(draft: Draft, start: Op, end: Op, body: list[Op]) -> None:
    states = [_begun(draft, value) for value in start.inputs]
    items: list[list[int]] = [[] for _ in end.inputs[2 + len(states) :]]
    for trip in range(end.attributes["trips"]):
        known = {start.outputs[0]: draft.constant(Literal.of(np.int32(trip)))}
        known.update((value, now) for value, now in zip(start.outputs[1:], states, strict=True) if now is not None)
        for op in body:
            _copy(draft, op, trip, known)
        results = [None if value is None else known.get(value, value) for value in end.inputs[2:]]
        states = results[: len(states)]
        for taken, item in zip(items, results[len(states) :], strict=True):
            if item is not None:
                taken.append(item)
    for op_id in [end.id, *(op.id for op in body), start.id]:
        draft.remove(op_id)
    for final, state in zip(end.outputs, states, strict=False):
        if state is not None:
            draft.redirect(final, state)
    for final, taken in zip(end.outputs[len(states) :], items, strict=True):
        draft.add(
            end.evolve(
                id=f"{end.id}.{final}", type="PACK", inputs=tuple(taken), outputs=(final,), attributes={"axis": 0}
            )
        )


def _begun(draft: Draft, value: int | None) -> int | None:
    """What a state starts with; zeros of the file are zeros like any others."""
    weight = draft.weight(value)
    array = None if weight is None else known_array(draft, weight)
    if weight is None or array is None or array.any():
        return value
    draft.mark_structural(weight)
    return draft.constant(Literal.of(np.zeros(weight.shape, array.dtype)))


def _copy(draft: Draft, op: Op, trip: int, known: dict[int, int]) -> None:
    """One operator of the body as it is in one iteration."""
    inputs = tuple(None if value is None else known.get(value, value) for value in op.inputs)
    for value in op.outputs:
        before = draft.values[value]
        known[value] = draft.new_value(before.shape, before.dtype, before.name)
    made = op.evolve(id=f"{op.id}@{trip}", inputs=inputs, outputs=tuple(_ids(op.outputs, known)))
    place = draft.weight(inputs[1]) if op.type == "GATHER" else None
    if isinstance(place, Literal) and place.shape == ():
        slices = (*[WHOLE] * op.attributes["axis"], int(place.array))
        made = made.evolve(type="STRIDED_SLICE", inputs=inputs[:1], attributes={"slices": slices})
    draft.add(made)


def _ids(values: Iterable[int], known: dict[int, int]) -> list[int]:
    return [known[value] for value in values]
