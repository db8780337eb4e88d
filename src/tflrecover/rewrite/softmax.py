"""Softmax as one operator without a factor.

SOFTMAX(x, beta) = SOFTMAX(beta · x, 1)      the factor that old files keep in the operator's options
SOFTMAX(x - REDUCE_MAX(x)) = SOFTMAX(x)      the same for all of an axis shifts nothing; a converter knows
EXP(x - (LOG(SUM(EXP(x - m))) + m)) = SOFTMAX_OF_AXES(x)      what Keras computes along several axes
"""

from __future__ import annotations

import numpy as np

from tflrecover.ir import Op
from tflrecover.rewrite.draft import Draft, merged_origins
from tflrecover.rewrite.match import maker
from tflrecover.weight import Literal


def split_softmax(draft: Draft) -> int:
    """The factor of a softmax becomes an operator before it."""
    count = 0
    for op in draft.of_type("SOFTMAX"):
        beta, x = op.attributes.get("beta"), op.inputs[0]
        if x is None or not isinstance(beta, float) or beta == 1:
            continue
        scaled = draft.new_value(draft.shape(x), draft.values[x].dtype, draft.values[x].name)
        factor = draft.constant(Literal.of(np.float32(beta)))
        draft.add(Op(f"{op.id}.beta", "AFFINE", (x, factor, None), (scaled,), {}, op.layer, op.origins))
        draft.replace(op.evolve(inputs=(scaled,), attributes={**op.attributes, "beta": 1.0}))
        count += 1
    return count


def drop_largest(draft: Draft) -> int:
    """What is subtracted from every number of an axis before its softmax goes."""
    count = 0
    for op in draft.of_type("SOFTMAX"):
        shifted = maker(draft, op.inputs[0], "SUB")
        largest = None if shifted is None else maker(draft, shifted.inputs[1], "REDUCE_MAX")
        if shifted is None or largest is None or largest.inputs[0] != shifted.inputs[0]:
            continue
        last = len(draft.shape(shifted.inputs[0])) - 1
        if largest.attributes == {"axis": (last,), "keepdims": True}:
            origins = merged_origins(shifted, op)
            draft.replace(op.evolve(inputs=(shifted.inputs[0],), origins=origins))
            count += 1
    return count


def fuse_softmax(draft: Draft) -> int:
    """What Keras computes along several axes becomes one operator."""
    count = 0
    for op in draft.of_type("EXP"):
        found = _operand(draft, op)
        if found is None:
            continue
        x, axes = found
        draft.replace(op.evolve(type="SOFTMAX_OF_AXES", inputs=(x,), attributes={"axis": axes}))
        count += 1
    return count


def _operand(draft: Draft, op: Op) -> tuple[int, tuple[int, ...]] | None:
    """``x`` and the axes, if an exponential is the last operator of a softmax."""
    shifted = maker(draft, op.inputs[0], "SUB")
    total = None if shifted is None else maker(draft, shifted.inputs[1], "ADD")
    if shifted is None or total is None:
        return None
    x = shifted.inputs[0]
    for logarithm, largest in (total.inputs, total.inputs[::-1]):
        inner: Op | None = None
        for kind in ("LOG", "SUM", "EXP", "SUB"):
            inner = maker(draft, logarithm if inner is None else inner.inputs[0], kind)
            if inner is None:
                break
            if kind == "SUM":
                sums = inner
        if inner is not None and inner.inputs == (x, largest) and x is not None and sums.attributes["keepdims"]:
            axes = tuple(axis % len(draft.shape(x)) for axis in sums.attributes["axis"])
            along = tuple(1 if axis in axes else n for axis, n in enumerate(draft.shape(x)))
            return (x, tuple(sorted(axes))) if draft.shape(largest) == along else None
    return None
