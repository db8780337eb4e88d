"""What a value is of others, where only linear operators lie between: ``Σ source · kernel + bias``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tflrecover.ir import Op, Shape
from tflrecover.ops.slicing import WHOLE
from tflrecover.recovery.moves import moved
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.match import array, maker
from tflrecover.rewrite.writer import Writer
from tflrecover.weight import Array


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """``source · kernel + bias``.

    Attributes:
        kernel: None where the source is taken as it is.
        bias: None where there is none.
    """

    kernel: Array | None = None
    bias: Array | None = None

    @property
    def is_source(self) -> bool:
        """Whether it is the source itself."""
        return self.kernel is None and self.bias is None


Linear = Mapping[int | None, Term]
"""Source to its term; what no source has a part in stands under None."""


def linear(draft: Draft, value: int) -> Linear:
    """The value as a sum of products with constants; what is not linear is a source of its own."""
    op = draft.producer(value)
    reader = None if op is None or op.id in draft.opaque else _READERS.get(op.type)
    found = None if op is None or reader is None else reader(draft, op)
    return {value: Term()} if found is None else found


def _dense(draft: Draft, op: Op) -> Linear | None:
    """Only of a source itself: a product of two kernels would not be the file's own numbers."""
    kernel, bias = (array(draft, value) for value in op.inputs[1:3])
    if op.inputs[0] is None or kernel is None or "activation" in op.attributes:
        return None
    joined = maker(draft, op.inputs[0], "CONCATENATION")
    if (
        joined is not None
        and joined.attributes["axis"] % len(draft.shape(op.inputs[0])) == len(draft.shape(op.inputs[0])) - 1
    ):
        return _joined(draft, joined, kernel, bias)
    source = _bare(draft, op.inputs[0])
    return {op.inputs[0] if source is None else source: Term(kernel, bias)}


def _joined(draft: Draft, op: Op, kernel: Array, bias: Array | None) -> Linear | None:
    """Each part of what is joined has rows of the kernel of its own."""
    sources = [_bare(draft, value) for value in op.inputs]
    ends = np.cumsum([draft.shape(value)[-1] for value in op.inputs])[:-1]
    if None in sources or len(set(sources)) != len(sources):
        return None
    terms = {source: Term(rows) for source, rows in zip(sources, np.split(kernel, ends), strict=True)}
    return terms if bias is None else {**terms, None: Term(None, bias)}


def _bare(draft: Draft, value: int | None) -> int | None:
    """The one source that a value is."""
    inner: Linear = {} if value is None or draft.weight(value) is not None else linear(draft, value)
    return next(iter(inner)) if len(inner) == 1 and all(term.is_source for term in inner.values()) else None


def _sum(draft: Draft, op: Op) -> Linear | None:
    if any(value is None or draft.weight(value) is not None for value in op.inputs):
        return None
    found: dict[int | None, Term] = {}
    for value in op.inputs:
        assert value is not None
        for source, term in linear(draft, value).items():
            before = found.get(source)
            if before is None:
                found[source] = term
            elif source is None or (before.kernel is not None and term.kernel is not None):
                found[source] = Term(_plus(before.kernel, term.kernel), _plus(before.bias, term.bias))
            else:
                return None
    return found


def _plus(one: Array | None, other: Array | None) -> Array | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other


def _affine(draft: Draft, op: Op) -> Linear | None:
    scale, offset = (array(draft, value) for value in op.inputs[1:3])
    # A number alone has no channels that a kernel could have.
    if op.inputs[0] is None or not draft.shape(op.outputs[0]):
        return None
    if any(one is None and value is not None for one, value in zip((scale, offset), op.inputs[1:3], strict=True)):
        return None
    inner = linear(draft, op.inputs[0])
    if scale is not None:
        if any(source is not None and term.kernel is None for source, term in inner.items()):
            return None
        inner = {source: Term(_times(term.kernel, scale), _times(term.bias, scale)) for source, term in inner.items()}
    if offset is None:
        return inner
    along = np.broadcast_to(offset.reshape(-1), draft.shape(op.outputs[0])[-1:])
    before = inner.get(None, Term())
    return {**inner, None: Term(None, _plus(before.bias, along))}


def _times(given: Array | None, scale: Array) -> Array | None:
    return None if given is None else given * scale.reshape(-1)


def _slice(draft: Draft, op: Op) -> Linear | None:
    """A part of the last axis."""
    slices = op.attributes["slices"] or (WHOLE,)
    if op.inputs[0] is None:
        return None
    if len(slices) != len(draft.shape(op.inputs[0])) or any(place != WHOLE for place in slices[:-1]):
        return _rows(draft, op)
    return taken(draft, op, op.inputs[0])


def taken(draft: Draft, op: Op, value: int) -> Linear | None:
    """The part of a value that an operator takes of the last axis; None where it takes another, or of a source."""
    *lead, last = op.attributes["slices"] or (WHOLE,)
    if len(lead) + 1 != len(draft.shape(op.inputs[0])) or any(place != WHOLE for place in lead):
        return None
    if not isinstance(last, tuple):
        return None
    inner = linear(draft, value)
    if any(source is not None and term.kernel is None for source, term in inner.items()):
        return None
    part = slice(*last)
    return {source: Term(_part(term.kernel, part), _part(term.bias, part)) for source, term in inner.items()}


def _rows(draft: Draft, op: Op) -> Linear | None:
    """Some rows of a dense layer's results are what it makes of these rows."""
    found = moved(draft, op.outputs[0])
    dense = None if found is None else maker(draft, found.source, "FULLY_CONNECTED")
    if found is None or dense is None or found.shift is not None or found.scale != 1.0:
        return None
    kernel, bias = (array(draft, value) for value in dense.inputs[1:3])
    if kernel is None or "activation" in dense.attributes:
        return None
    rows, columns = np.divmod(found.index.reshape(-1, found.index.shape[-1]), kernel.shape[-1])
    begin, count = int(rows[0, 0]), len(rows)
    if (columns != columns[:1]).any() or (rows != begin + np.arange(count)[:, None]).any():
        return None
    whole = draft.shape(dense.inputs[0])
    shape = (math.prod(whole[:-1]), whole[-1])
    x = _made_once(draft, op, dense.inputs[0], "RESHAPE", shape, target_shape=shape)
    slices = ((begin, begin + count, 1),)
    x = _made_once(draft, op, x, "STRIDED_SLICE", (count, whole[-1]), slices=slices)
    return {x: Term(kernel[:, columns[0]], None if bias is None else bias[columns[0]])}


def _made_once(draft: Draft, op: Op, x: int | None, kind: str, shape: Shape, **attributes: Any) -> int:
    """An operator's result: a source is the same for all who look at it."""
    assert x is not None
    uses = (use for use, _ in draft.consumers(x) if use.type == kind and use.attributes == attributes)
    made = next(uses, None)
    return Writer(draft, op).add(kind, (x,), shape, "", **attributes) if made is None else made.outputs[0]


def _part(given: Array | None, part: slice) -> Array | None:
    return None if given is None else given[..., part]


def _reshape(draft: Draft, op: Op) -> Linear | None:
    """Rows stay rows."""
    before, after = draft.shape(op.inputs[0]), draft.shape(op.outputs[0])
    if op.inputs[0] is None or before[-1:] != after[-1:]:
        return None
    return linear(draft, op.inputs[0])


_READERS: Mapping[str | int, Callable[[Draft, Op], Linear | None]] = {
    "ADD": _sum,
    "AFFINE": _affine,
    "FULLY_CONNECTED": _dense,
    "RESHAPE": _reshape,
    "STRIDED_SLICE": _slice,
}
