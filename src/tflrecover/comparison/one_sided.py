"""What one side alone may write so: rules that bring it to one form, and by what graphs are told to differ in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tflrecover.ir import Graph
from tflrecover.rewrite import Rule
from tflrecover.rewrite.clamps import write_clamps
from tflrecover.rewrite.concatenations import flatten_concatenations
from tflrecover.rewrite.einsum import merge_axes
from tflrecover.rewrite.fold import fold_products
from tflrecover.rewrite.outer import join_outer_products
from tflrecover.rewrite.pixels import RESIZES, repeat_pixels, repeats
from tflrecover.rewrite.reductions import drop_reductions, is_over_one, keeps_axes
from tflrecover.rewrite.reshape import squeeze_tiles
from tflrecover.rewrite.steps import lift_lone_biases
from tflrecover.rewrite.sums import merge_sums


def count(graph: Graph, kind: str) -> int:
    """How many operators of a type a graph has."""
    return sum(op.type == kind for op in graph.ops())


def _added_constants(graph: Graph) -> int:
    sums = (op for op in graph.ops() if op.type == "ADD")
    return sum(any(v is not None and graph.values[v].weight is not None for v in op.inputs) for op in sums)


def _joined(graph: Graph) -> int:
    return sum(len(op.inputs) for op in graph.ops() if op.type == "CONCATENATION")


def _layers_of_one_input(graph: Graph) -> int:
    dense = (op for op in graph.ops() if op.type == "FULLY_CONNECTED")
    return sum((graph.values[op.inputs[1]].shape or ())[:1] == (1,) for op in dense if op.inputs[1] is not None)


def _reductions_of_one(graph: Graph) -> int:
    shapes = (
        (op, () if not op.inputs or op.inputs[0] is None else graph.values[op.inputs[0]].shape) for op in graph.ops()
    )
    return sum(is_over_one(op, shape or ()) for op, shape in shapes)


def _products_of_constants(graph: Graph) -> int:
    products = (op for op in graph.ops() if op.type in ("FULLY_CONNECTED", "BATCH_MATMUL"))
    return sum(all(v is None or graph.values[v].weight is not None for v in op.inputs) for op in products)


def _offsets_of_sums(graph: Graph) -> int:
    sums = {value for op in graph.ops() if op.type == "ADD" for value in op.outputs}
    return sum(op.type == "AFFINE" and op.inputs[0] in sums for op in graph.ops())


def reductions_that_keep(graph: Graph) -> int:
    """How many reductions keep their axes, all of them before the last."""
    reduced = ((op, op.inputs[0] if op.inputs else None) for op in graph.ops())
    return sum(keeps_axes(op, len(graph.values[x].shape or ())) for op, x in reduced if x is not None)


def _resizes_that_repeat(graph: Graph) -> tuple[int, ...]:
    resizes = ((op, op.inputs[0]) for op in graph.ops() if op.type in RESIZES)
    shapes = ((op, graph.values[x].shape or ()) for op, x in resizes if x is not None)
    kinds = [op.type for op, shape in shapes if repeats(op, shape)]
    return tuple(map(kinds.count, RESIZES))


def _axes_of_tiles(graph: Graph) -> int:
    return sum(len(op.attributes["multiples"]) for op in graph.ops() if op.type == "TILE")


def whole_constants(graph: Graph) -> int:
    """How many constants have all numbers of a result for themselves, for several examples."""
    results = ((op, graph.values[op.outputs[0]].shape or ()) for op in graph.ops() if op.outputs)
    operands = ((v, shape) for op, shape in results for v in op.inputs if v is not None and shape[:1] > (1,))
    return sum((w := graph.values[v].weight) is not None and w.shape == shape for v, shape in operands)


def _bounds(graph: Graph) -> int:
    return count(graph, "MAXIMUM") + count(graph, "MINIMUM")


def _axes_of_products(graph: Graph) -> int:
    return sum(len(op.attributes["equation"]) for op in graph.ops() if op.type == "EINSUM")


ONE_SIDED: Mapping[Rule, Callable[[Graph], object]] = {
    repeat_pixels: _resizes_that_repeat,
    flatten_concatenations: _joined,
    squeeze_tiles: _axes_of_tiles,
    join_outer_products: _layers_of_one_input,
    fold_products: _products_of_constants,
    merge_sums: _added_constants,
    drop_reductions: _reductions_of_one,
    lift_lone_biases: _offsets_of_sums,
    merge_axes: _axes_of_products,
    write_clamps: _bounds,
}
"""A rule is asked for where its number is not the same on both sides."""
