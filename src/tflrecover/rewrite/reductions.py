"""Reductions over fewer axes, and with those in front kept by a RESHAPE.

MEAN(x, (a, b)) = RESHAPE(MEAN(x, b))      where a has one place
MEAN(x, a, keepdims=True) = RESHAPE(MEAN(x, a))      for the axes in front, or for all before the last
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
    ops = [op for op in draft.of_type(*REDUCTIONS) if op.attributes["axis"] == tuple(range(len(op.attributes["axis"])))]
    return sum(_drop_kept(draft, op) for op in ops if op.attributes["axis"])


def drop_kept_axes(draft: Draft) -> int:
    """Reductions of axes before the last put the ones that they keep there by a RESHAPE.

    A converter that knows all sizes has the one for the other. A norm reduces the last axis and keeps it.
    """
    ops = [op for op in draft.of_type(*REDUCTIONS) if keeps_axes(op, len(draft.shape(op.inputs[0])))]
    return sum(_drop_kept(draft, op) for op in ops)


def keeps_axes(op: Op, rank: int) -> bool:
    """Whether an operator is a reduction that keeps its axes, all of them before the last of so many."""
    if op.type not in REDUCTIONS or not op.attributes["keepdims"]:
        return False
    return max(op.attributes["axis"], default=rank) < rank - 1


def _drop_kept(draft: Draft, op: Op) -> int:
    if not op.attributes["keepdims"]:
        return 0
    writer = Writer(draft, op)
    made = writer.add(str(op.type), op.inputs, **{**op.attributes, "keepdims": False})
    writer.finish(writer.reshaped(made, draft.shape(op.outputs[0])))
    return 1
