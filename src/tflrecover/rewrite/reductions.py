"""Reductions over fewer axes, and with those in front kept by a RESHAPE.

MEAN(x, (a, b)) = RESHAPE(MEAN(x, b))      where a has one place
MEAN(x, a, keepdims=True) = RESHAPE(MEAN(x, a))      for the axes in front
MEAN(x, a) = RESHAPE(x)      where a has one place

What has ones in front is what has them not, to whatever broadcasts: a converter leaves them out or in. PyTorch's layer
norm takes its mean over the batch, too, in a file of one example.
"""

from __future__ import annotations

from tflrecover.ir import Op, Shape
from tflrecover.ops import reduce
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.writer import Writer

REDUCTIONS = tuple(spec.name for spec in reduce.REDUCTIONS)


def reduce_along(draft: Draft) -> int:
    """Axes of size 1 beside others go from a reduction; one over such axes alone stays, for it may be a pool."""
    count = 0
    for op in draft.of_type(*REDUCTIONS):
        sizes, axes = draft.shape(op.inputs[0]), tuple(op.attributes["axis"])
        wide = tuple(axis for axis in axes if sizes[axis] != 1)
        if wide and len(wide) < len(axes):
            _reduce(draft, op, wide)
            count += 1
    return count


def drop_reductions(draft: Draft) -> int:
    """A reduction over axes of size 1 alone changes no number: a converter leaves it out."""
    count = 0
    for op in draft.of_type(*REDUCTIONS):
        if is_over_one(op, draft.shape(op.inputs[0])):
            writer = Writer(draft, op)
            writer.finish(writer.reshaped(op.inputs[0], draft.shape(op.outputs[0])))
            count += 1
    return count


def is_over_one(op: Op, shape: Shape) -> bool:
    """Whether an operator is a reduction of one number each, of an operand of that shape."""
    return op.type in REDUCTIONS and bool(shape) and all(shape[axis] == 1 for axis in op.attributes["axis"])


def _reduce(draft: Draft, op: Op, axes: tuple[int, ...]) -> None:
    """The reduction over these axes, which are kept; a RESHAPE where the result has others."""
    sizes, result = draft.shape(op.inputs[0]), op.outputs[0]
    shape = tuple(1 if axis in axes else n for axis, n in enumerate(sizes))
    changed = op.evolve(attributes={**op.attributes, "axis": axes, "keepdims": True})
    if shape == draft.shape(result):
        draft.replace(changed)
        return
    kept = draft.new_value(shape, draft.values[result].dtype, draft.values[result].name)
    draft.replace(changed.evolve(outputs=(kept,)))
    target = {"target_shape": draft.shape(result)}
    draft.add(Op(f"{op.id}.reshaped", "RESHAPE", (kept,), (result,), target, op.layer, op.origins))


def drop_front_axes(draft: Draft) -> int:
    """Reductions of the axes in front, which they keep, put the ones there by a RESHAPE."""
    count = 0
    for op in draft.of_type(*REDUCTIONS):
        axes = op.attributes["axis"]
        if not op.attributes["keepdims"] or axes != tuple(range(len(axes))) or not axes:
            continue
        writer = Writer(draft, op)
        made = writer.add(str(op.type), op.inputs, **{**op.attributes, "keepdims": False})
        writer.finish(writer.reshaped(made, draft.shape(op.outputs[0])))
        count += 1
    return count
