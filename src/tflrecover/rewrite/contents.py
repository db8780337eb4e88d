"""Contents of a file's tensors as arrays in their own shape: packed and sparse ones are unpacked when asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

import numpy as np

from tflrecover.errors import EvaluationError
from tflrecover.ir import Graph, Value
from tflrecover.tflite.schema import BITS
from tflrecover.tflite.sparsity import densified
from tflrecover.weight import Array, Key


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
    """The contents in the tensor's shape; types that numpy lacks become float32, which holds them exactly.

    Raises:
        EvaluationError: the stored bytes do not fill the shape.
    """
    data, shape = value.data, value.shape or ()
    if data is None:
        raise EvaluationError(f"tensor {value.name!r} has no contents")
    elements = _elements(data, value.dtype)
    if value.sparsity is not None:
        spare = 8 // BITS.get(str(value.dtype), 8) - 1
        return densified(elements, value.sparsity, shape, value.name, spare=spare)
    count = math.prod(shape)
    if value.dtype in BITS and 0 <= elements.size - count < 8 // BITS[str(value.dtype)]:
        elements = elements[:count]
    if elements.size != count:
        raise EvaluationError(f"tensor {value.name!r} of shape {shape} holds {elements.size} elements")
    return elements.reshape(shape)


def _elements(data: Array, dtype: str | int) -> Array:
    """Stored bytes as numbers."""
    if dtype in BITS:
        return _unpacked_bits(data, BITS[str(dtype)], signed=dtype != "uint4")
    widen = _WIDENED.get(str(dtype))
    return data if widen is None else widen(data)


def _unpacked_bits(data: Array, bits: int, *, signed: bool) -> Array:
    """Elements of fewer than eight bits, the first in the lowest bits of a byte."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    elements = ((data[:, None] >> shifts) & (2**bits - 1)).reshape(-1).astype(np.int8)
    if not signed:
        return np.asarray(elements)
    return np.asarray(np.where(elements >= 2 ** (bits - 1), elements - 2**bits, elements), np.int8)


def _bfloat16(data: Array) -> Array:
    """The upper half of a float32."""
    return (_words(data).astype(np.uint32) << 16).view(np.float32)


def _float8_e5m2(data: Array) -> Array:
    """The upper half of a float16."""
    return (data.astype(np.uint16) << 8).view(np.float16).astype(np.float32)


def _float8_e4m3fn(data: Array) -> Array:
    """Sign, four bits of exponent with bias 7, three of mantissa; all ones is no number, and nothing is infinite."""
    exponent, mantissa = (data >> 3 & 15).astype(np.int32), (data & 7).astype(np.float32)
    is_normal = exponent > 0
    magnitude = np.ldexp(mantissa / 8 + is_normal, np.where(is_normal, exponent, 1) - 7)
    magnitude = np.where((data & 127) == 127, np.nan, magnitude)
    return np.asarray(np.where(data & 128, -magnitude, magnitude), np.float32)


def _words(data: Array) -> Array:
    if data.size % 2:
        raise EvaluationError(f"{data.size} bytes are no whole number of 16-bit elements; the file is damaged")
    return data.view("<u2")


def _texts(data: Array) -> Array:
    """Their number and where each begins and ends, as int32, then the texts one after the other; an array of bytes."""
    raw = data.tobytes()
    count = int.from_bytes(raw[:4], "little")
    # What is there bounds what is claimed.
    ends = np.frombuffer(raw[4 : 4 * (count + 2)], "<i4") if 4 * (count + 2) <= len(raw) else np.zeros(1, np.int32)
    found = np.empty(len(ends) - 1, object)
    found[:] = [raw[begin:end] for begin, end in pairwise(ends.tolist())]
    return found


_WIDENED: Mapping[str, Callable[[Array], Array]] = {
    "bfloat16": _bfloat16,
    "float8_e4m3fn": _float8_e4m3fn,
    "float8_e5m2": _float8_e5m2,
    "string": _texts,
}
