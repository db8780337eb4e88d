"""Operator options, read generically: every zero-argument accessor of an option table is one attribute."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import tflite
from flatbuffers import flexbuffers
from flatbuffers.number_types import Int32Flags
from flatbuffers.table import Table

from tflrecover.tflite.flat import DAMAGE, Walker, int32, quick, text
from tflrecover.tflite.schema import NEWER_DETAILS, NEWER_VECTORS, enum_field, members

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_FLEX_LIMIT = 1 << 20
_DEPTH = 8


def snake_case(name: str) -> str:
    """``FusedActivationFunction`` becomes ``fused_activation_function``."""
    return _WORD.sub("_", name).lower()


@functools.cache
def _accessors(cls: Any) -> tuple[tuple[str, str, str], ...]:
    """``(attribute, method, kind)`` of a table class; kind is ``value``, ``numbers`` or ``items``."""
    methods = {n: f for n, f in vars(cls).items() if hasattr(f, "__code__") and n != "Init" and not n.startswith("_")}
    vectors = {
        n.removesuffix("Length") for n in methods if n.endswith("Length") and n.removesuffix("Length") in methods
    }
    found = []
    for name, function in methods.items():
        if name in vectors:
            is_numbers = f"{name}AsNumpy" in methods
            found.append(
                (snake_case(name), f"{name}AsNumpy" if is_numbers else name, "numbers" if is_numbers else "items")
            )
        elif function.__code__.co_argcount == 1 and not any(
            name == vector + ending for vector in vectors for ending in ("Length", "AsNumpy", "IsNone")
        ):
            found.append((snake_case(name), name, "value"))
    return tuple(found)


def table(owner: Any, walker: Walker, where: str, depth: int = 0) -> dict[str, Any]:
    """A table as a dictionary: enums by name, vectors as tuples, tables in it as dictionaries."""
    found: dict[str, Any] = {}
    for attribute, method, kind in _accessors(owner.__class__):
        get = getattr(owner, method)
        if kind == "items":
            values = [_plain(item, walker, where, depth) for item in walker.tables(owner, method, where)]
            found[attribute] = tuple(values)
        elif kind == "numbers":
            view = get()
            found[attribute] = tuple(view.tolist()) if isinstance(view, np.ndarray) else None
        else:
            found[attribute] = enum_field(attribute, _plain(get(), walker, where, depth))
    return found


def _plain(value: Any, walker: Walker, where: str, depth: int) -> Any:
    if isinstance(value, bytes):
        return text(value)
    if hasattr(value, "_tab") and type(value).__module__.startswith("tflite"):
        return table(value, walker, where, depth + 1) if depth < _DEPTH else {}
    return value


def union(raw: Any, type_number: int, enum: str) -> Any | None:
    """The table that a union field leads to, or None when there is none or its type is unknown."""
    name = members(enum).get(type_number)
    cls = getattr(tflite, name, None) if name and name != "NONE" else None
    if raw is None or cls is None:
        return None
    made = cls()
    made.Init(raw.Bytes, raw.Pos)
    return quick(made)


def newer_details(raw: Any, number: int) -> dict[str, Any]:
    """Quantization details of a kind that the schema package does not know; empty when we do not either."""
    fields = NEWER_DETAILS.get(number)
    if raw is None or fields is None:
        return {}
    owner = Table(raw.Bytes, raw.Pos)
    found: dict[str, Any] = {}
    for name, slot in fields.items():
        if name in NEWER_VECTORS:
            offset = owner.Offset(slot)
            vector = owner.GetVectorAsNumpy(Int32Flags, offset) if offset else None
            found[name] = None if vector is None else tuple(vector.tolist())
        else:
            found[name] = int32(owner, slot)
    return found


def builtin(op: Any, walker: Walker, where: str) -> dict[str, Any]:
    """Options of a builtin operator, from either union of the schema."""
    for suffix in ("", "2"):
        number = getattr(op, f"BuiltinOptions{suffix}Type")()
        owner = union(getattr(op, f"BuiltinOptions{suffix}")(), number, f"BuiltinOptions{suffix}") if number else None
        if owner is not None:
            return table(owner, walker, where)
        if number:
            # Options newer than the schema package: their number is all that can be said.
            return {"builtin_options_type": number}
    return {}


def flexbuffer(raw: bytes) -> Mapping[str, Any] | None:
    """Custom options as a dictionary, when they are a flexbuffer map; None for anything else."""
    # The last byte is the width of the root, the one before it the packed type; a map is type 9.
    if not 3 <= len(raw) <= _FLEX_LIMIT or raw[-1] not in (1, 2, 4, 8) or raw[-2] >> 2 != 9:
        return None
    try:
        root = flexbuffers.GetRoot(bytearray(raw))
        if len(root.AsMap) > len(raw):
            return None
        decoded = root.Value
    except (*DAMAGE, MemoryError):
        return None
    return decoded if isinstance(decoded, dict) else None
