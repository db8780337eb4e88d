"""``RESHAPE(RESHAPE(x, a), b) = RESHAPE(x, b)``, ``RESHAPE(x, shape of x) = x``, and what else is only a reshape."""

from __future__ import annotations

import numpy as np

from tflrecover import ops
from tflrecover.ir import Op
from tflrecover.ops.shape import RESHAPE, only_moves_units
from tflrecover.rewrite.draft import Draft, merged_origins
from tflrecover.rewrite.match import elementwise
from tflrecover.rewrite.writer import Writer


def merge_reshapes(draft: Draft) -> int:
    """``RESHAPE(RESHAPE(x, a), b)`` becomes ``RESHAPE(x, b)``; a reshape that changes nothing goes."""
    return sum(merge_reshape(draft, draft.ops[op_id]) for op_id in [op.id for op in draft.ordered("RESHAPE")])


def merge_reshape(draft: Draft, op: Op) -> int:
    """Likewise, of one."""
    count = 0
    before = draft.producer(op.inputs[0])
    if before is not None and before.type == "RESHAPE" and draft.opaque.isdisjoint((op.id, before.id)):
        # The first reshape stays when somebody else takes its result too; pruning removes it otherwise.
        op = op.evolve(inputs=before.inputs, origins=merged_origins(op, before))
        draft.replace(op)
        count += 1
    value = op.inputs[0]
    shape = None if value is None else draft.values[value].shape
    if value is not None and shape is not None and shape == draft.values[op.outputs[0]].shape:
        draft.remove(op.id)
        draft.redirect(op.outputs[0], value)
        count += 1
    return count


def unit_reshapes(draft: Draft) -> int:
    """``RESHAPE(x)`` that only moves axes of size 1 becomes ``TRANSPOSE(x)``, which passes more operators.

    A converter makes the one of the other; :func:`unit_transposes` makes what is left of them the same again.
    """
    count = 0
    for op in draft.of_type("RESHAPE"):
        inside, outside = draft.shape(op.inputs[0]), draft.shape(op.outputs[0])
        if len(inside) != len(outside) or inside == outside or not only_moves_units(inside, outside):
            continue
        rest = [iter([i for i, n in enumerate(inside) if (n != 1) is is_wide]) for is_wide in (False, True)]
        perm = tuple(next(rest[n != 1]) for n in outside)
        draft.replace(op.evolve(type="TRANSPOSE", attributes={"perm": perm}))
        count += 1
    return count


def unit_transposes(draft: Draft) -> int:
    """``TRANSPOSE(x)`` that only moves axes of size 1 becomes ``RESHAPE(x)``: no number changes its place."""
    count = 0
    for op in draft.of_type("TRANSPOSE"):
        before = draft.shape(op.inputs[0])
        moved = [axis for axis in op.attributes["perm"] if axis < len(before) and before[axis] != 1]
        if not before or moved != sorted(moved):
            continue
        after = tuple(before[axis] for axis in op.attributes["perm"])
        draft.replace(op.evolve(type="RESHAPE", attributes={"target_shape": after}))
        count += 1
    return count


def reshape_units(draft: Draft) -> int:
    """In the place of :func:`unit_reshapes`: axes of size 1 are moved by reshapes only, which merge with others.

    Where a converter has merged such a RESHAPE with its neighbour, nothing tells that a TRANSPOSE was in it.
    """
    return unit_transposes(draft) + _without_units(draft) + merge_reshapes(draft)


def _without_units(draft: Draft) -> int:
    """``TRANSPOSE(x) = RESHAPE(TRANSPOSE(RESHAPE(x)))`` of the axes that are longer than 1."""
    count = 0
    for op in draft.of_type("TRANSPOSE"):
        before = draft.shape(op.inputs[0])
        wide = [axis for axis, n in enumerate(before) if n != 1]
        if len(wide) == len(before) or op.id in draft.opaque:
            continue
        writer = Writer(draft, op)
        perm = tuple(wide.index(axis) for axis in op.attributes["perm"] if axis in wide)
        turned = writer.transposed(writer.reshaped(op.inputs[0], tuple(before[axis] for axis in wide)), perm)
        writer.finish(writer.reshaped(turned, draft.shape(op.outputs[0])))
        count += 1
    return count


