"""What saturates on the way to a site: numbers beyond what the calibration saw are cut off in the middle of a region.

On the file's own values the region is computed in real numbers twice, with the ends of each integer tensor and without.
Where the results differ, the file cannot show what the operators make of its values.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tflrecover import ops
from tflrecover.evaluation import evaluated
from tflrecover.ir import Graph
from tflrecover.rewrite.contents import Contents
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.lower import lower
from tflrecover.verification.allowance import clipped
from tflrecover.verification.sites import Region
from tflrecover.weight import Array, evaluate

Known = Callable[[int], Array]


def saturation(graph: Graph, region: Region, tensor: int, known: Known) -> Array | None:
    """By how much each number of a tensor is changed by what saturates before it; None where that cannot be computed.

    Args:
        graph: The file's.
        region: What lies between the tensor and the sites before it.
        tensor: The site's.
        known: What the file has in a tensor, as real numbers.
    """
    listed = sorted(region.ops, key=lambda op: int(op.id))
    part = Graph.build(listed, graph.values, region.operands, (tensor,))
    draft = lower(part, ops.tflite_reader, Contents(part))
    given = {value: known(value) for value in region.operands}
    free, cut = (_computed(draft, part, given, is_cut=is_cut) for is_cut in (False, True))
    return None if free is None or cut is None else np.abs(free - cut)


def _computed(draft: Draft, graph: Graph, given: dict[int, Array], *, is_cut: bool) -> Array | None:
    values = dict(given)
    for op in draft.ordered():
        args = [None if v is None else values[v] if v in values else _constant(draft, v) for v in op.inputs]
        results = None if op.id in draft.opaque else evaluated(op, args, draft.shape(op.outputs[0]))
        if results is None:
            return None
        for value, result in zip(op.outputs, results, strict=False):
            is_rounded = is_cut and value in graph.values and value not in draft.outputs
            values[value] = clipped(result, graph.values[value]) if is_rounded else result
    return values.get(draft.outputs[0])


def _constant(draft: Draft, value: int) -> Array:
    weight = draft.weight(value)
    return np.zeros(0) if weight is None else evaluate(weight, draft.env)
