"""What is in a file, as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tflrecover.ir import Graph, Op, Value
from tflrecover.render.values import safe
from tflrecover.tflite import TFLiteModel
from tflrecover.tflite.model import Signature


def inspect_text(model: TFLiteModel, *, full: bool = False) -> str:
    """The file at a glance.

    Args:
        model: A file as read.
        full: Also every operator and every constant.
    """
    lines = [
        f"file         {safe(model.source)}",
        f"size         {model.size:,} bytes",
        f"sha256       {model.sha256}",
        f"description  {safe(model.description)} (schema version {model.version})",
    ]
    for signature in model.signatures:
        ends = f"{_names(signature.inputs)} -> {_names(signature.outputs)}"
        lines.append(f"signature    {safe(signature.key)}: {ends} (subgraph {signature.subgraph})")
    lines += [f"metadata     {safe(name)}: {len(content):,} bytes" for name, content in model.metadata.items()]
    for index, graph in enumerate(model.subgraphs):
        lines += ["", f"subgraph {index}  {safe(graph.graph['name'])}", *_graph(graph, model.signature(index))]
        if full:
            lines += ["", *_operators(graph), "", *_constants(graph)]
    return "\n".join(lines) + "\n"


def _names(ends: object) -> str:
    return safe(", ".join(ends)) if isinstance(ends, dict) else ""


def sizes(value: Value) -> str:
    """``1x?x3``; dynamic sizes as ``?``."""
    shape = value.shape_signature or value.shape
    return "x".join("?" if n == -1 else str(n) for n in shape) if shape else "scalar"


def describe_value(value: Value) -> str:
    """``name (shape) dtype``; dynamic sizes as ``?``, quantization in short."""
    quantization = value.quantization
    scaled = quantization is not None and quantization.scale.size
    if not scaled or quantization is None:
        return f"{safe(value.name)!r} {sizes(value)} {value.dtype}"
    kind = (
        f"scale {quantization.scale[0]:.4g}"
        if quantization.scale.size == 1
        else f"per channel ({quantization.scale.size})"
    )
    return f"{safe(value.name)!r} {sizes(value)} {value.dtype}, {kind}"


def _graph(graph: Graph, signature: Signature | None) -> Iterator[str]:
    for name, ends in (("input", graph.inputs), ("output", graph.outputs)):
        called = {value: key for key, value in getattr(signature, f"{name}s").items()} if signature else {}
        for i, value in enumerate(ends):
            alias = f", in the signature {safe(called[value])!r}" if value in called else ""
            yield f"  {f'{name} {i}':<10} {describe_value(graph.values[value])}{alias}"
    kinds = Counter(str(op.type) for op in graph.ops())
    custom = {str(op.type) for op in graph.ops() if op.custom}
    listed = ", ".join(f"{safe(k)}{' (custom)' if k in custom else ''} {n}" for k, n in kinds.most_common())
    yield f"  operators  {len(graph)}: {listed}" if kinds else "  operators  0"
    constants = [value for value in graph.values.values() if value.data is not None]
    types = Counter(str(value.dtype) for value in constants)
    elements = sum(value.data.size for value in constants if value.data is not None)
    kinds_text = ", ".join(f"{t} {n}" for t, n in types.most_common())
    yield f"  constants  {len(constants)} tensors, {elements:,} values: {kinds_text}"
    scaled = [v for v in graph.values.values() if v.quantization is not None and v.quantization.scale.size]
    if scaled:
        activations = sum(v.data is None for v in scaled)
        per_channel = sum(v.quantization is not None and v.quantization.scale.size > 1 for v in scaled)
        yield f"  quantized  {len(scaled)} tensors, {activations} of them activations, {per_channel} per channel"
    sparse = sum(value.sparsity is not None for value in constants)
    if sparse:
        yield f"  sparse     {sparse} tensors"


def _operators(graph: Graph) -> Iterator[str]:
    for op in graph.ops():
        yield f"  {op.id:>5} {safe(op.type):<24} {_operands(graph, op)}"
        shown = {k: v for k, v in op.attributes.items() if v is not None}
        if shown:
            yield f"        {safe(', '.join(f'{k}={v}' for k, v in shown.items()))}"


def _constants(graph: Graph) -> Iterator[str]:
    """Every constant, and which operators take it: what a mapping's ``from:`` names."""
    takers: dict[int, list[str]] = {}
    for op in graph.ops():
        for taken in dict.fromkeys(value for value in op.inputs if value is not None):
            takers.setdefault(taken, []).append(f"#{op.id}")
    yield "  constants"
    for index, value in graph.values.items():
        if value.data is not None:
            by = f", taken by {', '.join(takers[index])}" if index in takers else ""
            yield f"  {index:>5} {describe_value(value)}{by}"


def _operands(graph: Graph, op: Op) -> str:
    taken = ", ".join("-" if v is None else f"{v}" for v in op.inputs)
    made = ", ".join(f"{v} {describe_value(graph.values[v])}" for v in op.outputs)
    return f"({taken}) -> {made}"