def drop_broadcast_reshapes(draft: Draft) -> int:
    """``x + RESHAPE(y)`` becomes ``x + y`` when the reshape only puts ones in front, or leaves them out.

    Broadcasting does so itself; Keras and converters do it either way when the batch is one.
    """
    count = 0
    for op in elementwise(draft, "RESHAPE"):
        if len(op.inputs) != 2:
            continue
        found = [(slot, inside) for slot in (0, 1) if (inside := _before_lead(draft, op, slot)) is not None]
        if len(found) > 1:
            # Of two, what has its batch behind is what a converter has turned, and then left as it is.
            found = [(slot, inside) for slot, inside in found if draft.shape(inside)[:1] != (1,)]
        if len(found) == 1:
            slot, inside = found[0]
            inputs = tuple(inside if i == slot else value for i, value in enumerate(op.inputs))
            draft.replace(op.evolve(inputs=inputs))
            count += 1
    return count


def _before_lead(draft: Draft, op: Op, slot: int) -> int | None:
    """What an operand is without its RESHAPE, where the result is the same without it."""
    before = draft.producer(op.inputs[slot])
    if before is None or before.type != "RESHAPE":
        return None
    inside, outside = draft.shape(before.inputs[0]), draft.shape(before.outputs[0])
    rank = min(len(inside), len(outside))
    lead = (*inside[: len(inside) - rank], *outside[: len(outside) - rank])
    if not lead or set(lead) != {1} or inside[len(inside) - rank :] != outside[len(outside) - rank :]:
        return None
    other = draft.shape(op.inputs[1 - slot])
    return before.inputs[0] if np.broadcast_shapes(inside, other) == draft.shape(op.outputs[0]) else None


def fill_ranks(draft: Draft) -> int:
    """``x + RESHAPE(y)`` becomes ``x + RESHAPE(y)'`` with the ones in front that broadcasting would put there.

    It may then be the reshape of ``y`` that others take, too.
    """
    count = 0
    for op in elementwise(draft, "RESHAPE"):
        inputs = tuple(_with_lead(draft, value, len(draft.shape(op.outputs[0]))) for value in op.inputs)
        if inputs != op.inputs:
            draft.replace(op.evolve(inputs=inputs))
            count += 1
    return count


def _with_lead(draft: Draft, value: int | None, rank: int) -> int | None:
    """The operand, with that many axes where it is a RESHAPE to fewer."""
    before, shape = draft.producer(value), draft.shape(value)
    if before is None or before.type != "RESHAPE" or before.id in draft.opaque or not 0 < len(shape) < rank:
        return value
    shape = (*(1,) * (rank - len(shape)), *shape)
    made = draft.new_value(shape, draft.values[before.outputs[0]].dtype)
    attributes = {**before.attributes, "target_shape": shape}
    draft.add(before.evolve(id=f"{before.id} for {made}", outputs=(made,), attributes=attributes))
    return made


def lower_ranks(draft: Draft) -> int:
    """``x + w`` becomes ``RESHAPE(x + w')`` where ``w`` only puts ones in front of the shape of the result.

    A converter may leave the axes that a RESHAPE before would have made to the constant.
    """
    count = 0
    for op in elementwise(draft):
        rank = max((len(draft.shape(value)) for value in op.inputs if draft.weight(value) is None), default=0)
        shape = draft.shape(op.outputs[0])
        lead = len(shape) - rank
        if not rank or lead <= 0 or set(shape[:lead]) != {1}:
            continue
        inputs = tuple(without_lead(draft, value, rank) for value in op.inputs)
        low = draft.new_value(shape[lead:], draft.values[op.outputs[0]].dtype)
        draft.replace(op.evolve(inputs=inputs, outputs=(low,)))
        made = Op(f"{op.id}.rank", "RESHAPE", (low,), op.outputs, {"target_shape": shape}, op.layer, op.origins)
        draft.add(made)
        count += 1
    return count


def without_lead(draft: Draft, value: int | None, rank: int) -> int | None:
    """The operand; a constant of more axes, of which those in front are ones, with that many."""
    weight = draft.weight(value)
    if weight is None or len(weight.shape) <= rank:
        return value
    shape = weight.shape[len(weight.shape) - rank :]
    return draft.constant(RESHAPE(weight, shape=shape, target_shape=shape))


