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
from tflrecover.recovery.masks import Condition, Mask, taken_off, understood, zeros_taken_off
from tflrecover.recovery.moves import moved
from tflrecover.recovery.projections import Projection, projection
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.match import array, maker
from tflrecover.weight import Array, Literal

_ROUNDING = 1e-6
_SOFTMAX = ("SOFTMAX", "SOFTMAX_OF_AXES")


@dataclass(frozen=True, slots=True, eq=False)
class _Attention:
    """Attention that was found.

    Attributes:
        query: The first projection.
        key: The second.
        value: The third.
        heads: Which heads of the query, of the key and of the value belong together, in the order of the layer.
        axes: Along which axes queries see keys.
        kernel: Of the projection behind, with the axes heads, size, units.
        bias: Of that.
        mask: Which keys count.
        weights: Of the values: what comes of the scores.
        has_zeros: Whether these are zero for a query that sees no key; else it sees all.
    """

    query: Projection
    key: Projection
    value: Projection
    heads: tuple[Array, Array, Array]
    axes: tuple[int, ...]
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
    merged = moved(draft, op.inputs[0])
    weighted = None if merged is None else maker(draft, merged.source, "BATCH_MATMUL")
    kernel, bias = array(draft, op.inputs[1]), array(draft, op.inputs[2])
    if merged is None or weighted is None or merged.shift is not None or merged.scale != 1.0:
        return None
    if weighted.attributes["adj_x"] or weighted.inputs[0] is None or "activation" in op.attributes:
        return None
    scores = _scores(draft, weighted)
    if scores is None or kernel is None or bias is None:
        return None
    lead = draft.shape(weighted.outputs[0])[:-2]
    value = projection(draft, weighted.inputs[1], lead, is_turned=bool(weighted.attributes["adj_y"]))
    if value is None or value.scale != 1.0:
        return None
    query, key = scores.query, scores.key
    axes, heads = query.axes(), _together(query, key, value)
    if axes is None or heads is None:
        return None
    examples = [one.examples(axes) for one in (query, key, value)]
    if any(one is None or (one != examples[0]).any() for one in examples):
        return None
    # Each example has each head once.
    places = np.asarray(examples[0]) * len(heads[0]) + np.argsort(heads[0])[query.head]
    if not np.array_equal(np.sort(places), np.arange(len(places))):
        return None
    behind = _behind(merged.index, query, heads[0], value.size)
    if behind is None:
        return None
    kernel = kernel[behind].reshape(len(heads[0]), value.size, -1)
    sizes = [n for axis, n in enumerate(query.lead) if axis not in axes]
    is_as_keras_has_it = scores.is_straight and np.array_equal(places, np.arange(len(places)))
    is_as_keras_has_it &= scores.shape[:-2] == (*sizes, len(heads[0]))
    mask = understood(draft, scores.condition, scores.shape)
    is_wanted = len(draft.consumers(weighted.inputs[0])) > 1 or weighted.inputs[0] in draft.outputs
    if (mask.seen is not None or is_wanted) and not is_as_keras_has_it:
        return None
    return _Attention(query, key, value, heads, axes, kernel, bias, mask, weighted.inputs[0], scores.has_zeros)


@dataclass(frozen=True, slots=True, eq=False)
class _Scores:
    """What values are weighted by.

    Attributes:
        query: With the layer's scale; one matrix per matrix of weights.
        key: The same.
        condition: Where a score counts.
        has_zeros: Whether weights are zero where none does.
        shape: Of what the softmax takes.
        is_straight: Whether weights are that, with no axes moved.
    """

    query: Projection
    key: Projection
    condition: Condition | None
    has_zeros: bool
    shape: Shape
    is_straight: bool


def _scores(draft: Draft, weighted: Op) -> _Scores | None:
    weights, zeros = zeros_taken_off(draft, weighted.inputs[0])
    apart = moved(draft, weights)
    softmax = None if apart is None else maker(draft, apart.source, *_SOFTMAX)
    if apart is None or softmax is None or softmax.attributes.get("beta", 1.0) != 1.0:
        return None
    if apart.shift is not None or apart.scale != 1.0:
        return None
    shape = draft.shape(softmax.inputs[0])
    is_straight = np.array_equal(apart.index, np.arange(apart.index.size).reshape(shape))
    masked, condition = taken_off(draft, softmax.inputs[0])
    if (zeros is not None and not zeros.is_same(condition)) or (condition is not None and not is_straight):
        return None
    before = moved(draft, masked)
    product = None if before is None else maker(draft, before.source, "BATCH_MATMUL")
    if before is None or product is None or before.shift is not None:
        return None
    axes = softmax.attributes.get("axis", (len(shape) - 1,))
    lead = draft.shape(weighted.inputs[0])[:-2]
    order = _order(before.index.reshape(-1)[apart.index], draft.shape(product.outputs[0]))
    if order is None or not _are_weights(apart.index, shape, axes):
        return None
    stack, is_turned = order
    wide = np.broadcast_to(stack.reshape(lead), draft.shape(weighted.outputs[0])[:-2]).reshape(-1)
    pair = _scored(draft, product, is_turned, before.scale)
    if pair is None:
        return None
    query, key = (one.stacked(wide) for one in pair)
    return _Scores(query, key, condition, zeros is not None, shape, is_straight)


