"""``SUM(x, keepdims) = RESHAPE(SUM(x))`` for the axes in front, for every reduction.

What has ones in front is what has them not, to whatever broadcasts: a converter leaves them out or in.
"""

from __future__ import annotations

from tflrecover.ops.reduce import REDUCTIONS
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.writer import Writer

_NAMES = tuple(spec.name for spec in REDUCTIONS)


def drop_front_axes(draft: Draft) -> int:
    """Reductions of the axes in front, which they keep, put the ones there by a RESHAPE."""
    count = 0
    for op in draft.of_type(*_NAMES):
        axes = op.attributes["axis"]
        if not op.attributes["keepdims"] or axes != tuple(range(len(axes))) or not axes:
            continue
        writer = Writer(draft, op)
        made = writer.add(str(op.type), op.inputs, **{**op.attributes, "keepdims": False})
        writer.finish(writer.reshaped(made, draft.shape(op.outputs[0])))
        count += 1
    return count
