"""Parts of the steps of a loop that was written out, which each framework joins otherwise.

FULLY_CONNECTED(CONCATENATION(x, h), k, b) = FULLY_CONNECTED(x, k[:n]) + FULLY_CONNECTED(h, k[n:]) + b
FULLY_CONNECTED(PAD(x), k, b) = FULLY_CONNECTED(x, k[:n], b)        zeros behind it, which a loop begins with
STRIDED_SLICE(f(x, y)) = f(STRIDED_SLICE(x), STRIDED_SLICE(y))      of the last axis, number by number

TensorFlow 1 has one kernel for item and state, and its gates in an order of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Any

from tflrecover import ops
from tflrecover.ir import Op
from tflrecover.ops.conv import no_bias
from tflrecover.ops.slicing import STRIDED_SLICE, WHOLE
from tflrecover.rewrite.affine import merge_affines
from tflrecover.rewrite.common import merge_common
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.match import maker
from tflrecover.rewrite.writer import Writer
from tflrecover.weight import Weight

_SUMS = ("ADD", "AFFINE")


def project_parts(draft: Draft) -> int:
    """A dense layer of what is joined is one of each part; zeros need none."""
    return sum(_projected(draft, op) or _unpadded(draft, op) for op in draft.of_type("FULLY_CONNECTED"))


def _projected(draft: Draft, op: Op) -> bool:
    joined, kernel, bias = maker(draft, op.inputs[0], "CONCATENATION"), *_weights(draft, op)
    rank = len(draft.shape(op.inputs[0]))
    if joined is None or kernel is None or joined.attributes["axis"] % rank != rank - 1:
        return False
    if any(value is None or draft.weight(value) is not None for value in joined.inputs):
        return False
    write, shape = Writer(draft, op), draft.shape(op.outputs[0])
    ends = accumulate((draft.shape(value)[-1] for value in joined.inputs), initial=0)
    total: int | None = None
    for value, (begin, end) in zip(joined.inputs, pairwise(ends), strict=True):
        rows = draft.constant(STRIDED_SLICE(kernel, slices=((begin, end, 1),)))
        none = draft.constant(no_bias(op.attributes["units"]))
        part = write.add("FULLY_CONNECTED", (value, rows, none), shape, **op.attributes)
        total = part if total is None else write.add("ADD", (total, part), shape)
    write.finish(total if bias is None else write.add("AFFINE", (total, None, draft.constant(bias)), shape))
    return True


def _unpadded(draft: Draft, op: Op) -> bool:
    padded, kernel, bias = maker(draft, op.inputs[0], "PAD"), *_weights(draft, op)
    if padded is None or kernel is None or padded.attributes["value"] != 0.0:
        return False
    *lead, (before, behind) = padded.attributes["padding"]
    if any(any(pair) for pair in lead) or before or not behind:
        return False
    rows = draft.constant(STRIDED_SLICE(kernel, slices=((0, kernel.shape[0] - behind, 1),)))
    operands = (padded.inputs[0], rows, *((draft.constant(bias),) if bias is not None else ()))
    draft.replace(op.evolve(inputs=operands))
    return True


def _weights(draft: Draft, op: Op) -> tuple[Weight | None, Weight | None]:
    return draft.weight(op.inputs[1]), draft.weight(op.inputs[2]) if len(op.inputs) > 2 else None


def slice_sums(draft: Draft) -> int:
    """Parts of the last axis are taken before what works number by number."""
    count = 0
    while more := sum(_sliced(draft, op) for op in draft.of_type("STRIDED_SLICE")):
        draft.prune()
        count += more
    for rule in _AFTER if count else ():
        rule(draft)
        draft.prune()
    return count


_AFTER: tuple[Callable[[Draft], int], ...] = (merge_affines, merge_common)


def _sliced(draft: Draft, op: Op) -> bool:
    made, (*front, last) = draft.producer(op.inputs[0]), op.attributes["slices"] or (None,)
    rank = len(draft.shape(op.inputs[0]))
    spec = None if made is None or made.id in draft.opaque else ops.by_name(made.type)
    is_last = isinstance(last, tuple) and len(front) == rank - 1 and all(place == WHOLE for place in front)
    if made is None or spec is None or not is_last or not (made.type in _SUMS or spec.is_of_single_numbers):
        return False
    shape = draft.shape(made.outputs[0])
    if any(draft.weight(v) is None and draft.shape(v) != shape for v in made.inputs if v is not None):
        return False
    write = Writer(draft, op)
    parts = tuple(_part(draft, write, value, op.attributes["slices"]) for value in made.inputs)
    write.finish(write.add(str(made.type), parts, draft.shape(op.outputs[0]), **made.attributes))
    return True


def _part(draft: Draft, write: Writer, value: int | None, slices: tuple[Any, ...]) -> int | None:
    weight = draft.weight(value)
    if weight is None:
        return value if value is None else write.add("STRIDED_SLICE", (value,), slices=slices)
    if weight.shape[-1:] in ((), (1,)):
        return value
    return draft.constant(STRIDED_SLICE(weight, slices=(*[WHOLE] * (len(weight.shape) - 1), slices[-1])))