def _order(index: Array, product: Shape) -> tuple[Array, bool] | None:
    """Of each matrix of weights, which of a product it is, and whether its rows are columns there."""
    rows, columns = index.shape[-2:]
    stack, row, column = np.unravel_index(index.reshape(-1, rows, columns), (math.prod(product[:-2]), *product[-2:]))
    if (stack != stack[:, :1, :1]).any():
        return None
    along, across = np.arange(rows)[:, None], np.arange(columns)
    for is_turned, (one, other) in enumerate(((row, column), (column, row))):
        if (one == along).all() and (other == across).all():
            return stack[:, 0, 0], bool(is_turned)
    return None


def _are_weights(index: Array, shape: Shape, axes: tuple[int, ...]) -> bool:
    """Whether what adds up to one is the last axis of each matrix."""
    sums = tuple(1 if axis in axes else n for axis, n in enumerate(shape))
    group = np.broadcast_to(np.arange(math.prod(sums)).reshape(sums), shape).reshape(-1)[index]
    return bool((group == group[..., :1]).all()) and math.prod(shape[axis] for axis in axes) == index.shape[-1]


def _scored(draft: Draft, product: Op, is_turned: bool, scale: float) -> tuple[Projection, Projection] | None:
    """Query and key of scores that have the layer's scale; without any scale, the query has it in its weights."""
    lead, adjoint = draft.shape(product.outputs[0])[:-2], product.attributes
    first = projection(draft, product.inputs[0], lead, is_turned=bool(adjoint["adj_x"]))
    second = projection(draft, product.inputs[1], lead, is_turned=not adjoint["adj_y"])
    # The rows of weights are queries.
    query, key = (second, first) if is_turned else (first, second)
    if query is None or key is None or query.size != key.size:
        return None
    root, total = math.sqrt(query.size), scale * query.scale * key.scale
    # Of a number that the layer has exactly, a file of halves has what rounding leaves.
    if math.isclose(total * root, 1.0, rel_tol=_ROUNDING) or total == float(np.float16(1 / root)):
        return query, key
    return (query.scaled(root), key) if total == 1.0 else None


def _together(query: Projection, key: Projection, value: Projection) -> tuple[Array, Array, Array] | None:
    """Heads of the query, of the key and of the value, in one order: those of one key are neighbours."""
    pairs = np.unique(np.stack([query.head, key.head, value.head], axis=-1), axis=0)
    queries, keys, values = pairs.T
    shared = np.unique(pairs[:, 1:], axis=0)
    if len(pairs) != query.kernel.shape[1] or not len(shared) == key.kernel.shape[1] == value.kernel.shape[1]:
        return None
    if len(shared) != len(pairs) and (query.size != value.size or len(query.lead) != len(("batch", "time"))):
        return None
    # In the order in which queries come to them.
    order = np.argsort([np.flatnonzero(keys == one)[0] for one in keys], kind="stable")
    counts = np.unique(keys, return_counts=True)[1]
    every = slice(None, None, int(counts[0]))
    if (counts != counts[0]).any():
        return None
    return queries[order], keys[order][every], values[order][every]


def _behind(index: Array, query: Projection, heads: Array, size: int) -> Array | None:
    """Which rows of the kernel behind take the numbers of each head; None where its rows are not those of x."""
    units = index.reshape(-1, index.shape[-1])
    matrix, step, place = np.unravel_index(units, (*query.rows.shape, size))
    if len(units) != math.prod(query.lead) or (query.rows[matrix, step] != np.arange(len(units))[:, None]).any():
        return None
    taken = np.argsort(heads)[query.head[matrix]] * size + place
    is_whole = (taken == taken[0]).all() and np.array_equal(np.sort(taken[0]), np.arange(len(heads) * size))
    return np.argsort(taken[0]) if is_whole else None


def _replace(draft: Draft, op: Op, found: _Attention) -> None:
    query, key, value, mask = found.query, found.key, found.value, found.mask
    parts = zip((query, key, value), found.heads, strict=True)
    pairs = [(one.kernel[:, heads], one.bias[heads]) for one, heads in parts] + [(found.kernel, found.bias)]
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
        "num_heads": len(found.heads[0]),
        "num_key_value_heads": len(found.heads[1]),
        "key_dim": query.size,
        "value_dim": value.size,
        "use_bias": has_bias,
        "attention_axes": found.axes,
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
