"""Keras's recurrent cells, each as the operators that it is in a loop.

    SimpleRNN:  h' = a(z)
    LSTM:       c' = r(z_f) · c + r(z_i) · a(z_c)        h' = r(z_o) · a(c')
    GRU:        h' = r(z_z) · h + (1 - r(z_z)) · a(z_h)

with ``z = x·K + h·R + b``; in a GRU the part ``h·R`` of ``z_h`` is ``r(z_r) · (h·R + b)``, or, where it is reset
before, ``(r(z_r) · h) · R``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tflrecover.ir import Op
from tflrecover.recovery.activations import ACTIVATIONS, is_plain
from tflrecover.recovery.linear import Linear, Term, linear, taken
from tflrecover.recovery.match import pairs
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.scalars import scalar
from tflrecover.weight import Array


@dataclass(frozen=True, slots=True)
class State:
    """One value that a loop hands on.

    Attributes:
        value: In this iteration.
        next: What it becomes.
    """

    value: int
    next: int


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """A cell that was found.

    Attributes:
        kind: Of Keras's layers.
        item: What it takes of the sequence.
        states: In the layer's order; the first is its output, too.
        weights: Kernel, recurrent kernel and bias; a bias of zeros is None.
        attributes: Arguments of the layer.
    """

    kind: str
    item: int
    states: tuple[State, ...]
    weights: tuple[Array, Array, Array | None]
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class _Gate:
    """An activation of a sum of products."""

    activation: str
    terms: Linear


def _activated(draft: Draft, value: int) -> tuple[str, int, float, float]:
    """``(activation, x, s, o)`` of ``activation(s · x + o)``."""
    op = draft.producer(value)
    if op is None or op.inputs[0] is None:
        return "linear", value, 1.0, 0.0
    inner = draft.producer(op.inputs[0])
    if inner is not None and inner.inputs[0] is not None:
        # Keras's is RELU6(x + 3) / 6, that of tf_keras MINIMUM(MAXIMUM(x / 5 + 1 / 2, 0), 1).
        if op.type == "AFFINE" and inner.type == "RELU6" and _is_sixth(draft, op):
            return "hard_sigmoid", inner.inputs[0], 1.0, -3.0
        if op.type == "RELU" and inner.type == "MINIMUM" and scalar(draft, inner.inputs[1], 0.0) == 1.0:
            return "hard_sigmoid", inner.inputs[0], 6.0, -3.0
    if op.type in ACTIVATIONS and is_plain(op):
        return ACTIVATIONS[op.type], op.inputs[0], 1.0, 0.0
    return "linear", value, 1.0, 0.0


def _is_sixth(draft: Draft, op: Op) -> bool:
    scale, offset = scalar(draft, op.inputs[1], 1.0), scalar(draft, op.inputs[2], 0.0)
    return scale is not None and np.float32(scale) == np.float32(1 / 6) and offset == 0.0


def _gate(draft: Draft, value: int) -> _Gate:
    activation, inner, scale, offset = _activated(draft, value)
    whole = draft.producer(value)
    if activation == "linear" and whole is not None and whole.type == "STRIDED_SLICE" and whole.inputs[0] is not None:
        # A part of what an activation makes is what it makes of that part.
        activation, inner, scale, offset = _activated(draft, whole.inputs[0])
        part = None if activation == "linear" else taken(draft, whole, inner)
        activation, inner, scale, offset = (activation, inner, scale, offset) if part else ("linear", value, 1.0, 0.0)
        terms = dict(part or linear(draft, inner))
    else:
        terms = dict(linear(draft, inner))
    if scale != 1.0:
        terms = {source: _times(term, np.float32(scale)) for source, term in terms.items()}
    if offset:
        before = terms.get(None, Term()).bias
        terms[None] = Term(None, np.asarray((0 if before is None else before) + np.float32(offset)))
    return _Gate(activation, terms)


def _times(term: Term, scale: np.float32) -> Term:
    parts = (None if part is None else part * scale for part in (term.kernel, term.bias))
    return Term(*parts)


def _kernels(gates: Sequence[Linear], h: int) -> tuple[int, list[Array]] | None:
    """``(item, [kernel, recurrent kernel, bias of the item, bias of the state])`` of gates side by side."""
    items = {source for terms in gates for source in terms if source not in (h, None)}
    if len(items) != 1:
        return None
    (item,) = items
    assert item is not None
    kernels, recurrent = ([terms.get(source, Term()).kernel for terms in gates] for source in (item, h))
    units = {kernel.shape[-1] for kernel in (*kernels, *recurrent) if kernel is not None}
    if any(kernel is None for kernel in (*kernels, *recurrent)) or len(units) != 1:
        return None
    of_item = [_bias(terms, (item, None), *units) for terms in gates]
    of_state = [_bias(terms, (h,), *units) for terms in gates]
    parts = (kernels, recurrent, of_item, of_state)
    return item, [np.concatenate([part for part in listed if part is not None], -1) for listed in parts]


def _bias(terms: Linear, sources: Sequence[int | None], units: int) -> Array:
    biases = [term.bias for source in sources if (term := terms.get(source)) is not None and term.bias is not None]
    return np.broadcast_to(sum(biases[1:], biases[0]) if biases else np.float32(0), (units,))


def _found(kind: str, states: Sequence[State], gates: Sequence[_Gate], **attributes: object) -> Cell | None:
    found = _kernels([gate.terms for gate in gates], states[0].value)
    if found is None:
        return None
    item, (kernel, recurrent, of_item, of_state) = found
    both = np.stack([of_item, of_state]) if attributes.get("reset_after") else of_item + of_state
    attributes = {"units": recurrent.shape[0], **attributes}
    return Cell(kind, item, tuple(states), (kernel, recurrent, both if both.any() else None), attributes)


def _simple(draft: Draft, states: Sequence[State]) -> Iterator[Cell | None]:
    gate = _gate(draft, states[0].next)
    yield _found("SimpleRNN", states, [gate], activation=gate.activation)


def _lstm(draft: Draft, states: Sequence[State]) -> Iterator[Cell | None]:
    h, c = states
    for kept, added in pairs(draft, c.next, "ADD"):
        for forget, cell in pairs(draft, kept, "MUL"):
            if cell != c.value:
                continue
            for (gate, made), (output, shown) in _both(draft, added, h.next):
                name, inner, scale, offset = _activated(draft, shown)
                i, f, g, o = (_gate(draft, value) for value in (gate, forget, made, output))
                if (inner, scale, offset) != (c.next, 1.0, 0.0) or len({i.activation, f.activation, o.activation}) != 1:
                    continue
                if g.activation == name:
                    yield _found("LSTM", states, [i, f, g, o], activation=name, recurrent_activation=i.activation)


def output_parts(draft: Draft, value: int) -> Iterator[tuple[int, int]]:
    """``(c, c')`` where a value may be the output of an LSTM: ``gate · a(c')`` with ``c' = gate · c + …``."""
    for _, shown in pairs(draft, value, "MUL"):
        new = _activated(draft, shown)[1]
        for kept, _ in pairs(draft, new, "ADD"):
            yield from ((cell, new) for _, cell in pairs(draft, kept, "MUL"))


