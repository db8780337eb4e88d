"""Runs a file although LiteRT lacks some of its custom operators: what we know of them is computed in their place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from tflrecover import ops
from tflrecover.errors import EvaluationError
from tflrecover.ir import Op
from tflrecover.ops.spec import OpSpec
from tflrecover.rewrite.contents import Contents
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.lower import lower
from tflrecover.tflite import TFLiteModel, flattened
from tflrecover.weight import Array, evaluate

Known = Callable[[int], Array]
"""Contents of a tensor as real numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Substitute:
    """An operator of the file that is evaluated.

    Attributes:
        index: Of the operator in the file.
        outputs: Its tensors.
        depth: How many others it needs the results of, one after another.
    """

    index: int
    outputs: tuple[int, ...]
    depth: int
    op: Op
    spec: OpSpec
    draft: Draft

    def results(self, known: Known) -> Sequence[Array]:
        """Its results.

        Raises:
            EvaluationError: it cannot be computed on these operands.
        """
        return self.spec.results([self._operand(value, known) for value in self.op.inputs], self.op.attributes)

    def _operand(self, value: int | None, known: Known) -> Array | None:
        weight = self.draft.weight(value)
        if weight is not None:
            return evaluate(weight, self.draft.env)
        return None if value is None else known(value)


def substitutes(file: TFLiteModel) -> tuple[Substitute, ...]:
    """Every custom operator of the main graph that can be evaluated, in file order."""
    graph = flattened(file)
    draft = lower(graph, ops.tflite_reader, Contents(graph))
    found, depths = [], defaultdict[int | None, int](int)
    for op in graph.ops():
        depth = max((depths[value] for value in op.inputs), default=0)
        read = draft.ops.get(op.id)
        spec = ops.by_name(read.type) if read is not None and op.custom and op.id not in draft.opaque else None
        if spec is not None and read is not None and spec.evaluate is not None and read.outputs == op.outputs:
            found.append(Substitute(int(op.id), op.outputs, depth, read, spec, draft))
            depth += 1
        depths.update(dict.fromkeys(op.outputs, depth))
    return tuple(one for one in found if one.index < len(file.graph))


def by_depth(found: Sequence[Substitute]) -> Mapping[int, Sequence[Substitute]]:
    """Those that can be evaluated after the same run."""
    groups = defaultdict[int, list[Substitute]](list)
    for one in found:
        groups[one.depth].append(one)
    return dict(sorted(groups.items()))


def without(content: bytes | memoryview, found: Sequence[Substitute]) -> bytes:
    """The file without these operators: their results are inputs, their operands outputs, which no delegate keeps.

    Raises:
        EvaluationError: it has contents behind its flatbuffer, which would be lost.
    """
    model = schema.ModelT.InitFromPackedBuf(bytes(content), 0)
    if any(buffer.offset > 1 for buffer in model.buffers):
        raise EvaluationError("a file with contents behind its flatbuffer cannot be run without its custom operators")
    graph, indices = model.subgraphs[0], {one.index for one in found}
    graph.operators = [op for index, op in enumerate(graph.operators) if index not in indices]
    graph.inputs = [*graph.inputs, *(value for one in found for value in one.outputs)]
    operands = {value for one in found for value in one.op.inputs if value is not None}
    made = {value for op in graph.operators for value in op.outputs}
    graph.outputs = [*graph.outputs, *sorted((operands & made) - {*graph.outputs})]
    model.signatureDefs = None
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
