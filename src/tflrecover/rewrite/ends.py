"""The ends of loops and conditions, on their way into the canonical form: they hand shapes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from tflrecover.ir import Op, Origin
from tflrecover.rewrite.draft import Draft


def _loop(op: Op, draft: Draft, origin: Origin) -> None:
    """One end of a loop. What it carries has the shape that it starts with, whatever the source says.

    But for a list that was reserved before the shape of its items was known: that has the shape it ends with.
    """
    start = draft.producer(op.inputs[0]) if op.type == "END_LOOP" else None
    given = op.inputs if start is None else op.inputs[2:]
    results = op.outputs[1:] if start is None else op.outputs
    for i, result in enumerate(results):
        shape = draft.shape(given[i])
        if start is not None and len(start.outputs) <= 1 + i:
            shape = (op.attributes["trips"], *shape)
        elif start is not None and shape and 0 not in (begun := draft.shape(start.outputs[1 + i])):
            shape = begun
        draft.values[result] = replace(draft.values[result], shape=shape, shape_signature=None)
    draft.add(op.evolve(origins=(origin,)))


def _branch(op: Op, draft: Draft, origin: Origin) -> None:
    """The beginning of one side of a condition; constants are the same inside."""
    for given, result in zip(op.inputs[1:], op.outputs, strict=True):
        shape, weight = draft.shape(given), draft.weight(given)
        draft.values[result] = replace(draft.values[result], shape=shape, shape_signature=None, weight=weight)
    draft.add(op.evolve(origins=(origin,)))


def _condition(op: Op, draft: Draft, origin: Origin) -> None:
    """The end of both sides: results have the shapes of the first."""
    for given, result in zip(op.inputs[1:], op.outputs, strict=False):
        draft.values[result] = replace(draft.values[result], shape=draft.shape(given), shape_signature=None)
    draft.add(op.evolve(origins=(origin,)))


ENDS: Mapping[str | int, Callable[[Op, Draft, Origin], None]] = {
    "LOOP": _loop,
    "END_LOOP": _loop,
    "THEN": _branch,
    "ELSE": _branch,
    "END_IF": _condition,
}
