"""From bytes to graphs: one node per operator, in file order."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tflite

from tflrecover import mistaken
from tflrecover.errors import InvalidFile
from tflrecover.ir import Graph, Op, Value
from tflrecover.tflite import nodedef
from tflrecover.tflite.flat import Walker, int32, integers, numbers, text
from tflrecover.tflite.model import Signature, TFLiteModel
from tflrecover.tflite.options import builtin, flexbuffer
from tflrecover.tflite.schema import name_of
from tflrecover.tflite.signatures import with_signature
from tflrecover.tflite.tensors import buffers, value

Source = str | os.PathLike[str] | bytes | bytearray | memoryview
_IDENTIFIER = b"TFL3"
_SMALLEST = 16
# Place of OperatorCode.builtin_code in its vtable.
_BUILTIN_CODE = 10


def read(path: Source | TFLiteModel, *, signature: str | None = None) -> TFLiteModel:
    """Reads a TFLite file, whatever converter made it.

    Args:
        path: A path, or the file's bytes. What was read already is given back.
        signature: Of a file with several, such as ``"encode"`` and ``"decode"``, the one that is meant; its subgraph is
            then the main one. Without, that is the file's first subgraph.

    Returns:
        The model. Weights are read-only views of the file, which stays memory-mapped as long as any of them lives;
        shapes are as stored, so with dynamic sizes look at ``shape_signature``.

    Raises:
        InvalidFile: it is not there, not a TFLite file, truncated or damaged, or has no such signature; the message
            says where.
        InvalidGraph: its operators form a cycle or a tensor is made twice.

    Example:
        >>> model = tflrecover.read("palm_detection_full.tflite")
        >>> [op.type for op in model.graph.ops()][:3]
        ['DEQUANTIZE', 'DEQUANTIZE', 'CONV_2D']
    """
    file = path if isinstance(path, TFLiteModel) else _file(path, *_open(path))
    if signature is None:
        return file
    return _file(file.content, file.source, memoryview(with_signature(file, signature)))


def _file(path: Source, name: str, content: memoryview) -> TFLiteModel:
    walker = Walker(name, len(content))
    if len(content) < _SMALLEST:
        raise InvalidFile(f"has {len(content)} bytes; a TFLite file has at least {_SMALLEST}", source=name)
    if bytes(content[4:8]) != _IDENTIFIER:
        raise InvalidFile(_no_tflite(path, bytes(content[:_SMALLEST])), source=name)
    with walker.place("model"):
        root = tflite.Model.GetRootAs(content, 0)
        contents = buffers(root, content, walker)
        codes = [_code(code) for code in walker.tables(root, "OperatorCodes", "operator codes")]
        graphs = tuple(
            _graph(graph, i, codes, contents, walker)
            for i, graph in enumerate(walker.tables(root, "Subgraphs", "subgraphs"))
        )
        if not graphs:
            raise InvalidFile("has no subgraph", source=name)
        signatures = tuple(_signature(s, graphs, walker) for s in walker.tables(root, "SignatureDefs", "signatures"))
        metadata = _metadata(root, contents, walker)
        return TFLiteModel(name, content, root.Version(), text(root.Description()), graphs, signatures, metadata)


def _no_tflite(path: Source, head: bytes) -> str:
    kind = mistaken.kind_of(path) if isinstance(path, (str, os.PathLike)) else mistaken.kind_of_bytes(head)
    if kind is not None:
        return mistaken.wrong_file(kind)
    found, wanted = (part.decode("ascii", "replace") for part in (head[4:8], _IDENTIFIER))
    return f"is not a TFLite file, which has {wanted!r} as its bytes 4 to 7; these are {found!r}: give a .tflite file"


def _open(path: Source) -> tuple[str, memoryview]:
    if isinstance(path, (bytes, bytearray, memoryview)):
        return "<bytes>", memoryview(path).toreadonly().cast("B")
    if not isinstance(path, (str, os.PathLike)):
        raise InvalidFile(mistaken.instead_of_a_file(path), source=f"<{type(path).__name__}>")
    name = os.fspath(path)
    if (kind := mistaken.kind_of(name)) is not None and Path(name).is_dir():
        raise InvalidFile(mistaken.wrong_file(kind), source=name)
    try:
        if Path(name).stat().st_size == 0:
            raise InvalidFile("is empty", source=name)
        with open(name, "rb") as file:
            # Views of the map keep it alive; it closes with the last of them.
            return name, memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InvalidFile(mistaken.unopened(name, reason), source=name) from error


def _code(code: Any) -> tuple[str | int, bool]:
    """``(type, whether it is custom)``. Old files have the number in an int8, newer ones in both or in the int32."""
    # The schema package answers with the old number for every new one below 127, though it may be left out.
    number = max(code.DeprecatedBuiltinCode(), int32(code._tab, _BUILTIN_CODE))
    name = name_of("BuiltinOperator", number)
    return (text(code.CustomCode()), True) if name == "CUSTOM" else (name, False)


def _graph(graph: Any, index: int, codes: list[tuple[str | int, bool]], contents: list[Any], walker: Walker) -> Graph:
    here = f"subgraph {index}"
    with walker.place(here):
        values: dict[int, Value] = {}
        for i, tensor in enumerate(walker.tables(graph, "Tensors", f"{here}, tensors")):
            with walker.place(f"{here}, tensor {i}"):
                values[i] = value(tensor, contents, walker, f"{here}, tensor {i}")
        ops = []
        for i, operator in enumerate(walker.tables(graph, "Operators", f"{here}, operators")):
            with walker.place(f"{here}, operator {i}"):
                ops.append(_op(operator, i, codes, values, walker, f"{here}, operator {i}"))
        inputs, outputs = integers(graph, "Inputs") or (), integers(graph, "Outputs") or ()
        _check((*inputs, *outputs), values, walker, here)
        return Graph.build(ops, values, inputs, outputs, text(graph.Name()) or f"subgraph {index}")


def _check(found: tuple[int, ...], values: Mapping[int, Value], walker: Walker, where: str) -> None:
    wrong = [i for i in found if i not in values]
    if wrong:
        message = f"names tensor {wrong[0]} of {len(values)}; the file is damaged"
        raise InvalidFile(message, source=walker.source, where=where)


def _op(
    operator: Any,
    index: int,
    codes: list[tuple[str | int, bool]],
    values: Mapping[int, Value],
    walker: Walker,
    where: str,
) -> Op:
    if operator.OpcodeIndex() >= len(codes):
        message = f"names operator code {operator.OpcodeIndex()} of {len(codes)}"
        raise InvalidFile(message, source=walker.source, where=where)
    kind, is_custom = codes[operator.OpcodeIndex()]
    inputs, outputs = integers(operator, "Inputs") or (), integers(operator, "Outputs") or ()
    _check(tuple(i for i in inputs if i != -1), values, walker, where)
    _check(outputs, values, walker, where)
    attributes = builtin(operator, walker, where)
    raw = _custom_options(operator)
    decoded = flexbuffer(raw) if is_custom else None
    if decoded is not None:
        attributes["custom_options"] = decoded
    if is_custom and str(kind).startswith(nodedef.PREFIX):
        attributes |= nodedef.attributes(raw)
    return Op(
        index,
        kind,
        tuple(None if i == -1 else i for i in inputs),
        outputs,
        attributes,
        custom=is_custom,
        custom_options=raw,
    )


def _custom_options(operator: Any) -> bytes:
    found = numbers(operator, "CustomOptions")
    return b"" if found is None else found.tobytes()


def _signature(raw: Any, graphs: tuple[Graph, ...], walker: Walker) -> Signature:
    key = text(raw.SignatureKey())
    with walker.place(f"signature {key!r}"):
        index = raw.SubgraphIndex()
        if index >= len(graphs):
            message = f"names subgraph {index} of {len(graphs)}"
            raise InvalidFile(message, source=walker.source, where=f"signature {key!r}")
        maps = [
            {text(item.Name()): item.TensorIndex() for item in walker.tables(raw, end, f"signature {key!r}")}
            for end in ("Inputs", "Outputs")
        ]
        for end in maps:
            _check(tuple(end.values()), graphs[index].values, walker, f"signature {key!r}")
        return Signature(key, index, *maps)


def _metadata(root: Any, contents: list[Any], walker: Walker) -> dict[str, memoryview]:
    found: dict[str, memoryview] = {}
    for item in walker.tables(root, "Metadata", "metadata"):
        name, count = text(item.Name()), 1
        key = name
        while key in found:
            count += 1
            key = f"{name}#{count}"
        index = item.Buffer()
        data = contents[index] if index < len(contents) else None
        found[key] = memoryview(b"") if data is None else memoryview(data)
    return found
