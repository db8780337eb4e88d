"""Vectors of a flatbuffer, counted before they are walked.

A damaged file may claim millions of elements that are not there: reading them one by one would hang long before it
fails. Lengths are therefore held against the size of the file first, each alone and all together.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from flatbuffers.number_types import Int32Flags, SOffsetTFlags, VOffsetTFlags
from flatbuffers.table import Table
from numpy.typing import NDArray

from tflrecover.errors import InvalidFile

# What the flatbuffers package and numpy raise when an offset leads nowhere.
DAMAGE = (
    struct.error,
    ValueError,
    TypeError,
    IndexError,
    OverflowError,
    UnicodeDecodeError,
    AssertionError,
    AttributeError,
    KeyError,
    RecursionError,
)
_OFFSET_BYTES = 4
_VOFFSET_BYTES = 2


class _Table(Table):  # type: ignore[misc]  # flatbuffers ships no types
    """A table that reads where its fields lie once; that of the package does so for every field."""

    __slots__ = ("_offsets",)

    def __init__(self, table: Table) -> None:
        super().__init__(table.Bytes, table.Pos)
        self._offsets: tuple[int, ...] | None = None

    def Offset(self, vtableOffset: int) -> int:
        """Where in the table a field lies, by its place in the vtable; 0 when it is left out."""
        if self._offsets is None:
            self._offsets = self._vtable()
        place = vtableOffset // _VOFFSET_BYTES
        return self._offsets[place] if place < len(self._offsets) else 0

    def Get(self, flags: Any, off: int) -> Any:
        """A number; checked in fewer steps than by the package."""
        if off < 0:
            raise IndexError(f"offset {off} lies before the file")
        return flags.packer_type.unpack_from(self.Bytes, off)[0]

    def _vtable(self) -> tuple[int, ...]:
        start = self.Pos - self.Get(SOffsetTFlags, self.Pos)
        size = self.Get(VOffsetTFlags, start)
        return struct.unpack_from(f"<{size // _VOFFSET_BYTES}H", self.Bytes, start)


def quick(owner: Any) -> Any:
    """The same table of the schema, but quick to read all fields of."""
    owner._tab = _Table(owner._tab)
    return owner


class Walker:
    """Reads vectors of one file.

    Args:
        source: Name of the file, for errors.
        size: Its bytes.
    """

    def __init__(self, source: str, size: int) -> None:
        self.source = source
        self.size = size
        self._claimed = 0

    def claim(self, count: int, width: int, where: str) -> int:
        """Checks that a vector can be there at all; returns its length."""
        self._claimed += count * width
        if count * width > self.size or self._claimed > self.size:
            raise InvalidFile(
                f"claims {count} elements, more than the {self.size} bytes of the file can hold; it is damaged",
                source=self.source,
                where=where,
            )
        return count

    def tables(self, owner: Any, field: str, where: str) -> Iterator[Any]:
        """Elements of a vector of tables or strings."""
        count = self.claim(getattr(owner, f"{field}Length")(), _OFFSET_BYTES, where)
        get = getattr(owner, field)
        elements = (get(i) for i in range(count))
        return (quick(one) if hasattr(one, "_tab") else one for one in elements)

    @contextmanager
    def place(self, where: str) -> Iterator[None]:
        """Turns whatever a damaged part raises into :class:`InvalidFile` that names the part."""
        try:
            yield
        except InvalidFile:
            raise
        except DAMAGE as error:
            message = "cannot be read; the file is damaged or truncated, get it again"
            raise InvalidFile(message, source=self.source, where=where) from error


def numbers(owner: Any, field: str) -> NDArray[Any] | None:
    """A vector of numbers as a view, or None when the file has none."""
    found = getattr(owner, f"{field}AsNumpy")()
    return found if isinstance(found, np.ndarray) else None


def int32(owner: Table, slot: int) -> int:
    """A field of a table by its place in the vtable, 0 when it is left out."""
    offset = owner.Offset(slot)
    return int(owner.Get(Int32Flags, owner.Pos + offset)) if offset else 0


def integers(owner: Any, field: str) -> tuple[int, ...] | None:
    """A short vector of integers as a tuple, or None when the file has none."""
    found = numbers(owner, field)
    return None if found is None else tuple(found.tolist())


def text(raw: bytes | None) -> str:
    """A string of the file; bytes that are no UTF-8 are replaced."""
    return (raw or b"").decode("utf-8", errors="replace")
