"""A few operators of a file as a person would write them: the layers that ``recover`` makes of these alone."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from typing import Any

import keras
import numpy as np

from tflrecover.generation.arguments import of_layer, shortest
from tflrecover.generation.literals import Unwritable, literal
from tflrecover.ir import Graph, Op
from tflrecover.ops.quantize import real_dtype
from tflrecover.recovery.assembly import Assembly
from tflrecover.recovery.builder import Call, ModelBuilder
from tflrecover.recovery.form import formed
from tflrecover.recovery.layers import is_tensor
from tflrecover.recovery.model import defaults
from tflrecover.recovery.names import Names
from tflrecover.rewrite.draft import Draft, OpId

_log = logging.getLogger(__name__)

# More are no line to insert, but a part of a network.
_MOST_CALLS, _MOST_OPERATORS = 6, 150
# More numbers are no source.
_MOST_NUMBERS = 8
# Of what is between, in a part that is no chain.
_NAMES = ("y", "z", "u", "v", "w", "s")
# What a file puts around an operator that has other axes than the layer.
_LAYOUT = ("RESHAPE", "TRANSPOSE")
# How that is written.
_MOVES = ("layers.Reshape", "layers.Permute", "ops.reshape", "ops.transpose")


@dataclass(frozen=True, slots=True)
class Line:
    """One call.

    Attributes:
        source: How it is written.
        layer: The layer that is called; None for a function.
        assigned: The same on tensors with names, where the calls are no chain; else empty.
    """

    source: str
    layer: Any
    assigned: str = ""

    @property
    def moves(self) -> bool:
        """Whether it only moves axes."""
        return self.source.startswith(_MOVES)


def lines(draft: Draft, graph: Graph, operators: Collection[OpId], *, is_tried: bool = False) -> tuple[Line, ...]:
    """The calls that operators of a file are, in order.

    Args:
        draft: The file in canonical terms, before any other rule; it is not changed.
        graph: Its canonical graph.
        operators: Ids of operators of that graph.
        is_tried: Whether what comes of it is proved before it is told. Then what stands between them may be a part,
            though it has a counterpart, and one layer is better than several.

    Returns:
        Empty where nothing in Keras is these, or more than a few calls are.
    """
    mine = [op for op in graph.ops() if op.id in operators]
    others = [op for op in graph.ops() if op.id not in operators]
    # An activation has the same origin as the convolution that it is fused into.
    own = _within(draft, mine) - {op.id for op in others}
    parts = _parts(draft, own, _within(draft, others) - own)
    if is_tried:
        # Scalings have origins in other layers.
        parts = chain(parts, _parts(draft, draft.ops.keys() & operators, set()))
    first: tuple[Line, ...] = ()
    for part in parts:
        found = _written(draft, part)
        if found and not _is_in_parts(found) and (len(found) == 1 or not is_tried):
            return found
        first = first or found
    return first


def _within(draft: Draft, ops: Sequence[Op]) -> set[OpId]:
    """Those of the draft that canonical ones come from."""
    origins = {origin.op for op in ops for origin in op.origins}
    return {op.id for op in draft.ops.values() if any(origin.op in origins for origin in op.origins)}


def _parts(draft: Draft, operators: Set[OpId], others: Set[OpId]) -> Iterator[Set[OpId]]:
    """Those operators, and with what stands between and around them: together they may be one layer."""
    free = draft.ops.keys() - others
    # What moves axes on the way may have been taken for a part of what comes behind.
    moves = {op.id for op in draft.of_type(*_LAYOUT)}
    between = operators | (_between(draft, operators) & (free | moves))
    whole = _only_for(draft, between, free)
    tried: list[Set[OpId]] = []
    for part in (operators, between, whole, whole | _around(draft, whole)):
        if part not in tried:
            tried.append(part)
            yield part


def _is_in_parts(written: Sequence[Line]) -> bool:
    """Whether functions or moved axes are among them, which are in a layer where there is more of it."""
    return any(line.moves or line.source.startswith("ops.") for line in written)


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


def _only_for(draft: Draft, inside: Collection[OpId], free: Collection[OpId]) -> set[OpId]:
    """Free operators whose results nobody else takes: what a loop begins with, and the list that it walks over."""
    found = set(inside)
    for op in reversed(draft.ordered()):
        users = [user.id for value in op.outputs for user, _ in draft.consumers(value)]
        if op.id in free and users and found.issuperset(users) and set(op.outputs).isdisjoint(draft.outputs):
            found.add(op.id)
    return found


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


def _written(draft: Draft, inside: Collection[OpId]) -> tuple[Line, ...]:
    """The calls that operators of the draft are; none where they are no part that Keras takes."""
    try:
        calls = _calls(draft, inside)
        assigned = _assigned(calls)
        return tuple(Line(_source(call), call.layer, line) for call, line in zip(calls, assigned, strict=True))
    except Unwritable:
        return ()
    # A part of a network need not be one; with more of it, it may be.
    except Exception as error:
        _log.debug("operators %s are no lines: %s: %s", sorted(map(str, inside)), type(error).__name__, error)
        return ()


def _calls(draft: Draft, inside: Collection[OpId]) -> Sequence[Call]:
    part = _part(draft, inside)
    if not 0 < len(part.ops) <= _MOST_OPERATORS:
        return ()
    with defaults():
        formed(part)
        builder = ModelBuilder(Names())
        known = {value: _input(part, value) for value in part.inputs}
        assembly = Assembly(part, builder, False, known)
        assembly.run()
        calls = _without_flattening(builder.calls, [known[value] for value in part.inputs])
        return () if assembly.missing or len(calls) > _MOST_CALLS else calls


def _without_flattening(calls: Sequence[Call], inputs: Sequence[Any]) -> Sequence[Call]:
    """Without what the layer behind moves itself: a result with the axes of what goes in is one for it already."""
    axes = [tuple(value.shape[:-1]) for value in inputs]
    while len(calls) > 1 and calls[-1].target in _MOVES and [tuple(calls[-1].args[0].shape[:-1])] == axes:
        calls = calls[:-1]
    return calls


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
    # With what else a layer is called says what it computes.
    return f"{_layer(call)}({_given(call, call.named)})" if call.named else _layer(call)


def _layer(call: Call) -> str:
    if call.layer is None or not call.target.startswith("layers."):
        raise Unwritable(call.target)
    if call.target == "layers.EinsumDense" and _is_per_channel(call.arguments["equation"]):
        # A part of a batch norm or of another layer that scales.
        raise Unwritable(call.target)
    kind = getattr(keras.layers, call.target.removeprefix("layers."))
    return _made(kind, shortest(kind, call.arguments))


def _assigned(calls: Sequence[Call]) -> list[str]:
    """The calls on ``x``, whose result is ``x`` again; empty texts where each takes what the one before gave, no more.

    What is not taken any more gives its name away.
    """
    taken = [_tensors((*call.args, *call.named.values(), *call.arguments.values())) for call in calls]
    made = {id(call.result) for call in calls}
    inputs = {id(x): x for tensors in taken for x in tensors if id(x) not in made}
    is_chain = all([id(x) for x in now] == [id(call.result)] for call, now in zip(calls, taken[1:], strict=False))
    if is_chain or len(inputs) != 1 or not all(is_tensor(call.result) for call in calls):
        return [""] * len(calls)
    names, found = dict.fromkeys(inputs, "x"), []
    for i, call in enumerate(calls):
        target, named = (call.target, call.arguments) if call.layer is None else (_layer(call), call.named)
        given = [_on_names(one, names) for one in call.args]
        given += [f"{keyword}={_on_names(one, names)}" for keyword, one in named.items()]
        later = {id(x) for tensors in taken[i + 1 :] for x in tensors}
        held = {name for tensor, name in names.items() if tensor in later}
        name = "x" if i == len(calls) - 1 else next(one for one in _NAMES if one not in held)
        found.append(f"{name} = {target}({', '.join(given)})")
        names[id(call.result)] = name
    return found


def _tensors(values: Sequence[Any]) -> list[Any]:
    listed = chain.from_iterable(value if isinstance(value, (list, tuple)) else [value] for value in values)
    return [value for value in listed if is_tensor(value)]


def _on_names(value: Any, names: Mapping[int, str]) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_on_names(one, names) for one in value)}]"
    return names[id(value)] if is_tensor(value) else _literal(value)


def _made(kind: type, arguments: Mapping[str, Any]) -> str:
    return f"layers.{kind.__name__}({', '.join(_listed(arguments))})"


def _is_per_channel(equation: str) -> bool:
    return len(equation.partition(",")[2].partition("->")[0]) == 1


def _given(call: Call, named: Mapping[str, Any]) -> str:
    return ", ".join([*map(_literal, call.args), *_listed(named)])


def _listed(arguments: Mapping[str, Any]) -> list[str]:
    return [f"{name}={_literal(value)}" for name, value in arguments.items()]


def _literal(value: Any) -> str:
    if is_tensor(value):
        return "x"
    if isinstance(value, keras.layers.Layer):
        return _made(type(value), of_layer(value))
    if isinstance(value, np.ndarray) and value.size > _MOST_NUMBERS:
        raise Unwritable("many numbers")
    return literal(value)
