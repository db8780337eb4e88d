"""Attention whose queries and keys no layer of Keras makes: rotated, of one projection, with a bias beside the scores.

TRANSPOSE(SOFTMAX(scale · q·kᵀ + bias)·v) = DOT_PRODUCT_ATTENTION(q, k, v, bias)      q, k and v with steps before heads
SELECT(mask, SOFTMAX(SELECT(mask, x, -1e9)), 0) = MASKED_SOFTMAX(x, mask)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tflrecover.ir import Op
from tflrecover.recovery.match import offset, pairs
from tflrecover.recovery.projections import scaled
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.match import array, maker
from tflrecover.rewrite.writer import Writer
from tflrecover.weight import Literal

# From (batch, steps, heads, size), as the function has it, to heads first, and to a size before steps.
_HEADS_FIRST, _TURNED = (0, 2, 1, 3), (0, 2, 3, 1)
# What Keras's layer puts where a score does not count.
_HIDDEN = -1e9


def fuse_scores(draft: Draft) -> int:
    """Every softmax between two products of heads becomes the function that is all of that."""
    return sum(_fused(draft, op) for op in draft.of_type("TRANSPOSE"))


def _fused(draft: Draft, op: Op) -> bool:
    weighted = maker(draft, op.inputs[0], "BATCH_MATMUL")
    softmax = None if weighted is None else maker(draft, weighted.inputs[0], "SOFTMAX")
    if tuple(op.attributes["perm"]) != _HEADS_FIRST or weighted is None or softmax is None:
        return False
    if weighted.attributes["adj_x"] or weighted.attributes["adj_y"] or softmax.attributes["beta"] != 1.0:
        return False
    if any(draft.only_consumer(one.outputs[0]) is None for one in (weighted, softmax)):
        return False
    for scores, bias in _biased(draft, softmax.inputs[0]):
        outer, scale = scaled(draft, scores)
        product = maker(draft, outer, "BATCH_MATMUL")
        if product is None or product.attributes["adj_x"] or draft.only_consumer(product.outputs[0]) is None:
            continue
        perms = (_HEADS_FIRST, _HEADS_FIRST if product.attributes["adj_y"] else _TURNED, _HEADS_FIRST)
        heads = (*product.inputs[:2], weighted.inputs[1])
        if not _are_heads(draft, heads, perms):
            continue
        write = Writer(draft, op)
        given = tuple(_steps_first(draft, write, *one) for one in zip(heads, perms, strict=True))
        attributes = {"scale": scale}
        draft.replace(op.evolve(type="DOT_PRODUCT_ATTENTION", inputs=(*given, bias), attributes=attributes))
        return True
    return False


def _biased(draft: Draft, value: int | None) -> Iterator[tuple[int | None, int | None]]:
    """``(scores, bias)`` of scores with something added; without, the bias is None."""
    yield value, None
    yield from pairs(draft, value, "ADD")
    x, added = offset(draft, value)
    if added is not None:
        yield x, draft.constant(Literal.of(added))


def _are_heads(draft: Draft, heads: tuple[int | None, ...], perms: tuple[tuple[int, ...], ...]) -> bool:
    """Whether queries, keys and values have as many heads, of one size."""
    if any(draft.weight(value) is not None or len(draft.shape(value)) != len(_HEADS_FIRST) for value in heads):
        return False
    shapes = [[draft.shape(x)[perm.index(axis)] for axis in (0, 2, 3)] for x, perm in zip(heads, perms, strict=True)]
    return all(shape == shapes[0] for shape in shapes)


def _steps_first(draft: Draft, write: Writer, value: int | None, perm: tuple[int, ...]) -> int | None:
    """A value before a transpose, be it that this has to be undone."""
    order = [int(axis) for axis in np.argsort(perm)]
    turned = maker(draft, value, "TRANSPOSE")
    if turned is not None:
        value, order = turned.inputs[0], [turned.attributes["perm"][axis] for axis in order]
    return write.transposed(value, tuple(order))


def fuse_masked_softmax(draft: Draft) -> int:
    """A softmax with a mask, as Keras's layer has it: what does not count is zero, also where nothing counts."""
    count = 0
    for op in draft.of_type("SELECT_V2"):
        mask, weights, other = op.inputs
        softmax = maker(draft, weights, "SOFTMAX")
        inner = None if softmax is None else maker(draft, softmax.inputs[0], "SELECT_V2")
        if weights is None or inner is None or inner.inputs[0] != mask or draft.only_consumer(weights) is None:
            continue
        zero, hidden = array(draft, other), array(draft, inner.inputs[2])
        if zero is None or zero.any() or hidden is None or hidden.size != 1 or hidden.item() != _HIDDEN:
            continue
        x = inner.inputs[1]
        if draft.weight(mask) is None and len(draft.shape(mask)) <= len(draft.shape(x)) == len(
            draft.shape(op.outputs[0])
        ):
            draft.replace(op.evolve(type="MASKED_SOFTMAX", inputs=(x, mask), attributes={}))
            count += 1
    return count
