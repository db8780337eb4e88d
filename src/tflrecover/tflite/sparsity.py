"""Sparse tensors as the schema stores them: a tree of dimensions, each level dense or compressed, values at its leaves.

``traversal_order`` names the dimension of every level; the last ``k`` levels lie inside a block, and ``block_map`` says
which dimension of the tensor each of them divides. A ``DENSE`` level gives every node as many children as its size, a
``SPARSE_CSR`` level those that ``array_indices[array_segments[node]:array_segments[node + 1]]`` names. Whatever no leaf
stands for is zero (stored zero, also in a quantized tensor, as LiteRT has it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tflrecover.errors import EvaluationError
from tflrecover.ir import Shape

_MOST_ELEMENTS = 1 << 28
"""A kilobyte can claim to be a sparse tensor of terabytes; no weight of a real network is larger than this."""


def densified(
    stored: NDArray[Any], sparsity: Mapping[str, Any], shape: Shape, name: str = "", *, spare: int = 0
) -> NDArray[Any]:
    """All elements of a sparse tensor.

    Args:
        stored: Its values, flat, in the order of the tree's leaves.
        sparsity: The schema's ``SparsityParameters`` as a dict (see :class:`~tflrecover.ir.Value`).
        shape: Shape of the tensor.
        name: Its name, for errors.
        spare: How many of the last values may be nothing but what fills up a byte (packed types).

    Returns:
        An array of that shape and of the type of ``stored``.

    Raises:
        EvaluationError: the parameters contradict themselves, the shape or the number of values.
    """
    total = int(np.prod([int(n) for n in shape], dtype=object)) if shape else 1
    if total > _MOST_ELEMENTS or min(shape, default=0) < 0:
        raise _damaged(name, f"its shape {shape} is absurd")
    levels = _levels(sparsity, shape, name)
    capacity = max([stored.size, *(len(level["array_segments"]) for level, *_ in levels if _is_sparse(level))])
    place = np.zeros(1, np.int64)
    for level, size, stride in levels:
        if _is_sparse(level):
            place = _compressed(place, level, size, stride, name)
        elif place.size * size > capacity:
            raise _damaged(name, f"it claims more than the {stored.size} values that are stored")
        else:
            place = (place[:, None] + np.arange(size, dtype=np.int64) * stride).reshape(-1)
    if not 0 <= stored.size - place.size <= spare:
        raise _damaged(name, f"it places {place.size} values, {stored.size} are stored")
    dense = np.zeros(total, stored.dtype)
    dense[place] = stored[: place.size]
    taken = np.zeros(total, np.bool_)
    taken[place] = True
    if int(taken.sum()) != place.size:
        raise _damaged(name, "it names a place twice")
    return dense.reshape(shape)


def _damaged(name: str, reason: str) -> EvaluationError:
    return EvaluationError(f"sparse tensor {name!r} cannot be read: {reason}; the file is damaged")


def _is_sparse(level: Mapping[str, Any]) -> bool:
    return bool(level["format"] == "SPARSE_CSR")


def _levels(sparsity: Mapping[str, Any], shape: Shape, name: str) -> list[tuple[Mapping[str, Any], int, int]]:
    """Per level of the tree: its metadata, how many places it has, and how far apart they lie in the flat tensor."""
    order, blocks = sparsity["traversal_order"] or (), sparsity["block_map"] or ()
    metadata: Sequence[Mapping[str, Any]] = sparsity["dim_metadata"]
    rank = len(shape)
    if sorted(order[:rank]) != list(range(rank)) or sorted(order[rank:]) != list(range(rank, rank + len(blocks))):
        raise _damaged(name, f"the traversal order {order} does not fit a shape {shape} with {len(blocks)} block axes")
    if len(metadata) != len(order) or len(set(blocks)) != len(blocks) or any(not 0 <= axis < rank for axis in blocks):
        raise _damaged(name, f"{len(metadata)} levels and the block map {blocks} do not fit a shape {shape}")
    if any(level["format"] not in ("DENSE", "SPARSE_CSR") for level in metadata):
        raise _damaged(name, "a level is neither dense nor compressed")
    inside = {axis: int(metadata[order.index(rank + i)]["dense_size"]) for i, axis in enumerate(blocks)}
    if any(size < 1 or shape[axis] % size for axis, size in inside.items()):
        raise _damaged(name, f"blocks of {tuple(inside.values())} along axes {blocks} do not divide a shape {shape}")
    strides = [int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(rank)]
    sizes = [*(n // inside.get(axis, 1) for axis, n in enumerate(shape)), *inside.values()]
    steps = [*(stride * inside.get(axis, 1) for axis, stride in enumerate(strides)), *(strides[a] for a in blocks)]
    for level, axis in zip(metadata, order, strict=True):
        if not _is_sparse(level) and level["dense_size"] != sizes[axis]:
            raise _damaged(name, f"a level of {level['dense_size']} stands for an axis of {sizes[axis]}")
        if _is_sparse(level) and (level["array_segments"] is None or level["array_indices"] is None):
            raise _damaged(name, "a compressed level has no indices")
    return [(level, sizes[axis], steps[axis]) for level, axis in zip(metadata, order, strict=True)]


def _compressed(
    place: NDArray[np.int64], level: Mapping[str, Any], size: int, stride: int, name: str
) -> NDArray[np.int64]:
    """Children of every node at a compressed level."""
    segments = np.asarray(level["array_segments"], np.int64)
    indices = np.asarray(level["array_indices"], np.int64)
    counts = np.diff(segments)
    if segments.size != place.size + 1 or segments[0] != 0 or segments[-1] != indices.size or (counts < 0).any():
        raise _damaged(name, f"{segments.size} segments over {indices.size} indices do not fit {place.size} nodes")
    if indices.size and not 0 <= indices.min() <= indices.max() < size:
        raise _damaged(name, f"an index lies outside an axis of {size}")
    return np.asarray(np.repeat(place, counts) + indices * stride)
