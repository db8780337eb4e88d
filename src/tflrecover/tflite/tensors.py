"""Tensors of a file: shapes, types, quantization, and their contents as views of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tflrecover.errors import InvalidFile
from tflrecover.ir import Quantization, Shape, Value
from tflrecover.tflite.flat import Walker, integers, numbers, quick, text
from tflrecover.tflite.options import newer_details, table, union
from tflrecover.tflite.schema import VIEWABLE, dtype, name_of

_NO_SCALE = np.zeros(0, np.float32)
_NO_ZERO = np.zeros(0, np.int64)
_NO_BYTES = np.zeros(0, np.uint8)


def buffers(model: Any, content: memoryview, walker: Walker) -> list[NDArray[np.uint8] | None]:
    """Contents of every buffer as flat uint8 views; None for empty ones.

    Small files hold the bytes in the table; in files over 2 GiB the table says where behind it they lie.
    """
    found: list[NDArray[np.uint8] | None] = []
    for i, buffer in enumerate(walker.tables(model, "Buffers", "buffers")):
        with walker.place(f"buffer {i}"):
            data = numbers(buffer, "Data")
            start, size = buffer.Offset(), buffer.Size()
            # Offsets 0 and 1 are placeholders of the converter.
            if data is None and start > 1 and size:
                if start + size > len(content):
                    raise InvalidFile(
                        f"leads to byte {start + size} of {len(content)}", source=walker.source, where=f"buffer {i}"
                    )
                data = np.frombuffer(content, np.uint8, size, start)
            found.append(data if data is not None and data.size else None)
    return found


def _quantization(tensor: Any, walker: Walker, where: str) -> Quantization | None:
    raw = tensor.Quantization()
    if raw is None:
        return None
    quick(raw)
    scale, zero = numbers(raw, "Scale"), numbers(raw, "ZeroPoint")
    details = _details(raw, walker, where)
    minimum, maximum = numbers(raw, "Min"), numbers(raw, "Max")
    if scale is None and zero is None and not details and minimum is None and maximum is None:
        return None
    return Quantization(
        scale if scale is not None else _NO_SCALE,
        zero if zero is not None else _NO_ZERO,
        raw.QuantizedDimension(),
        minimum,
        maximum,
        details,
    )


def _details(raw: Any, walker: Walker, where: str) -> Mapping[str, Any]:
    """The schemes of quantization that are no plain vectors of scales; empty when there are none."""
    number, owner = raw.DetailsType(), raw.Details()
    found = union(owner, number, "QuantizationDetails")
    return table(found, walker, where) if found is not None else newer_details(owner, number)


def _vector(dimension: Any, field: str) -> NDArray[Any] | None:
    number = getattr(dimension, f"{field}Type")()
    owner = union(getattr(dimension, field)(), number, "SparseIndexVector")
    return None if owner is None else numbers(owner, "Values")


def _sparsity(tensor: Any, walker: Walker, where: str) -> Mapping[str, Any] | None:
    raw = tensor.Sparsity()
    if raw is None:
        return None
    return {
        "traversal_order": integers(raw, "TraversalOrder"),
        "block_map": integers(raw, "BlockMap"),
        "dim_metadata": tuple(
            {
                "format": name_of("DimensionType", dimension.Format()),
                "dense_size": dimension.DenseSize(),
                "array_segments": _vector(dimension, "ArraySegments"),
                "array_indices": _vector(dimension, "ArrayIndices"),
            }
            for dimension in walker.tables(raw, "DimMetadata", where)
        ),
    }


def _view(data: NDArray[np.uint8], kind: str | int, shape: Shape | None, is_sparse: bool) -> NDArray[Any]:
    """The bytes in the tensor's type and shape where that is what they are, else as they lie in the file."""
    if kind not in VIEWABLE:
        return data
    width = np.dtype(str(kind)).itemsize
    if data.size % width:
        return data
    flat = data.view(str(kind)) if data.flags.c_contiguous else data
    count = math.prod(shape) if shape is not None else -1
    return flat.reshape(shape) if shape is not None and not is_sparse and flat.size == count else flat


def value(tensor: Any, contents: Sequence[NDArray[np.uint8] | None], walker: Walker, where: str) -> Value:
    """One tensor of a subgraph."""
    index = tensor.Buffer()
    if index >= max(len(contents), 1):
        raise InvalidFile(f"names buffer {index} of {len(contents)}", source=walker.source, where=where)
    kind = dtype(tensor.Type())
    # A missing shape is a scalar unless the file says that the rank is unknown.
    shape = integers(tensor, "Shape") or ()
    sparsity = _sparsity(tensor, walker, where)
    data = contents[index] if contents else None
    if data is None and sparsity is not None:
        # All zeros: not one value is stored.
        data = _NO_BYTES
    return Value(
        text(tensor.Name()),
        shape,
        kind,
        integers(tensor, "ShapeSignature"),
        _quantization(tensor, walker, where),
        None if data is None else _view(data, kind, shape, sparsity is not None),
        sparsity,
    )
