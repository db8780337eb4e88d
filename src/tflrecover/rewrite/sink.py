"""``f(RESHAPE(x)) = RESHAPE(f(x))`` for every ``f`` that works element by element, or along a last axis that stays.

``f(RESHAPE(x), RESHAPE(y), c) = RESHAPE(f(x, y, c))`` likewise, if both reshapes are the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tflrecover import ops
from tflrecover.ir import Op, Shape
from tflrecover.ops.shape import RESHAPE, only_moves_units
from tflrecover.ops.slicing import WHOLE
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.reshape import merge_reshape, without_lead
from tflrecover.rewrite.writer import Writer

Operands = tuple[int | None, ...]

# Along the last axis, which must then stay.
_ALONG_LAST = ("SOFTMAX", "LOG_SOFTMAX", "FULLY_CONNECTED")
_REDUCTIONS = ("MEAN", "SUM")


def sink_reshapes(draft: Draft) -> int:
    """A RESHAPE moves behind activations, scalings and dense layers, so that these meet what made their operand.

    For others that take it, it stays where it was too: what they are differs between the sides.
    """
    count = 0
    listed = draft.ordered() if draft.has("RESHAPE") else ()
    for op_id in [op.id for op in listed]:
        if draft.ops[op_id].type == "RESHAPE":
            # What has just come to stand before it and it are one, or none, for what is behind them.
            count += merge_reshape(draft, draft.ops[op_id])
            continue
        while _sink(draft, draft.ops[op_id]):
            count += 1
    return count


def sink_rows(draft: Draft) -> int:
    """A RESHAPE moves behind dense layers alone, which TensorFlow gives rows and a file does not."""
    dense = [op.id for op in draft.ordered("FULLY_CONNECTED")] if draft.has("RESHAPE") else ()
    return sum(_sink(draft, draft.ops[op_id]) for op_id in dense)


def sink_units(draft: Draft) -> int:
    """A RESHAPE that puts axes of size 1 behind all others moves behind reductions, before constants are scalings."""
    count = 0
    for op_id in [op.id for op in draft.ordered()] if draft.has("RESHAPE") else ():
        op = draft.ops[op_id]
        before = _reshape_before(draft, op) if len(op.outputs) == 1 else None
        if before is None or before.type != "RESHAPE" or before.id in draft.opaque or op.id in draft.opaque:
            continue
        inside, outside = draft.shape(before.inputs[0]), draft.shape(before.outputs[0])
        if len(inside) >= len(outside) or outside != inside + (1,) * (len(outside) - len(inside)):
            continue
        if op.type == "RESHAPE":
            count += merge_reshape(draft, op)
        elif op.type in _REDUCTIONS:
            count += _reduced(draft, op, before)
        elif (spec := ops.by_name(op.type)) is not None and (spec.is_elementwise or spec.is_of_single_numbers):
            count += _sink(draft, op)
    return count


def _reduced(draft: Draft, op: Op, before: Op) -> bool:
    """``MEAN(RESHAPE(x)) = RESHAPE(MEAN(x))`` over the same places."""
    inside, outside = draft.shape(before.inputs[0]), draft.shape(before.outputs[0])
    wide = [axis for axis, n in enumerate(inside) if n != 1]
    named = dict(zip((axis for axis, n in enumerate(outside) if n != 1), wide, strict=True))
    if not op.attributes["keepdims"] or not set(op.attributes["axis"]) <= set(named):
        return False
    axes = tuple(named[axis] for axis in op.attributes["axis"])
    write = Writer(draft, op)
    made = write.add(str(op.type), before.inputs, **{**op.attributes, "axis": axes})
    write.finish(write.reshaped(made, draft.shape(op.outputs[0])))
    return True


def _sink(draft: Draft, op: Op) -> bool:
    """Moves the RESHAPE before an operator behind it."""
    if op.id in draft.opaque:
        return False
    if op.type == "GATHER":
        return _sink_indices(draft, op)
    spec = ops.by_name(op.type)
    if spec is None or len(op.outputs) != 1:
        return False
    if spec.is_elementwise and _sink_lead(draft, op):
        return True
    before = _reshape_before(draft, op)
    if before is None or before.type != "RESHAPE":
        return False
    inside, outside = draft.shape(before.inputs[0]), draft.shape(before.outputs[0])
    if not inside or not outside:
        return False
    inputs = _elementwise(draft, op, inside, outside) if spec.is_elementwise else _single(draft, op, before)
    if inputs is None and _works_on_rows(draft, op, before):
        inside = (math.prod(outside[:-1]), outside[-1])
        rows = draft.new_value(inside, draft.values[before.outputs[0]].dtype)
        draft.add(before.evolve(id=f"{op.id}.rows", outputs=(rows,), attributes={"target_shape": inside}))
        inputs = (rows, *op.inputs[1:])
    if inputs is None:
        return False
    result = draft.values[op.outputs[0]]
    if op.type in ("FULLY_CONNECTED", "STRIDED_SLICE", *_REDUCTIONS):
        inside = (*inside[:-1], draft.shape(op.outputs[0])[-1])
    middle = draft.new_value(inside, result.dtype, draft.values[before.outputs[0]].name)
    moved = _without_units(op, draft.shape(before.inputs[0]), draft.shape(before.outputs[0]))
    draft.replace(op.evolve(inputs=inputs, outputs=(middle,), attributes=moved or _along_last(op, len(inside))))
    attributes = {**before.attributes, "target_shape": draft.shape(op.outputs[0])}
    made = f"{before.id} behind {op.id}"
    draft.add(before.evolve(id=made, inputs=(middle,), outputs=op.outputs, attributes=attributes))
    return True


def _without_units(op: Op, inside: Shape, outside: Shape) -> Mapping[str, Any] | None:
    """Attributes of a REVERSE_V2 before a RESHAPE that only moves axes of size 1, which nothing turns round."""
    if op.type != "REVERSE_V2":
        return None
    wide = [[axis for axis, n in enumerate(shape) if n != 1] for shape in (outside, inside)]
    named = dict(zip(*wide, strict=True))
    return {"axis": tuple(named[axis] for axis in op.attributes["axis"] if axis in named)}


def _along_last(op: Op, rank: int) -> Mapping[str, Any]:
    """Attributes of an operator along the last axis where there are that many."""
    if op.type in _REDUCTIONS:
        return {**op.attributes, "axis": (rank - 1,)}
    if op.type == "STRIDED_SLICE":
        return {**op.attributes, "slices": (*[WHOLE] * (rank - 1), op.attributes["slices"][-1])}
    return op.attributes


def _reshape_before(draft: Draft, op: Op) -> Op | None:
    """What makes the first activation that an operator takes; of several the first that is not broadcast."""
    values = [value for value in op.inputs if value is not None and draft.weight(value) is None]
    whole = [value for value in values if draft.shape(value) == draft.shape(op.outputs[0])] if len(values) > 1 else []
    return next((draft.producer(value) for value in whole or values), None)


def _sink_lead(draft: Draft, op: Op) -> bool:
    """``x + RESHAPE(y) = RESHAPE(x + y)`` where nothing else puts the ones there that are in front of the result."""
    shape, bare = draft.shape(op.outputs[0]), [_before_lead(draft, value) for value in op.inputs]
    rank = max((len(draft.shape(value)) for value in bare if draft.weight(value) is None), default=0)
    lead = len(shape) - rank
    if not rank or lead <= 0 or set(shape[:lead]) != {1}:
        return False
    low = draft.new_value(shape[lead:], draft.values[op.outputs[0]].dtype)
    inputs = tuple(without_lead(draft, value, rank) for value in bare)
    draft.replace(op.evolve(inputs=inputs, outputs=(low,)))
    target = {"target_shape": shape}
    draft.add(Op(f"{op.id}.lead", "RESHAPE", (low,), op.outputs, target, op.layer, op.origins))
    return True


def _before_lead(draft: Draft, value: int | None) -> int | None:
    """What a value is before a RESHAPE that puts ones in front."""
    before = draft.producer(value)
    if before is None or before.type != "RESHAPE" or before.id in draft.opaque:
        return value
    inside, outside = draft.shape(before.inputs[0]), draft.shape(before.outputs[0])
    lead = len(outside) - len(inside)
    return before.inputs[0] if inside and lead > 0 and outside == (*(1,) * lead, *inside) else value


def _sink_indices(draft: Draft, op: Op) -> bool:
    """``GATHER(table, RESHAPE(i)) = RESHAPE(GATHER(table, i))``: rows of a table are looked up one by one."""
    before = draft.producer(op.inputs[1])
    is_table = draft.weight(op.inputs[0]) is not None and not op.attributes["axis"] and not op.attributes["batch_dims"]
    if before is None or before.type != "RESHAPE" or before.id in draft.opaque or not is_table:
        return False
    shape = (*draft.shape(before.inputs[0]), *draft.shape(op.inputs[0])[1:])
    rows = draft.new_value(shape, draft.values[op.outputs[0]].dtype, draft.values[op.outputs[0]].name)
    draft.replace(op.evolve(inputs=(op.inputs[0], before.inputs[0]), outputs=(rows,)))
    attributes = {**before.attributes, "target_shape": draft.shape(op.outputs[0])}
    made = f"{before.id} behind {op.id}"
    draft.add(before.evolve(id=made, inputs=(rows,), outputs=op.outputs, attributes=attributes))
    return True


def _works_on_rows(draft: Draft, op: Op, before: Op) -> bool:
    """Whether a dense layer, or a scaling in front of one, takes a RESHAPE to other last axes.

    ``f(RESHAPE(x)) = RESHAPE(f(rows of x))``: TensorFlow makes rows of whatever a dense layer takes.
    """
    inside, outside = draft.shape(before.inputs[0]), draft.shape(before.outputs[0])
    if op.inputs[0] != before.outputs[0] or before.id in draft.opaque or len(outside) < 3 or inside[-1] == outside[-1]:
        return False
    while op.type == "AFFINE" and (behind := draft.only_consumer(op.outputs[0])) is not None:
        op = behind
    return op.type == "FULLY_CONNECTED"


def _single(draft: Draft, op: Op, before: Op) -> Operands | None:
    """Operands of an operator on one activation, or None where it does not let a RESHAPE pass."""
    spec = ops.by_name(op.type)
    inside, outside = draft.shape(before.inputs[0]), draft.shape(before.outputs[0])
    if op.type == "AFFINE":
        constants = [weight for value in op.inputs[1:] if (weight := draft.weight(value)) is not None]
        may_pass = inside[-1] == outside[-1] or all(all(n == 1 for n in weight.shape) for weight in constants)
    elif op.type in _ALONG_LAST or (op.type in _REDUCTIONS and _keeps_all_but_last(op, len(outside))):
        may_pass = inside[-1] == outside[-1]
    elif op.type == "STRIDED_SLICE":
        may_pass = inside[-1] == outside[-1] and only_moves_units(inside, outside) and _cuts_last(op, len(outside))
    elif op.type == "REVERSE_V2":
        may_pass = only_moves_units(inside, outside)
    else:
        may_pass = spec is not None and spec.is_of_single_numbers
    return (before.inputs[0], *op.inputs[1:]) if may_pass and op.inputs[0] == before.outputs[0] else None


def _keeps_all_but_last(op: Op, rank: int) -> bool:
    return bool(op.attributes["keepdims"]) and op.attributes["axis"] == (rank - 1,)


def _cuts_last(op: Op, rank: int) -> bool:
    """Whether a slice takes a range of the last of so many axes, and all of the others."""
    *front, last = op.attributes["slices"] or (None,)
    return len(front) == rank - 1 and all(place == WHOLE for place in front) and isinstance(last, tuple)


def _elementwise(draft: Draft, op: Op, inside: Shape, outside: Shape) -> Operands | None:
    """Operands before the same RESHAPE of all of them; a number alone needs none."""
    found: list[int | None] = []
    # Broadcasting puts ones in front of what has no RESHAPE that does.
    adds_ones = set(outside[: len(outside) - len(inside)]) == {1}
    for value in op.inputs:
        weight, before = draft.weight(value), draft.producer(value)
        if weight is not None and weight.shape == ():
            found.append(value)
        elif weight is not None and (shape := _moved(weight.shape, outside, inside)) is not None:
            found.append(draft.constant(RESHAPE(weight, shape=shape, target_shape=shape)))
        elif before is not None and _does_the_same(draft, before, inside, outside):
            found.append(before.inputs[0])
        elif weight is None and draft.shape(value) == inside == outside[-len(inside) :] and adds_ones:
            found.append(value)
        else:
            return None
    shapes = [draft.shape(value) for value in found if draft.weight(value) is None]
    is_broadcast = all(
        len(shape) == len(inside) and all(n in (1, size) for n, size in zip(shape, inside, strict=True))
        for shape in shapes
    )
    return tuple(found) if is_broadcast and inside in shapes else None


def _does_the_same(draft: Draft, op: Op, inside: Shape, outside: Shape) -> bool:
    """Whether an operator is that RESHAPE, or does to one number per row what it does to rows that stay."""
    before, after = draft.shape(op.inputs[0]), draft.shape(op.outputs[0])
    is_narrow = inside[-1] == outside[-1] and (before, after) == ((*inside[:-1], 1), (*outside[:-1], 1))
    return op.type == "RESHAPE" and (after == outside or is_narrow or _moved(after, outside, inside) == before)


def _moved(shape: Shape, outside: Shape, inside: Shape) -> Shape | None:
    """The shape before the RESHAPE of a constant that is broadcast behind it; None where it has none."""
    full = (1,) * (len(outside) - len(shape)) + shape
    if full == outside:
        return inside
    if len(full) != len(outside) or any(n not in (1, size) for n, size in zip(full, outside, strict=True)):
        # It is the activation that is broadcast.
        return None
    if not only_moves_units(inside, outside):
        return None
    # The other axes of the constant move with those that they are broadcast over.
    sizes = iter([n for n, size in zip(full, outside, strict=True) if size != 1])
    return tuple(1 if size == 1 else next(sizes) for size in inside)
