"""``RESHAPE(RESHAPE(x, a), b) = RESHAPE(x, b)``, ``RESHAPE(x, shape of x) = x``, and what else is only a reshape."""

from __future__ import annotations

import numpy as np

from tflrecover import ops
from tflrecover.ir import Op
from tflrecover.rewrite.draft import Draft, merged_origins


def merge_reshapes(draft: Draft) -> int:
    """``RESHAPE(RESHAPE(x, a), b)`` becomes ``RESHAPE(x, b)``; a reshape that changes nothing goes."""
    count = 0
    for op_id in [op.id for op in draft.ordered() if op.type == "RESHAPE"]:
        op = draft.ops[op_id]
        before = draft.producer(op.inputs[0])
        if before is not None and before.type == "RESHAPE":
            # The first reshape stays when somebody else takes its result too; pruning removes it otherwise.
            op = op.evolve(inputs=before.inputs, origins=merged_origins(op, before))
            draft.replace(op)
            count += 1
        value = op.inputs[0]
        if value is not None and draft.shape(value) == draft.shape(op.outputs[0]) != ():
            draft.remove(op.id)
            draft.redirect(op.outputs[0], value)
            count += 1
    return count


def merge_transposes(draft: Draft) -> int:
    """``TRANSPOSE(TRANSPOSE(x, p), q)`` becomes ``TRANSPOSE(x, p[q])``; one that moves no axis goes.

    A REVERSE_V2 before it comes behind it.
    """
    count = 0
    for op in draft.of_type("TRANSPOSE"):
        before = draft.producer(op.inputs[0])
        if before is not None and before.type == "TRANSPOSE" and before.id not in draft.opaque:
            perm = tuple(before.attributes["perm"][axis] for axis in op.attributes["perm"])
            origins = merged_origins(op, before)
            op = op.evolve(inputs=before.inputs, attributes={"perm": perm}, origins=origins)
            draft.replace(op)
            count += 1
        elif before is not None and before.type == "REVERSE_V2" and draft.only_consumer(before.outputs[0]) is not None:
            _swap_with_reverse(draft, op, before)
            count += 1
            continue
        value = op.inputs[0]
        if value is not None and op.attributes["perm"] == tuple(range(len(op.attributes["perm"]))):
            draft.remove(op.id)
            draft.redirect(op.outputs[0], value)
            count += 1
    return count


def _swap_with_reverse(draft: Draft, op: Op, before: Op) -> None:
    """``TRANSPOSE(REVERSE_V2(x))`` becomes ``REVERSE_V2(TRANSPOSE(x))``."""
    axes = tuple(sorted(op.attributes["perm"].index(axis) for axis in before.attributes["axis"]))
    middle = draft.new_value(draft.shape(op.outputs[0]), draft.values[op.outputs[0]].dtype)
    draft.remove(before.id)
    draft.replace(op.evolve(inputs=before.inputs, outputs=(middle,)))
    draft.add(before.evolve(inputs=(middle,), outputs=op.outputs, attributes={"axis": axes}))


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


def drop_broadcast_reshapes(draft: Draft) -> int:
    """``x + RESHAPE(y)`` becomes ``x + y`` when the reshape only leaves out leading ones, which broadcasting puts back.

    Keras adds that way when the batch is one.
    """
    count = 0
    for op in list(draft.ops.values()):
        spec = ops.by_name(op.type)
        if spec is None or spec.family != "merge" or spec.declared or len(op.inputs) != 2:
            continue
        for slot in (0, 1):
            before = draft.producer(draft.ops[op.id].inputs[slot])
            if before is None or before.type != "RESHAPE":
                continue
            inside, outside = draft.shape(before.inputs[0]), draft.shape(before.outputs[0])
            lead = len(inside) - len(outside)
            if lead <= 0 or inside[lead:] != outside or set(inside[:lead]) != {1}:
                continue
            other = draft.shape(op.inputs[1 - slot])
            if np.broadcast_shapes(inside, other) != draft.shape(op.outputs[0]):
                continue
            current = draft.ops[op.id]
            inputs = tuple(before.inputs[0] if i == slot else value for i, value in enumerate(current.inputs))
            draft.replace(current.evolve(inputs=inputs))
            count += 1
    return count


def drop_broadcasts(draft: Draft) -> int:
    """``f(TILE(x), y)`` becomes ``f(x, y)`` where ``f`` itself would repeat ``x`` just so."""
    count = 0
    for op_id in list(draft.ops):
        op = draft.ops[op_id]
        spec = ops.by_name(op.type)
        if op_id in draft.opaque or spec is None or not (spec.family == "merge" or op.type == "SELECT_V2"):
            continue
        for slot in range(len(op.inputs)):
            op = draft.ops[op_id]
            before = draft.producer(op.inputs[slot])
            if before is None or before.type not in ("TILE", "BROADCAST_TO") or op.type == "CONCATENATION":
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
