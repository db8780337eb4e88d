"""Attention that files write out becomes ``MultiHeadAttention``, or ``GroupQueryAttention`` where heads share a key.

    q, k, v = heads of x·Wq + bq, of y·Wk + bk, of z·Wv + bv
    SOFTMAX(q·kᵀ / √d, masked)·v, its heads side by side, ·W + b

Where the scores have another scale, operators stay as they are; without any scale the file has it in Wq.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tflrecover.ir import Op, Shape
from tflrecover.recovery.masks import Mask, taken_off, understood, zeros_taken_off
from tflrecover.recovery.projections import Projection, heads_first, projection, scaled
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.match import array, maker
from tflrecover.weight import Array, Literal

_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class _Attention:
    """Attention that was found.

    Attributes:
        query: The first projection.
        key: The second.
        value: The third.
        kernel: Of the projection behind, with the axes heads, size, units.
        bias: Of that.
        mask: Which keys count.
        weights: Of the values: what comes of the scores.
        has_zeros: Whether these are zero for a query that sees no key; else it sees all.
    """

    query: Projection
    key: Projection
    value: Projection
    kernel: Array
    bias: Array
    mask: Mask
    weights: int
    has_zeros: bool


def fuse_attention(draft: Draft) -> int:
    """Every output projection that attention is behind becomes the whole layer."""
    count = 0
    for op in draft.of_type("FULLY_CONNECTED"):
        found = _attention(draft, op)
        if found is not None:
            _replace(draft, op, found)
            count += 1
    return count


def _attention(draft: Draft, op: Op) -> _Attention | None:
    merged = maker(draft, op.inputs[0], "RESHAPE")
    turned = None if merged is None else maker(draft, merged.inputs[0], "TRANSPOSE")
    if turned is None or "activation" in op.attributes:
        return None
    *lead, heads, size = draft.shape(turned.outputs[0])
    rows = draft.shape(op.inputs[0])
    is_merged = rows in ((*lead, heads * size), (math.prod(lead), heads * size))
    if not is_merged or tuple(turned.attributes["perm"]) != heads_first(len(lead) + 2):
        return None
    kernel, bias = array(draft, op.inputs[1]), array(draft, op.inputs[2])
    weighted = maker(draft, turned.inputs[0], "BATCH_MATMUL")
    if weighted is None or weighted.attributes["adj_x"] or kernel is None or bias is None:
        return None
    weights, zeros = zeros_taken_off(draft, weighted.inputs[0])
    softmax = maker(draft, weights, "SOFTMAX")
    if softmax is None or softmax.attributes["beta"] != 1.0 or weighted.inputs[0] is None:
        return None
    scores, condition = taken_off(draft, softmax.inputs[0])
    if zeros is not None and not zeros.is_same(condition):
        return None
    value = projection(draft, weighted.inputs[1], is_turned=bool(weighted.attributes["adj_y"]))
    pair = _scored(draft, scores)
    if value is None or pair is None or not _belong(*pair, value, heads, size):
        return None
    mask = understood(draft, condition, draft.shape(softmax.outputs[0]))
    behind = kernel.reshape(heads, size, -1)
    return _Attention(*pair, value, behind, bias, mask, weighted.inputs[0], zeros is not None)


def _scored(draft: Draft, scores: int | None) -> tuple[Projection, Projection] | None:
    """Query and key of scores that have the layer's scale; without any scale, the query has it in its weights."""
    product_value, scale = scaled(draft, scores)
    swap = maker(draft, product_value, "TRANSPOSE")
    rank = len(draft.shape(product_value))
    is_swapped = swap is not None and tuple(swap.attributes["perm"]) == (*range(rank - 2), rank - 1, rank - 2)
    product = maker(draft, swap.inputs[0] if swap is not None and is_swapped else product_value, "BATCH_MATMUL")
    if product is None or product.attributes["adj_x"]:
        return None
    first = projection(draft, product.inputs[0], is_turned=False)
    second = projection(draft, product.inputs[1], is_turned=not product.attributes["adj_y"])
    # The rows of the scores are queries.
    query, key = (second, first) if is_swapped else (first, second)
    if query is None or key is None:
        return None
    root, total = math.sqrt(query.size), scale * query.scale * key.scale
    if math.isclose(total * root, 1.0, rel_tol=_ROUNDING):
        return query, key
    return (query.scaled(root), key) if total == 1.0 else None


def _belong(query: Projection, key: Projection, value: Projection, heads: int, size: int) -> bool:
    """Whether three projections are of one layer."""
    if value.scale != 1.0 or query.repeats != 1 or key.repeats != value.repeats:
        return False
    if key.repeats != 1 and query.size != value.size:
        return False
    return query.size == key.size and query.heads == key.heads == value.heads == heads and value.size == size


def _replace(draft: Draft, op: Op, found: _Attention) -> None:
    query, key, value, mask = found.query, found.key, found.value, found.mask
    pairs = [(one.kernel, one.bias) for one in (query, key, value)] + [(found.kernel, found.bias)]
    has_bias = any(one.any() for _, one in pairs)
    weights = [one for pair in pairs for one in (pair if has_bias else pair[:1])]
    operands = (draft.constant(Literal.of(np.asarray(one, np.float32))) for one in weights)
    shape = draft.shape(query.x)
    made, result = _whole(draft, op, (*shape[:-1], found.kernel.shape[-1]))
    # What sees nothing has zeros where the layer makes the weights itself, and all where one function does it.
    is_either, makes_weights = mask.leaves_some, found.has_zeros and not mask.leaves_some
    outputs: tuple[int, ...] = (result,)
    is_wanted = len(draft.consumers(found.weights)) > 1 or found.weights in draft.outputs
    if is_wanted and (found.has_zeros or is_either):
        makes_weights, outputs = True, (result, found.weights)
        maker_of_weights = draft.producer(found.weights)
        assert maker_of_weights is not None
        draft.remove(maker_of_weights.id)
    attributes = {
        "num_heads": query.heads,
        "num_key_value_heads": query.heads // value.repeats,
        "key_dim": query.size,
        "value_dim": value.size,
        "use_bias": has_bias,
        "attention_axes": len(shape) - 2,
        "use_causal_mask": mask.is_causal,
        "return_attention_scores": makes_weights,
    }
    inputs = (query.x, value.x, key.x, mask.operand(draft, op), *operands)
    made = made.evolve(type="MULTI_HEAD_ATTENTION", inputs=inputs, attributes=attributes, outputs=outputs)
    draft.replace(made) if made.id in draft.ops else draft.add(made)


def _whole(draft: Draft, op: Op, shape: Shape) -> tuple[Op, int]:
    """The operator that is to be the layer, and its result; where the last projection works on rows, they are made."""
    result = op.outputs[0]
    rows = draft.shape(result)
    if rows == shape:
        return op, result
    whole = draft.new_value(shape, draft.values[result].dtype, draft.values[result].name)
    draft.replace(op.evolve(type="RESHAPE", inputs=(whole,), attributes={"target_shape": rows}))
    return op.evolve(id=f"{op.id}.attention"), whole
