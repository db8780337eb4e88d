"""TensorFlow's tensor lists (what a ``TensorArray`` is), read as one tensor: the items along its first axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from tflrecover.ops.readers import operands
from tflrecover.ops.spec import Builder, Lowered, OpSpec, Part, Source
from tflrecover.weight import Literal


def _whole(source: Source) -> Lowered:
    return Lowered("IDENTITY", operands(source)[:1])


def _reserved(source: Source) -> Lowered | None:
    """A list that nothing was written to: zeros. Sizes that are not known are taken as nothing."""
    element, count = source.constant(0), source.constant(1)
    if element is None or count is None:
        return None
    shape = (int(count), *(max(int(n), 0) for n in np.atleast_1d(element)))
    return Lowered("IDENTITY", (Literal.of(np.zeros(shape, np.float32)),), shape=shape)


def _item(source: Source) -> Lowered:
    return Lowered("GATHER", operands(source)[:2], {"axis": 0, "batch_dims": 0})


def _set_item(source: Source) -> Lowered:
    items, index, value = operands(source)[:3]
    # What the list was reserved with need not tell the shape of its items.
    return Lowered("SET_ITEM", (items, index, value), shape=(*source.shape(0)[:1], *source.shape(2)))


def _length(source: Source) -> Lowered | None:
    shape = source.shape(0)
    return Lowered("IDENTITY", (Literal.of(np.int32(shape[0])),), shape=()) if shape else None


def _keras(builder: Builder, part: Part) -> Any:
    items, index, value = part.args
    place, update = builder.ops("reshape", index, (1, 1)), builder.ops("expand_dims", value, 0)
    return builder.tensorflow("tensor_scatter_nd_update", items, place, update)


SET_ITEM = OpSpec(
    "SET_ITEM",
    keras=_keras,
    tf={
        "TensorListSetItem": _set_item,
        "TensorListFromTensor": _whole,
        "TensorListStack": _whole,
        "TensorListGetItem": _item,
        "TensorListReserve": _reserved,
        "TensorListLength": _length,
    },
    roles=("items", "index", "value"),
)

SPECS = (SET_ITEM,)
