"""The schema's enums as tables. A number that the schema package does not know stays a number."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import tflite

# Schema name to numpy-style name, where lower case alone does not do it.
_DTYPES = {"FLOAT32": "float32", "FLOAT16": "float16", "FLOAT64": "float64", "BOOL": "bool", "STRING": "string"}

# Tensor types that the schema package does not have yet.
_NEWER_DTYPES = {19: "int2", 20: "uint4", 21: "float8_e4m3fn", 22: "float8_e5m2"}

# Quantization details that it does not have yet: number in the union to the vtable offsets of their fields.
NEWER_DETAILS: Mapping[int, Mapping[str, int]] = {
    2: {"scales": 4, "zero_points": 6, "block_size": 8, "block_shape": 10},
    3: {"scales": 4, "zero_points": 6, "block_size": 8, "quantized_dimensions": 10},
}
# Those of their fields that are vectors of int32; the others are int32.
NEWER_VECTORS = frozenset({"block_shape", "quantized_dimensions"})

# Option fields that hold a member of an enum.
_ENUM_FIELDS = {
    "padding": "Padding",
    "fused_activation_function": "ActivationFunctionType",
    "in_data_type": "TensorType",
    "out_data_type": "TensorType",
    "out_type": "TensorType",
    "output_type": "TensorType",
    "idx_out_type": "TensorType",
    "quantized_bias_type": "TensorType",
    "weights_format": "FullyConnectedOptionsWeightsFormat",
    "kernel_type": "LSTMKernelType",
    "mode": "MirrorPadMode",
    "combiner": "CombinerType",
    "reduce_function": "ReduceWindowFunction",
}

# Bits of one element; what is below 8 is packed.
BITS = {"int4": 4, "uint4": 4, "int2": 2}
# Types whose bytes numpy can show as they are.
VIEWABLE = frozenset(
    [
        "float16",
        "float32",
        "float64",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "bool",
        "complex64",
        "complex128",
    ]
)


@functools.cache
def members(enum: str) -> Mapping[int, str]:
    """Number to name of an enum of the schema."""
    return {v: k for k, v in vars(getattr(tflite, enum)).items() if isinstance(v, int) and not k.startswith("_")}


def name_of(enum: str, number: int) -> str | int:
    """Name of a member, or the number when it is unknown."""
    return members(enum).get(number, number)


def dtype(number: int) -> str | int:
    """numpy-style name of a tensor type, or the number when it is unknown."""
    name = members("TensorType").get(number)
    if name is None:
        return _NEWER_DTYPES.get(number, number)
    return _DTYPES.get(name, name.lower())


def enum_field(field: str, value: Any) -> Any:
    """The value of an option field, by name where it is a member of an enum."""
    enum = _ENUM_FIELDS.get(field)
    if enum is None or not isinstance(value, int):
        return value
    return dtype(value) if enum == "TensorType" else name_of(enum, value)
