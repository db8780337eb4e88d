"""A file with the subgraph that a signature calls as its main one, which is what runs."""

from __future__ import annotations

import struct
from typing import Any

import tflite

from tflrecover.errors import InvalidFile
from tflrecover.tflite.model import TFLiteModel

# Places in the vtables of a model and of a signature.
_SUBGRAPHS, _SIGNATURES, _SUBGRAPH_INDEX = 8, 18, 12
_WORD = struct.Struct("<I")


def with_signature(file: TFLiteModel, key: str) -> bytes:
    """The file with a signature's subgraph and the main one exchanged, and no other signature.

    All else stays where it is, also what no schema knows yet.

    Raises:
        InvalidFile: it has no such signature, or operators call its subgraph.
    """
    place = next((i for i, one in enumerate(file.signatures) if one.key == key), None)
    if place is None:
        known = ", ".join(repr(one.key) for one in file.signatures) or "none"
        raise InvalidFile(f"has no signature {key!r}; its signatures: {known}", source=file.source)
    index = file.signatures[place].subgraph
    called = {n for graph in file.subgraphs for op in graph.ops() for n in _called(op.attributes)}
    if index in called:
        raise InvalidFile(
            f"calls the subgraph of signature {key!r} from others; it cannot be alone", source=file.source
        )
    content = bytearray(file.content)
    table = tflite.Model.GetRootAs(content, 0)._tab
    _exchange(content, table.Vector(table.Offset(_SUBGRAPHS)), 0, index)
    signatures = table.Vector(table.Offset(_SIGNATURES))
    _exchange(content, signatures, 0, place)
    _WORD.pack_into(content, signatures - _WORD.size, 1)
    if index:
        one = tflite.Model.GetRootAs(content, 0).SignatureDefs(0)._tab
        _WORD.pack_into(content, one.Pos + one.Offset(_SUBGRAPH_INDEX), 0)
    return bytes(content)


def _called(attributes: Any) -> list[int]:
    return [n for name, n in attributes.items() if name.endswith("subgraph_index") or name == "subgraph"]


def _exchange(content: bytearray, vector: int, i: int, j: int) -> None:
    """Two tables of a vector, which has the distance of each from its own place."""
    places = [vector + _WORD.size * n for n in (i, j)]
    targets = [place + _WORD.unpack_from(content, place)[0] for place in places]
    for place, target in zip(places, reversed(targets), strict=True):
        _WORD.pack_into(content, place, target - place)
