"""Attention whose queries and keys no layer of Keras makes: rotated, of one projection, with a bias beside the scores.

TRANSPOSE(SOFTMAX(masked(scale · q·kᵀ + bias))·v) = DOT_PRODUCT_ATTENTION(q, k, v, bias, mask)      steps before heads
SELECT(mask, SOFTMAX(SELECT(mask, x, -1e9)), 0) = MASKED_SOFTMAX(x, mask)
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from tflrecover.ir import Op
from tflrecover.recovery.masks import Mask, taken_off, understood, zeros_taken_off
from tflrecover.recovery.match import offset, pairs
from tflrecover.recovery.moves import moved
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
    if tuple(op.attributes["perm"]) != _HEADS_FIRST or weighted is None or weighted.inputs[0] is None:
        return False
    weights, zeros = zeros_taken_off(draft, weighted.inputs[0])
    softmax = maker(draft, weights, "SOFTMAX")
    if softmax is None or weighted.attributes["adj_x"] or softmax.attributes["beta"] != 1.0:
        return False
    if any(draft.only_consumer(value) is None for value in (weighted.outputs[0], weighted.inputs[0])):
        return False
    masked, condition = taken_off(draft, softmax.inputs[0])
    mask = understood(draft, condition, draft.shape(softmax.inputs[0]), has_heads=True)
    # Where a query sees no key, the function has all alike.
    if zeros is not None and not (zeros.is_same(condition) and mask.leaves_some):
        return False
    for scores, bias in _biased(draft, masked):
        outer, scale = scaled(draft, scores)
        product = maker(draft, outer, "BATCH_MATMUL")
        if product is None or product.attributes["adj_x"] or draft.only_consumer(product.outputs[0]) is None:
            continue
        if _replaced(draft, op, (product, weighted), bias, mask, scale):
            return True
    return False


def _replaced(draft: Draft, op: Op, products: tuple[Op, Op], bias: int | None, mask: Mask, scale: float) -> bool:
    turns = (not products[0].attributes["adj_y"], bool(products[1].attributes["adj_y"]))
    perms = (_HEADS_FIRST, *(_TURNED if is_turned else _HEADS_FIRST for is_turned in turns))
    heads = (*products[0].inputs[:2], products[1].inputs[1])
    if not _are_heads(draft, heads, perms):
        return False
    write = Writer(draft, op)
    given = [_steps_first(draft, write, *one) for one in zip(heads, perms, strict=True)]
    count = draft.shape(given[0])[2]
    # Of several heads of keys each is for as many queries; one alone the function takes for one query.
    given = [
        write.add("TILE", (x,), multiples=(1, 1, count, 1)) if draft.shape(x)[2] == 1 < count else x for x in given
    ]
    inputs = (*given, bias, mask.operand(draft, op))
    attributes = {"scale": scale, "is_causal": mask.is_causal}
    draft.replace(op.evolve(type="DOT_PRODUCT_ATTENTION", inputs=inputs, attributes=attributes))
    return True


def _biased(draft: Draft, value: int | None) -> Iterator[tuple[int | None, int | None]]:
    """``(scores, bias)`` of scores with something added; without, the bias is None."""
    yield value, None
    yield from pairs(draft, value, "ADD")
    x, added = offset(draft, value)
    if added is not None:
        yield x, draft.constant(Literal.of(added))


def _are_heads(draft: Draft, heads: tuple[int | None, ...], perms: tuple[tuple[int, ...], ...]) -> bool:
    """Whether queries, keys and values have as many heads, of one size; all queries may see one head of keys."""
    if any(draft.weight(value) is not None or len(draft.shape(value)) != len(_HEADS_FIRST) for value in heads):
        return False
    shapes = [[draft.shape(x)[perm.index(axis)] for axis in range(4)] for x, perm in zip(heads, perms, strict=True)]
    (batch, _, count, size), key, value = shapes
    return key == value and key[0] == batch and key[3] == size and key[2] in (count, 1)


def _steps_first(draft: Draft, write: Writer, value: int | None, perm: tuple[int, ...]) -> int | None:
    """A value before a transpose, be it that this has to be undone; heads that are the same are there once."""
    order = [int(axis) for axis in np.argsort(perm)]
    found = moved(draft, value)
    if found is not None and found.shift is None and found.scale == 1.0:
        index = np.transpose(found.index, order)
        *lead, count, size = index.shape
        kept = math.prod(draft.shape(found.source))
        heads = kept // (math.prod(lead) * size)
        shape = (*lead, heads, size)
        is_whole = 0 < heads <= count and not count % heads and math.prod(shape) == kept
        if is_whole and np.array_equal(index, np.repeat(np.arange(kept).reshape(shape), count // heads, axis=-2)):
            return write.reshaped(found.source, shape)
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