def tile_broadcasts(draft: Draft) -> int:
    """``BROADCAST_TO(x)`` becomes ``TILE(RESHAPE(x))``, with ones in front of as many axes as it has."""
    count = 0
    for op in draft.of_type("BROADCAST_TO"):
        before, after = draft.shape(op.inputs[0]), draft.shape(op.outputs[0])
        same = (*(1 for _ in range(len(after) - len(before))), *before)
        if any(m not in (1, n) for m, n in zip(same, after, strict=True)):
            continue
        writer = Writer(draft, op)
        multiples = tuple(n if m == 1 else 1 for m, n in zip(same, after, strict=True))
        writer.finish(writer.add("TILE", (writer.reshaped(op.inputs[0], same),), after, multiples=multiples))
        count += 1
    return count


def squeeze_tiles(draft: Draft) -> int:
    """``TILE(x)`` becomes ``RESHAPE(TILE(RESHAPE(x)))``, without the axes of one place that it leaves so."""
    count = 0
    for op in draft.of_type("TILE"):
        before, after = draft.shape(op.inputs[0]), draft.shape(op.outputs[0])
        kept = [axis for axis, n in enumerate(after) if n != 1]
        if len(kept) == len(after):
            continue
        writer = Writer(draft, op)
        narrow = writer.reshaped(op.inputs[0], tuple(before[axis] for axis in kept))
        multiples = tuple(op.attributes["multiples"][axis] for axis in kept)
        writer.finish(writer.reshaped(writer.add("TILE", (narrow,), multiples=multiples), after))
        count += 1
    return count


def sink_broadcasts(draft: Draft) -> int:
    """``f(TILE(x), TILE(y)) = TILE(f(x, y))`` where TILE is what broadcasting does, and ``f`` takes single numbers."""
    count = 0
    for op_id in [op.id for op in draft.ordered()] if draft.has("TILE") else ():
        op, spec = draft.ops[op_id], ops.by_name(draft.ops[op_id].type)
        if spec is None or len(op.outputs) != 1:
            continue
        if not (spec.is_of_single_numbers or spec.is_elementwise or op.type == "CAST"):
            continue
        inputs = tuple(_before_broadcast(draft, value) for value in op.inputs)
        inside = np.broadcast_shapes(*(draft.shape(value) for value in inputs if value is not None))
        outside = draft.shape(op.outputs[0])
        if inputs == op.inputs or inside == outside or len(inside) != len(outside):
            continue
        middle = draft.new_value(inside, draft.values[op.outputs[0]].dtype)
        draft.replace(op.evolve(inputs=inputs, outputs=(middle,)))
        multiples = tuple(n if m == 1 else 1 for m, n in zip(inside, outside, strict=True))
        tile = Op(f"{op_id}.tile", "TILE", (middle,), op.outputs, {"multiples": multiples}, op.layer, op.origins)
        draft.add(tile)
        count += 1
    return count


def _before_broadcast(draft: Draft, value: int | None) -> int | None:
    """What a value is before a TILE that only repeats axes of size 1."""
    tile = draft.producer(value)
    if tile is None or tile.type != "TILE" or tile.id in draft.opaque:
        return value
    inside, outside = draft.shape(tile.inputs[0]), draft.shape(value)
    is_broadcast = len(inside) == len(outside) and all(a in (1, b) for a, b in zip(inside, outside, strict=True))
    return tile.inputs[0] if is_broadcast else value


def drop_broadcasts(draft: Draft) -> int:
    """``f(TILE(x), y)`` becomes ``f(x, y)`` where ``f`` itself would repeat ``x`` just so."""
    count = 0
    for found in elementwise(draft, "TILE", "BROADCAST_TO"):
        for slot in range(len(found.inputs)):
            op = draft.ops[found.id]
            before = draft.producer(op.inputs[slot])
            if before is None or before.type not in ("TILE", "BROADCAST_TO"):
                continue
            inside, outside = draft.shape(before.inputs[0]), draft.shape(before.outputs[0])
            shapes = [inside if i == slot else draft.shape(value) for i, value in enumerate(op.inputs)]
            if len(inside) != len(outside) or any(a not in (1, b) for a, b in zip(inside, outside, strict=True)):
                continue
            if np.broadcast_shapes(*shapes) == draft.shape(op.outputs[0]):
                inputs = tuple(before.inputs[0] if i == slot else value for i, value in enumerate(op.inputs))
                draft.replace(op.evolve(inputs=inputs))
                count += 1
    return count
