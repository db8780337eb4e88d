"""How a file is quantized, told from its tensors and operators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from tflrecover.ir import Graph, Op, Value

_WEIGHTS = frozenset({"int2", "int4", "uint4", "int8", "uint8", "int16"})
_FLOATS = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
# Operators that change how numbers are stored and nothing else.
_STORAGE = frozenset({"QUANTIZE", "DEQUANTIZE", "DENSIFY", "CAST", "FAKE_QUANT", "RESHAPE"})
_MEANING = {
    "dynamic range": "The file rounds activations while it runs; the model computes in float and so differs from it by "
    "that noise.",
    "weight only": "The file computes in float.",
    "float16": "The file computes in float.",
    "small floats": "The file computes in float.",
    "simulated": "The file computes in float and rounds activations to their scales; the model does not.",
}
_INTEGER = (
    "The scales of activations are kept in the graph; the model computes in float and so differs from the file by "
    "quantization noise."
)


@dataclass(frozen=True, slots=True)
class Quantized:
    """What is quantized in a file.

    Attributes:
        kind: ``full integer``, ``integer in part``, ``int16x8``, ``simulated`` (float operators between QUANTIZE and
            DEQUANTIZE), ``dynamic range``, ``weight only``, ``float16`` or ``small floats``.
        weights: Type to how many constants are stored in it, other than float32.
        activations: Type to how many activations are stored in it, other than float32.
        fake: How many FAKE_QUANT operators stand on activations.
    """

    kind: str
    weights: Counter[str]
    activations: Counter[str]
    fake: int

    @property
    def text(self) -> str:
        """The same as a sentence or two."""
        parts = [f"{_count(self.weights)} weights", f"{_count(self.activations)} activations"]
        counts = [part for part, found in zip(parts, (self.weights, self.activations), strict=True) if found]
        found = []
        if counts:
            listed = " and ".join(counts)
            meaning = _MEANING.get(self.kind, _INTEGER)
            found.append(f"The file is quantized ({self.kind}): {listed}. Weights are dequantized exactly. {meaning}")
        if self.fake:
            found.append(f"FAKE_QUANT on {self.fake} activations has no counterpart in a float model and was left out.")
        return " ".join(found)


def _count(found: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in found.most_common())


def quantized(graph: Graph) -> Quantized | None:
    """What is quantized in a graph as read, or None when it is all float32 and integers that mean themselves."""
    used = {value for op in graph.ops() for value in (*op.inputs, *op.outputs) if value is not None}
    values = {key: graph.values[key] for key in used}
    scaled = [value for value in values.values() if _is_scaled(value) or value.dtype in _FLOATS]
    weights = Counter(str(v.dtype) for v in scaled if v.data is not None and v.dtype in (*_WEIGHTS, *_FLOATS))
    activations = Counter(str(v.dtype) for v in scaled if v.data is None and v.dtype in _WEIGHTS)
    rounded = (op.inputs[0] for op in graph.ops() if op.type == "FAKE_QUANT" and op.inputs)
    fake = sum(value is not None and values[value].data is None for value in rounded)
    if not weights and not activations and not fake:
        return None
    return Quantized(_kind(graph, weights, activations), weights, activations, fake)


def _is_scaled(value: Value) -> bool:
    found = value.quantization
    return found is not None and (found.scale.size > 0 or "scales" in found.details)


def _kind(graph: Graph, weights: Counter[str], activations: Counter[str]) -> str:
    computing = [op for op in graph.ops() if op.type not in _STORAGE]
    if activations:
        in_float = [op for op in computing if any(graph.values[v].dtype == "float32" for v in op.outputs)]
        if computing and len(in_float) == len(computing):
            return "simulated"
        is_wide = 2 * activations["int16"] > activations.total() and weights["int8"] > 0
        return "integer in part" if in_float else "int16x8" if is_wide else "full integer"
    stored = set(weights) & _WEIGHTS
    if not stored:
        return "float16" if set(weights) <= {"float16"} else "small floats"
    return "dynamic range" if _takes_integers(graph, computing) else "weight only"


def _takes_integers(graph: Graph, ops: Iterable[Op]) -> bool:
    operands = (graph.values[value] for op in ops for value in op.inputs if value is not None)
    return any(value.data is not None and value.dtype in _WEIGHTS and _is_scaled(value) for value in operands)
