"""Products of activations that are layers of their own: attention without heads, and the dot product of two vectors.

SOFTMAX(q·kᵀ)·v = ATTENTION(q, v, k)
SOFTMAX(SUM(TANH(q + k) · scale))·v = ADDITIVE_ATTENTION(q, v, k, scale)       each query with each key
a·bᵀ = DOT(a, b)                                                               of one vector for each example
"""

from __future__ import annotations

import math

from tflrecover.ir import Op, Shape
from tflrecover.ops.shape import only_moves_units
from tflrecover.recovery.match import factor, pairs
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.match import maker
from tflrecover.rewrite.writer import Writer
from tflrecover.weight import Array, Literal

_LAST, _TURNED = 2, (0, 2, 1)


def fuse_products(draft: Draft) -> int:
    """Every product of three axes that is a layer of Keras becomes one operator."""
    products = [op for op in draft.of_type("BATCH_MATMUL") if len(draft.shape(op.outputs[0])) == len(_TURNED)]
    return sum(_attention(draft, op) or _dot(draft, op) for op in products)


def _attention(draft: Draft, op: Op) -> bool:
    weights, value = op.inputs
    softmax = maker(draft, weights, "SOFTMAX")
    if softmax is None or op.attributes["adj_x"] or op.attributes["adj_y"] or softmax.attributes["beta"] != 1.0:
        return False
    inner = (weights, softmax.inputs[0])
    if any(x is None or draft.only_consumer(x) is None for x in inner) or draft.weight(value) is not None:
        return False
    scores = maker(draft, softmax.inputs[0], "BATCH_MATMUL", "SUM")
    found = None if scores is None else (_queries if scores.type == "BATCH_MATMUL" else _additive)(draft, scores)
    if found is None:
        return False
    kind, query, key, scale = found
    # An activation of each example: a table would be one for all.
    if any(draft.weight(x) is not None or len(draft.shape(x)) != len(_TURNED) for x in (query, key)):
        return False
    operands = (query, value, key) if scale is None else (query, value, key, draft.constant(Literal.of(scale)))
    draft.replace(op.evolve(type=kind, inputs=operands, attributes={}))
    return True


_Found = tuple[str, int | None, int | None, Array | None]


def _queries(draft: Draft, scores: Op) -> _Found | None:
    query, key = scores.inputs
    if scores.attributes["adj_x"]:
        return None
    if not scores.attributes["adj_y"]:
        turned = maker(draft, key, "TRANSPOSE")
        if turned is None or tuple(turned.attributes["perm"]) != _TURNED:
            return None
        key = turned.inputs[0]
    return "ATTENTION", query, key, None


def _additive(draft: Draft, scores: Op) -> _Found | None:
    if scores.attributes["axis"] != (3,) or scores.attributes["keepdims"]:
        return None
    x, scale = factor(draft, scores.inputs[0])
    tanh = maker(draft, x, "TANH")
    units = draft.shape(scores.inputs[0])[-1]
    if tanh is None or (scale is not None and scale.size != units):
        return None
    for one, other in pairs(draft, tanh.inputs[0], "ADD"):
        # Of one example the first axis may be missing.
        (n, queries, *of_query), (m, before, keys, size) = ((*[1] * 4, *draft.shape(x))[-4:] for x in (one, other))
        if of_query == [1, units] and (m, before, size) == (n, 1, units):
            write = Writer(draft, scores)
            query, key = (_as(draft, write, x, (n, steps, units)) for x, steps in ((one, queries), (other, keys)))
            return "ADDITIVE_ATTENTION", query, key, None if scale is None else scale.reshape(-1)
    return None


def _dot(draft: Draft, op: Op) -> bool:
    batch, *ones = draft.shape(op.outputs[0])
    size = math.prod(draft.shape(op.inputs[0])) // batch
    if ones != [1, 1] or size < _LAST or any(draft.weight(x) is not None for x in op.inputs):
        return False
    write = Writer(draft, op)
    vectors = tuple(_as(draft, write, x, (batch, size)) for x in op.inputs)
    write.finish(write.reshaped(write.add("DOT", vectors, (batch, 1)), (batch, 1, 1)))
    return True


def _as(draft: Draft, write: Writer, value: int | None, shape: Shape) -> int | None:
    """A value in a shape that differs by axes of size 1, as it may have been before."""
    x = value
    while draft.shape(x) != shape:
        op = maker(draft, x, "RESHAPE")
        if op is None or not only_moves_units(draft.shape(op.inputs[0]), shape):
            return write.reshaped(value, shape)
        x = op.inputs[0]
    return x
