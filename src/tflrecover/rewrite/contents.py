"""Contents of a file's tensors as arrays in their own shape: packed and sparse ones are unpacked when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from tflrecover.errors import EvaluationError
from tflrecover.ir import Graph, Value
from tflrecover.weight import Array, Key

_PACKED_BITS = {"int4": 4, "uint4": 4, "int2": 2}


class Contents(Mapping[Key, Array]):
    """Tensor index to array; what needs no unpacking is a view of the file.

    Args:
        graph: A graph as read.
    """

    def __init__(self, graph: Graph) -> None:
        self._values = {key: value for key, value in graph.values.items() if value.data is not None}

    def __getitem__(self, key: Key) -> Array:
        return unpacked(self._values[key])  # type: ignore[index]

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[Key]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def unpacked(value: Value) -> Array:
    """The contents in the tensor's shape.

    Raises:
        EvaluationError: the stored bytes do not fill the shape.
    """
    data, shape = value.data, value.shape or ()
    if data is None:
        raise EvaluationError(f"tensor {value.name!r} has no contents")
    if value.sparsity is not None:
        raise EvaluationError(f"tensor {value.name!r} is sparse; sparse weights are not read yet")
    if value.dtype in _PACKED_BITS:
        data = _unpack(data, _PACKED_BITS[str(value.dtype)], int(np.prod(shape)), signed=value.dtype != "uint4")
    if data.size != int(np.prod(shape, dtype=np.int64)):
        raise EvaluationError(f"tensor {value.name!r} of shape {shape} holds {data.size} elements")
    return data.reshape(shape)


def _unpack(data: Array, bits: int, count: int, *, signed: bool) -> Array:
    """Elements of fewer than eight bits, the first in the lowest bits of a byte."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    elements = ((data[:, None] >> shifts) & (2**bits - 1)).reshape(-1)[:count].astype(np.int8)
    if not signed:
        return np.asarray(elements)
    return np.asarray(np.where(elements >= 2 ** (bits - 1), elements - 2**bits, elements), np.int8)
