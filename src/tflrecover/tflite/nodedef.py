"""Options of an operator that LiteRT runs by TensorFlow: a NodeDef inside a flexbuffer, read without TensorFlow.

Source: the wire format of Protocol Buffers, and TensorFlow's node_def.proto and attr_value.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

from flatbuffers import flexbuffers

from tflrecover.tflite.flat import DAMAGE

PREFIX = "Flex"
# Fields of NodeDef, AttrValue and AttrValue.ListValue.
_ATTRIBUTES = 5
_LIST, _TEXT, _INTEGER, _REAL, _TRUTH, _TYPE = 1, 2, 3, 4, 5, 6
_TYPES: Mapping[int, str] = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "string",
    8: "complex64",
    9: "int64",
    10: "bool",
    14: "bfloat16",
    19: "float16",
    20: "resource",
    21: "variant",
    22: "uint32",
    23: "uint64",
}
Number = int | float | bytes


def attributes(raw: bytes) -> dict[str, Any]:
    """Attributes as a traced model has them; what cannot be read is left out."""
    try:
        _, node = flexbuffers.GetRoot(bytearray(raw)).AsVector
        found = [value for field, value in _fields(bytes(node.AsStringBytes)) if field == _ATTRIBUTES]
        entries = [dict(_fields(value)) for value in found if isinstance(value, bytes)]
        return {
            name.decode(): _value(value)
            for name, value in ((entry.get(1), entry.get(2)) for entry in entries)
            if isinstance(name, bytes) and isinstance(value, bytes)
        }
    except (*DAMAGE, MemoryError, LookupError, UnicodeDecodeError):
        return {}


def _fields(data: bytes) -> Iterator[tuple[int, Number]]:
    """``(field number, contents)`` of a message, in order."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            yield key >> 3, struct.unpack("<d" if kind == 1 else "<f", data[at : at + size])[0]
            at += size
        elif kind == 2:
            size, at = _varint(data, at)
            yield key >> 3, data[at : at + size]
            at += size
        else:
            raise ValueError(f"wire type {kind}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """``(number, place behind it)``; 64 bits, signed."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if not byte & 128:
            return (value - (1 << 64) if value >> 63 else value), at


def _value(data: bytes) -> Any:
    """An AttrValue as a plain Python value; None for tensors, shapes and functions."""
    for field, value in _fields(data):
        if field == _LIST and isinstance(value, bytes):
            return tuple(_listed(value))
        if field in (_TEXT, _INTEGER, _REAL, _TRUTH, _TYPE):
            return _single(field, value)
    return None


def _listed(data: bytes) -> Iterator[Any]:
    for field, value in _fields(data):
        if field == _REAL and isinstance(value, bytes):
            yield from struct.unpack(f"<{len(value) // 4}f", value)
        elif field in (_INTEGER, _TRUTH, _TYPE) and isinstance(value, bytes):
            at = 0
            while at < len(value):
                number, at = _varint(value, at)
                yield _single(field, number)
        elif field in (_TEXT, _INTEGER, _REAL, _TRUTH, _TYPE):
            yield _single(field, value)


def _single(field: int, value: Number) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return bool(value) if field == _TRUTH else _TYPES.get(int(value), str(value)) if field == _TYPE else value