def _both(draft: Draft, one: int, other: int) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    for first in pairs(draft, one, "MUL"):
        for second in pairs(draft, other, "MUL"):
            yield first, second


def _gru(draft: Draft, states: Sequence[State]) -> Iterator[Cell | None]:
    (h,) = states
    for update, candidate in _updates(draft, h):
        z, made = _gate(draft, update), _gate(draft, candidate)
        for is_after, r, terms in _resets(draft, made.terms, h.value):
            if r.activation != z.activation:
                continue
            gates = [z, r, _Gate(made.activation, terms)]
            names = {"activation": made.activation, "recurrent_activation": z.activation}
            yield _found("GRU", states, gates, **names, reset_after=is_after)


def _updates(draft: Draft, h: State) -> Iterator[tuple[int, int]]:
    """``(z, n)`` of ``z · h + (1 - z) · n``, which PyTorch's converter writes as ``(h - n) · z + n``."""
    for kept, added in pairs(draft, h.next, "ADD"):
        for (update, old), (rest, candidate) in _both(draft, kept, added):
            if old == h.value and _is_rest(draft, rest, update):
                yield update, candidate
        for update, difference in pairs(draft, kept, "MUL"):
            op = draft.producer(difference)
            if op is not None and op.type == "SUB" and op.inputs == (h.value, added):
                yield update, added


def _is_rest(draft: Draft, value: int, gate: int) -> bool:
    """Whether it is ``1 - gate``."""
    op = draft.producer(value)
    if op is None or op.type != "AFFINE" or op.inputs[0] != gate:
        return False
    return scalar(draft, op.inputs[1], 1.0) == -1.0 and scalar(draft, op.inputs[2], 0.0) == 1.0


def _resets(draft: Draft, terms: Linear, h: int) -> Iterator[tuple[bool, _Gate, Linear]]:
    """``(is reset after the product, reset gate, terms with the state's part under the state)``."""
    for source, term in terms.items():
        others = {key: other for key, other in terms.items() if key != source}
        for reset, part in pairs(draft, source, "MUL"):
            if part == h and term.kernel is not None:
                yield False, _gate(draft, reset), {**others, h: term}
            inner = linear(draft, part)
            if term.is_source and set(inner) == {h}:
                yield True, _gate(draft, reset), {**others, h: inner[h]}


CELLS: tuple[tuple[int, Callable[[Draft, Sequence[State]], Iterator[Cell | None]]], ...] = (
    (2, _lstm),
    (1, _gru),
    (1, _simple),
)
"""How many states a cell has, and what finds it."""


def cell_of(draft: Draft, states: Sequence[State]) -> Cell | None:
    """The cell that makes the states what they become, in this order."""
    makers = (find for count, find in CELLS if count == len(states))
    return next((cell for find in makers for cell in find(draft, states) if cell is not None), None)
