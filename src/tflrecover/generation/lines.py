"""A few operators of a file as a person would write them: the layers that ``recover`` makes of these alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tflrecover.generation.arguments import shortest
from tflrecover.generation.literals import Unwritable, literal
from tflrecover.ir import Op
from tflrecover.ops.quantize import real_dtype
from tflrecover.recovery.assembly import Assembly
from tflrecover.recovery.builder import Call, ModelBuilder
from tflrecover.recovery.form import formed
from tflrecover.recovery.layers import is_tensor
from tflrecover.recovery.model import defaults
from tflrecover.recovery.names import Names
from tflrecover.rewrite.draft import Draft, OpId

# More are no line to insert, but a part of a network.
_MOST_CALLS, _MOST_OPERATORS = 6, 150
# More numbers are no source.
_MOST_NUMBERS = 8
# What a file puts around an operator that has other axes than the layer.
_LAYOUT = ("RESHAPE", "TRANSPOSE")


def lines(
    draft: Draft, operators: Collection[OpId], others: Collection[OpId], known: Collection[OpId] = ()
) -> tuple[str, ...]:
    """The calls that operators of a file are, as source, in order.

    Args:
        draft: The file in canonical terms, before any other rule; it is not changed.
        operators: Indices of operators of the file.
        others: Indices of those that are known to be something else.
        known: Ids in the draft of what is something else, though it comes from the same operators of the file.

    Returns:
        Empty where nothing in Keras is these, or more than a few calls are.
    """
    first: tuple[str, ...] = ()
    for part in _parts(draft, operators, others):
        found = _written(draft, part.difference(known))
        if found and not _is_in_parts(found):
            return found
        first = first or found
    return first


def _parts(draft: Draft, operators: Collection[OpId], others: Collection[OpId]) -> Iterator[set[OpId]]:
    """Those operators, and with what stands between and around them: together they may be one layer."""
    inside = {op.id for op in draft.ops.values() if _is_of(op, operators)}
    yield inside
    whole = inside | {op_id for op_id in _between(draft, inside) if not _is_of(draft.ops[op_id], others)}
    if whole != inside:
        yield whole
    yield whole | _around(draft, whole)


def _is_of(op: Op, operators: Collection[OpId]) -> bool:
    return any(origin.op in operators for origin in op.origins)


def _is_in_parts(written: Sequence[str]) -> bool:
    """Whether functions or moved axes are among them, which are in a layer where there is more of it."""
    return any(line.startswith(("layers.Reshape(", "layers.Permute(", "ops.")) for line in written)


def _between(draft: Draft, inside: Collection[OpId]) -> set[OpId]:
    """Operators on the way from some to some: also those that no canonical operator comes from, such as counters."""
    ordered = draft.ordered()
    after, before = set(inside), set(inside)
    for op in ordered:
        if any((made := draft.producer(value)) is not None and made.id in after for value in op.inputs):
            after.add(op.id)
    for op in reversed(ordered):
        if any(user.id in before for value in op.outputs for user, _ in draft.consumers(value)):
            before.add(op.id)
    return after & before


def _around(draft: Draft, inside: Collection[OpId]) -> set[OpId]:
    """Operators before and behind that only move numbers, and nobody else takes."""
    found: set[OpId] = set()
    for op_id in inside:
        op = draft.ops[op_id]
        near = [draft.producer(value) for value in op.inputs if draft.weight(value) is None]
        near = [one for one in near if one is not None and draft.only_consumer(one.outputs[0]) is not None]
        near += [draft.only_consumer(value) for value in op.outputs]
        found |= {one.id for one in near if one is not None and one.type in _LAYOUT}
    return found


def _written(draft: Draft, inside: Collection[OpId]) -> tuple[str, ...]:
    part = _part(draft, inside)
    if not 0 < len(part.ops) <= _MOST_OPERATORS:
        return ()
    with defaults():
        formed(part)
        builder = ModelBuilder(Names())
        known = {value: _input(part, value) for value in part.inputs}
        assembly = Assembly(part, builder, False, known)
        assembly.run()
        if assembly.missing or len(builder.calls) > _MOST_CALLS:
            return ()
        try:
            return tuple(map(_source, builder.calls))
        except Unwritable:
            return ()


def _part(draft: Draft, inside: Collection[OpId]) -> Draft:
    """Some operators alone: what they take of others are inputs, what others take of them are outputs."""
    ops = [op for op in draft.ordered() if op.id in inside]
    made = {value for op in ops for value in op.outputs}
    taken = (value for op in ops for value in op.inputs if value is not None and draft.weight(value) is None)
    part = Draft(draft.values, dict.fromkeys(value for value in taken if value not in made), draft.env)
    for op in ops:
        part.add(op)
    part.opaque = draft.opaque & part.ops.keys()
    part.outputs = tuple(
        value
        for op in ops
        for value in op.outputs
        if value in draft.outputs or any(user.id not in part.ops for user, _ in draft.consumers(value))
    )
    return part


def _input(draft: Draft, value: int) -> Any:
    return keras.Input(batch_shape=draft.shape(value), dtype=real_dtype(draft.values[value]))


def _source(call: Call) -> str:
    """A layer without its tensors, or a function with ``x`` in the place of each.

    Raises:
        Unwritable: it is neither, or takes more numbers than a line has.
    """
    if call.layer is None and call.target.startswith("ops."):
        return f"{call.target}({_given(call, call.arguments)})"
    if call.layer is None or not call.target.startswith("layers."):
        raise Unwritable(call.target)
    if call.target == "layers.EinsumDense" and _is_per_channel(call.arguments["equation"]):
        # A part of a batch norm or of another layer that scales.
        raise Unwritable(call.target)
    kind = getattr(keras.layers, call.target.removeprefix("layers."))
    made = f"{call.target}({', '.join(_listed(shortest(kind, call.arguments)))})"
    # With what else a layer is called says what it computes.
    return f"{made}({_given(call, call.named)})" if call.named else made


def _is_per_channel(equation: str) -> bool:
    return len(equation.partition(",")[2].partition("->")[0]) == 1


def _given(call: Call, named: Mapping[str, Any]) -> str:
    return ", ".join([*map(_literal, call.args), *_listed(named)])


def _listed(arguments: Mapping[str, Any]) -> list[str]:
    return [f"{name}={_literal(value)}" for name, value in arguments.items()]


def _literal(value: Any) -> str:
    if is_tensor(value):
        return "x"
    if isinstance(value, np.ndarray) and value.size > _MOST_NUMBERS:
        raise Unwritable("many numbers")
    return literal(value)
