"""Per-channel constants: ``x * s + o``, whatever operators it was written with, and into the linear operator before it.

NEG(x) = AFFINE(x, -1, 0)
MUL(x, s) = AFFINE(x, s, 0)      DIV(x, s) = AFFINE(x, 1/s, 0)
ADD(x, o) = AFFINE(x, 1, o)      SUB(x, o) = AFFINE(x, 1, -o)      SUB(o, x) = AFFINE(x, -1, o)
AFFINE(AFFINE(x, s, o), t, p) = AFFINE(x, s·t, o·t + p)
AFFINE(CONV(x, k, b), s, o) = CONV(x, k·s, b·s + o)

Who else takes a value decides which of them a side has merged or absorbed; where the sides are compared, all that lies
on an edge counts as one (``align/links.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tflrecover.ir import Op, Origin, Shape
from tflrecover.ops.conv import is_no_bias
from tflrecover.ops.elementwise import ADD, MUL, NEG, RECIPROCAL
from tflrecover.ops.shape import shaped
from tflrecover.rewrite.common import lone_constant
from tflrecover.rewrite.draft import Draft, merged_origins
from tflrecover.weight import Literal, Weight

Pair = tuple[Weight | None, Weight | None]

_MINUS_ONE = Literal.of(np.float32(-1))

# The linear operators, and how a factor per output channel lies along the canonical kernel of each, from its shape.
LINEAR: dict[str | int, Callable[[Shape], Shape]] = {
    "CONV_2D": lambda kernel: kernel[-1:],
    "CONV_3D": lambda kernel: kernel[-1:],
    "FULLY_CONNECTED": lambda kernel: kernel[-1:],
    "DEPTHWISE_CONV_2D": lambda kernel: kernel[-2:],
    "TRANSPOSE_CONV": lambda kernel: (kernel[-2], 1),
    "CONV_3D_TRANSPOSE": lambda kernel: (kernel[-2], 1),
}


def _is_per_channel(weight: Weight, shape: Shape) -> bool:
    """Whether it broadcasts along the last axis only."""
    rank = len(weight.shape)
    return (
        rank <= len(shape)
        and all(n == 1 for n in weight.shape[:-1])
        and (rank == 0 or weight.shape[-1] in (1, shape[-1]))
    )


def _as_affine(op: Op, slot: int, weight: Weight) -> Pair | None:
    """``(scale, offset)`` of an arithmetic operator whose operand ``slot`` is constant."""
    if op.type == "MUL":
        return weight, None
    if op.type == "ADD":
        return None, weight
    if op.type == "SUB":
        return (None, NEG(weight)) if slot == 1 else (_MINUS_ONE, weight)
    return (RECIPROCAL(weight), None) if slot == 1 else None


def to_affine(draft: Draft) -> int:
    """Arithmetic with one per-channel constant operand becomes AFFINE; ``DIV(x, c)`` by any other becomes a product."""
    count = 0
    for op in draft.of_type("NEG"):
        draft.replace(op.evolve(type="AFFINE", inputs=(op.inputs[0], draft.constant(_MINUS_ONE), None), attributes={}))
        count += 1
    for op in draft.of_type("MUL", "ADD", "SUB", "DIV"):
        found = lone_constant(draft, op)
        if found is None:
            continue
        slot, weight = found
        x = op.inputs[1 - slot]
        shape = draft.shape(x)
        if shape != draft.shape(op.outputs[0]):
            continue
        if not _is_per_channel(weight, shape):
            if op.type == "DIV" and slot == 1:
                inputs = (x, draft.constant(RECIPROCAL(weight)))
                draft.replace(op.evolve(type="MUL", inputs=inputs, attributes={}))
                count += 1
            continue
        pair = _as_affine(op, slot, weight)
        if pair is not None:
            draft.replace(op.evolve(type="AFFINE", inputs=(x, *_operands(draft, pair)), attributes={}))
            count += 1
    return count


def _operands(draft: Draft, pair: Pair) -> tuple[int | None, ...]:
    return tuple(None if weight is None else draft.constant(weight) for weight in pair)


def pair_of(draft: Draft, op: Op) -> Pair:
    """``(scale, offset)`` of an AFFINE."""
    return draft.weight(op.inputs[1]), draft.weight(op.inputs[2])


def compose(first: Pair, then: Pair) -> Pair:
    """``(s, o)`` of applying one after the other."""
    (s, o), (t, p) = first, then
    scale = MUL(s, t) if s is not None and t is not None else s or t
    carried = MUL(o, t) if o is not None and t is not None else o
    offset = ADD(carried, p) if carried is not None and p is not None else carried or p
    return scale, offset


def merge_affines(draft: Draft) -> int:
    """Two AFFINE in a row become one, when the first feeds nothing else."""
    count = 0
    for op_id in [op.id for op in draft.ordered("AFFINE")]:
        op = draft.ops[op_id]
        before = draft.producer(op.inputs[0])
        if before is None or before.type != "AFFINE" or draft.only_consumer(before.outputs[0]) is None:
            continue
        pair = compose(pair_of(draft, before), pair_of(draft, op))
        draft.remove(before.id)
        inputs = (before.inputs[0], *_operands(draft, pair))
        where = {**_makers(draft, before), **_makers(draft, op)}
        origins = merged_origins(before, op)
        draft.replace(op.evolve(inputs=inputs, layer=before.layer, origins=origins, attribute_origins=where))
        count += 1
    return count


def _makers(draft: Draft, op: Op) -> dict[str, Origin]:
    """Where the scale and the offset of an AFFINE come from, if it has them: the last that has one gave it."""
    given = zip(("scale", "offset"), pair_of(draft, op), strict=True)
    made = {role: op.attribute_origins.get(role) or next(iter(op.origins), None) for role, weight in given if weight}
    return {role: origin for role, origin in made.items() if origin is not None}


def absorb_affines(draft: Draft) -> int:
    """An AFFINE behind a linear operator goes into its kernel and bias, when nobody else takes the result."""
    count = 0
    for op in draft.of_type("AFFINE"):
        linear = draft.producer(op.inputs[0])
        if linear is None or linear.type not in LINEAR or draft.only_consumer(linear.outputs[0]) is None:
            continue
        kernel, bias = draft.weight(linear.inputs[1]), draft.weight(linear.inputs[2])
        if kernel is None or bias is None:
            continue
        absorbed = absorb(linear.type, kernel, bias, pair_of(draft, op))
        draft.remove(op.id)
        draft.replace(
            linear.evolve(
                inputs=(linear.inputs[0], *(draft.constant(weight) for weight in absorbed)),
                outputs=op.outputs,
                origins=merged_origins(linear, op),
            )
        )
        count += 1
    return count


def absorb(linear: str | int, kernel: Weight, bias: Weight, pair: Pair) -> tuple[Weight, Weight]:
    """Kernel and bias of a linear operator of that type with ``pair`` behind it inside."""
    scale, offset = (_flat(weight) for weight in pair)
    if scale is not None:
        kernel = MUL(kernel, _shaped(scale, LINEAR[linear](kernel.shape)), shape=kernel.shape)
    carried = None if is_no_bias(bias) else bias if scale is None else MUL(bias, scale, shape=bias.shape)
    if offset is None:
        return kernel, carried or bias
    # An offset that is one number for all channels still fills a whole bias.
    if offset.shape != bias.shape:
        offset = ADD(Literal.of(np.zeros(bias.shape, np.float32)), offset, shape=bias.shape)
    return kernel, offset if carried is None else ADD(carried, offset, shape=bias.shape)


def _flat(weight: Weight | None) -> Weight | None:
    if weight is None or len(weight.shape) <= 1:
        return weight
    return _shaped(weight, weight.shape[-1:])


def _shaped(weight: Weight, shape: Shape) -> Weight:
    """One number stays as it is: it is broadcast."""
    return weight if math.prod(weight.shape) == 1 else shaped(weight, shape)
