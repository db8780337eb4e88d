"""Constants that were learned: tables of positions that are added, tokens that are put beside others, queries.

A constant is taken for one where it is real, has a vector of its own in each place, and stands between layers with
weights. What stands behind the last of these (the anchors of a detector), or before the first (a mean that is
subtracted), is a number of the arithmetic, and so is what is the same in many places, or far larger than any weight (a
mask).
"""

from __future__ import annotations

from collections.abc import Iterable, Set

import numpy as np

from tflrecover.ir import Op
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.match import array, maker
from tflrecover.rewrite.writer import Writer
from tflrecover.weight import Apply, Array, Literal, Weight

_WEIGHTED = frozenset(
    {"CONV_2D", "CONV_3D", "DEPTHWISE_CONV_2D", "SEPARABLE_CONV_2D", "FULLY_CONNECTED", "MULTI_HEAD_ATTENTION"}
)
# No weight is as large; a mask is.
_LARGEST = 1e3
# Axes of scores, and how many different numbers a bias beside them has at least.
_AXES, _LEARNED = 4, 8
# Of the numbers of a table, as many at least are different.
_DIFFERENT = 0.5


def learn_tables(draft: Draft) -> int:
    """Learned constants beside what a layer makes become operands that train."""
    count = 0
    behind, before = _around_weights(draft)
    for op in draft.of_type("ADD", "CONCATENATION"):
        is_sum, rank = op.type == "ADD", len(draft.shape(op.outputs[0]))
        like = next((value for value in op.inputs if value is not None and draft.weight(value) is None), None)
        if like is None or rank < 3 or len(draft.shape(like)) != rank or _is_along_an_end(op, rank):
            continue
        tables = {slot: _table(array(draft, value), rank, draft.shape(like)) for slot, value in enumerate(op.inputs)}
        found = {slot: table for slot, table in tables.items() if table is not None}
        if not found or (is_sum and draft.shape(op.outputs[0]) != draft.shape(like)):
            continue
        if like not in behind or op.outputs[0] not in before:
            continue
        inputs = list(op.inputs)
        for slot, table in found.items():
            operands = (like, draft.constant(Literal.of(table)))
            inputs[slot] = Writer(draft, op).add("LEARNED_TABLE", operands, table.shape)
        draft.replace(op.evolve(inputs=tuple(inputs)))
        count += 1
    return count + _learn_queries(draft, behind, before) + _learn_biases(draft, behind, before)


def _learn_biases(draft: Draft, behind: Set[int], before: Set[int]) -> int:
    """A number for each head, query and key beside the scores trains, one vector for all places that have the same."""
    count = 0
    for op in draft.of_type("DOT_PRODUCT_ATTENTION", "ADD"):
        is_sum = op.type == "ADD"
        scores = next((value for value in op.inputs if maker(draft, value, "BATCH_MATMUL") is not None), None)
        like, slots = (scores, (0, 1)) if is_sum else (op.inputs[0], (3,))
        if like is None or like not in behind or op.outputs[0] not in before:
            continue
        for slot in slots:
            if (bias := _bias(array(draft, op.inputs[slot]))) is None or len(draft.shape(like)) != _AXES:
                continue
            rows, index = _rows(bias.reshape(len(bias), -1).T)
            index = index.reshape(bias.shape[1:])
            operands = (like, *(draft.constant(Literal.of(one)) for one in (rows, index)))
            write = Writer(draft, op)
            learned = write.add("LEARNED_TABLE", operands, (1, *index.shape, len(bias)))
            inputs = (*op.inputs[:slot], write.transposed(learned, (0, 3, 1, 2)), *op.inputs[slot + 1 :])
            draft.replace(op.evolve(inputs=inputs))
            count += 1
    return count


def _rows(vectors: Array) -> tuple[Array, Array]:
    """Different vectors in the order in which they come, which is that of their distances, and the number of each."""
    _, first, index = np.unique(vectors, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return vectors[first[order]], np.argsort(order)[index.reshape(-1)].astype(np.int32)


def _bias(known: Array | None) -> Array | None:
    """``(heads, queries, keys)`` of a constant beside scores, if it has as many numbers as no mask has."""
    if known is None or known.dtype != np.float32 or known.ndim not in (_AXES - 1, _AXES):
        return None
    bias = known[0] if known.ndim == _AXES else known
    is_small = len(known) == 1 or known.ndim < _AXES
    return bias if is_small and np.abs(bias).max() < _LARGEST and np.unique(bias).size >= _LEARNED else None


def keep_ready(draft: Draft) -> int:
    """What makes an input ready for the first layer with weights is not learned."""
    behind, _ = _around_weights(draft)
    first = [op for op in draft.of_type("AFFINE") if op.inputs[0] not in behind]
    found = [op for op in first if op.inputs[2] is None or _subtracts(draft.weight(op.inputs[2]))]
    for op in found:
        draft.replace(op.evolve(attributes={**op.attributes, "is_learned": False}))
    return len(found)


def _subtracts(offset: Weight | None) -> bool:
    return isinstance(offset, Apply) and (offset.function.name == "NEG" or any(map(_subtracts, offset.args)))


def _learn_queries(draft: Draft, behind: Set[int], before: Set[int]) -> int:
    """Queries that no input reaches, as of a Perceiver, become operands that train, one set for each example."""
    count = 0
    for op in draft.of_type("MULTI_HEAD_ATTENTION", "BATCH_MATMUL"):
        query, value, *others = op.inputs
        table = _table(array(draft, query), len(draft.shape(value)), draft.shape(query))
        if table is None or value is None or draft.weight(value) is not None:
            continue
        if op.type == "BATCH_MATMUL" and not (value in behind and op.outputs[0] in before):
            continue
        operands = (value, draft.constant(Literal.of(table)))
        learned = Writer(draft, op).add("LEARNED_TABLE", operands, table.shape)
        draft.replace(op.evolve(inputs=(learned, value, *others)))
        count += 1
    return count


def _is_along_an_end(op: Op, rank: int) -> bool:
    """Whether tensors are put side by side along the batch or the channels."""
    return op.type == "CONCATENATION" and op.attributes["axis"] % rank in (0, rank - 1)


def _table(known: Array | None, rank: int, like: tuple[int, ...]) -> Array | None:
    """A constant with all axes, if it is a table of vectors, one for each place."""
    if known is None or known.dtype != np.float32 or known.ndim > rank or known.ndim < 2:
        return None
    table = known.reshape((1,) * (rank - known.ndim) + known.shape)
    if table.shape[0] != 1 or table.shape[-1] != like[-1] or table.shape[-1] < 2 or not np.abs(table).max() < _LARGEST:
        return None
    return table if np.unique(table).size >= _DIFFERENT * table.size else None


def _around_weights(draft: Draft) -> tuple[set[int], set[int]]:
    """Values behind some layer with weights, and values before one."""
    behind: set[int] = set()
    before: set[int] = set()
    for op in draft.ordered():
        if _has_weights(draft, op) or not behind.isdisjoint(_present(op.inputs)):
            behind.update(op.outputs)
    for op in reversed(draft.ordered()):
        if _has_weights(draft, op) or not before.isdisjoint(op.outputs):
            before.update(_present(op.inputs))
    return behind, before


def _has_weights(draft: Draft, op: Op) -> bool:
    return op.type in _WEIGHTED or (op.type == "GATHER" and draft.weight(op.inputs[0]) is not None)


def _present(values: Iterable[int | None]) -> list[int]:
    return [value for value in values if value is not None]
