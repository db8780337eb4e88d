"""Attention that files write out becomes ``MultiHeadAttention``.

    q, k, v = heads of x·Wq + bq, of y·Wk + bk, of z·Wv + bv
    SOFTMAX(q·kᵀ / √d)·v, its heads side by side, ·W + b

Where the scores have another scale, or a mask, operators stay as they are; without any scale the file has it in Wq.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tflrecover.ir import Op
from tflrecover.recovery.match import array, factor, maker, offset
from tflrecover.rewrite.draft import Draft
from tflrecover.weight import Array, Literal

# From (batch, time, heads, size) to heads first, and to the same with the size before time.
_HEADS_FIRST, _TURNED = (0, 2, 1, 3), (0, 2, 3, 1)
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class _Projection:
    """``heads of x·kernel + bias``; the kernel has the axes features, heads, size."""

    x: int
    kernel: Array
    bias: Array
    scale: float = 1.0


def fuse_attention(draft: Draft) -> int:
    """Every output projection that attention is behind becomes the whole layer."""
    count = 0
    for op in draft.of_type("FULLY_CONNECTED"):
        found = _attention(draft, op)
        if found is not None:
            _replace(draft, op, *found)
            count += 1
    return count


def _attention(draft: Draft, op: Op) -> tuple[_Projection, _Projection, _Projection] | None:
    """Query, key and value."""
    merged = maker(draft, op.inputs[0], "RESHAPE")
    turned = None if merged is None else maker(draft, merged.inputs[0], "TRANSPOSE")
    if turned is None or tuple(turned.attributes["perm"]) != _HEADS_FIRST or "activation" in op.attributes:
        return None
    batch, time, heads, size = draft.shape(turned.outputs[0])
    if draft.shape(op.inputs[0]) != (batch, time, heads * size):
        return None
    weighted = maker(draft, turned.inputs[0], "BATCH_MATMUL")
    weights = None if weighted is None else maker(draft, weighted.inputs[0], "SOFTMAX")
    if weighted is None or weights is None or weights.attributes["beta"] != 1.0 or weighted.attributes["adj_x"]:
        return None
    scores, scale = _scaled(draft, weights.inputs[0])
    swap = maker(draft, scores, "TRANSPOSE")
    is_swapped = swap is not None and tuple(swap.attributes["perm"]) == (0, 1, 3, 2)
    product = maker(draft, swap.inputs[0] if swap is not None and is_swapped else scores, "BATCH_MATMUL")
    if product is None or product.attributes["adj_x"]:
        return None
    first = _projection(draft, product.inputs[0], is_turned=False)
    second = _projection(draft, product.inputs[1], is_turned=not product.attributes["adj_y"])
    # The rows of the scores are queries.
    query, key = (second, first) if is_swapped else (first, second)
    value = _projection(draft, weighted.inputs[1], is_turned=bool(weighted.attributes["adj_y"]))
    if query is None or key is None or value is None or query.kernel.shape[1:] != key.kernel.shape[1:]:
        return None
    root = math.sqrt(query.kernel.shape[-1])
    total = scale * query.scale * key.scale
    if value.scale != 1.0 or query.kernel.shape[1] != value.kernel.shape[1]:
        return None
    if math.isclose(total * root, 1.0, rel_tol=_ROUNDING):
        return query, key, value
    if total != 1.0:
        return None
    whole = np.float32(root)
    return _Projection(query.x, query.kernel * whole, query.bias * whole), key, value


def _scaled(draft: Draft, value: int | None) -> tuple[int | None, float]:
    """``(x, number)`` of ``x · number``."""
    inner, number = factor(draft, value)
    return (value, 1.0) if number is None or number.size != 1 else (inner, float(number.reshape(-1)[0]))


def _projection(draft: Draft, value: int | None, *, is_turned: bool) -> _Projection | None:
    """The heads of a dense layer; ``is_turned`` where their size is before time."""
    outer, scale = _scaled(draft, value)
    turned = maker(draft, outer, "TRANSPOSE")
    if turned is None or tuple(turned.attributes["perm"]) != (_TURNED if is_turned else _HEADS_FIRST):
        return None
    inner, again = _scaled(draft, turned.inputs[0])
    apart, bias = offset(draft, inner)
    split = maker(draft, apart, "RESHAPE")
    dense = None if split is None else maker(draft, split.inputs[0], "FULLY_CONNECTED")
    if split is None or dense is None or dense.inputs[0] is None or "activation" in dense.attributes:
        return None
    batch, time, heads, size = draft.shape(split.outputs[0])
    kernel, own = array(draft, dense.inputs[1]), array(draft, dense.inputs[2])
    is_plain = draft.shape(dense.outputs[0]) == (batch, time, heads * size)
    if kernel is None or own is None or not is_plain or len(draft.shape(dense.inputs[0])) != len((batch, time, size)):
        return None
    both = own.reshape(heads, size)
    if bias is not None:
        if np.broadcast_shapes(bias.shape, (1, 1, heads, size)) != (1, 1, heads, size):
            return None
        both = both + np.broadcast_to(bias, (1, 1, heads, size))[0, 0]
    return _Projection(dense.inputs[0], kernel.reshape(-1, heads, size), both, scale * again)


def _replace(draft: Draft, op: Op, query: _Projection, key: _Projection, value: _Projection) -> None:
    heads, size = value.kernel.shape[1:]
    kernel, bias = array(draft, op.inputs[1]), array(draft, op.inputs[2])
    assert kernel is not None
    assert bias is not None
    last = (kernel.reshape(heads, size, -1), bias)
    pairs = [(one.kernel, one.bias) for one in (query, key, value)] + [last]
    has_bias = any(one.any() for _, one in pairs)
    weights = [one for pair in pairs for one in (pair if has_bias else pair[:1])]
    operands = (draft.constant(Literal.of(np.asarray(one, np.float32))) for one in weights)
    attributes = {"num_heads": heads, "key_dim": query.kernel.shape[-1], "value_dim": size, "use_bias": has_bias}
    inputs = (query.x, value.x, key.x, *operands)
    made = op.evolve(type="MULTI_HEAD_ATTENTION", inputs=inputs, attributes=attributes)
    draft.replace(made)
