"""``FULLY_CONNECTED(x) = FULLY_CONNECTED(RESHAPE(x))`` where the operator itself makes rows of what it takes.

Without ``keep_num_dims`` a dense layer of a file flattens its operand to rows as long as its kernel is high; a Flatten
before it therefore has no operator of its own.

``FULLY_CONNECTED(c) = RESHAPE(FULLY_CONNECTED(rows of c))`` of a constant: it has any axes without an operator.
"""

from __future__ import annotations

import math
from dataclasses import replace

from tflrecover.ir import Op
from tflrecover.ops.shape import RESHAPE
from tflrecover.rewrite.draft import Draft


def flatten_dense(draft: Draft) -> int:
    """The reshape that a dense layer does silently becomes an operator before it."""
    count = 0
    for op in draft.of_type("FULLY_CONNECTED"):
        x, kernel = op.inputs[0], draft.weight(op.inputs[1])
        if x is None or kernel is None:
            continue
        rows = (*draft.shape(op.outputs[0])[:-1], kernel.shape[0])
        if draft.shape(x) in (rows, ()):
            continue
        if math.prod(draft.shape(x)) != math.prod(rows):
            # Ones stand for sizes that the file leaves to the data; the kernel knows the last.
            draft.values[x] = replace(draft.values[x], shape=rows)
            continue
        flat = draft.new_value(rows, draft.values[x].dtype, draft.values[x].name)
        reshape = Op(f"{op.id}.flatten", "RESHAPE", (x,), (flat,), {"target_shape": rows}, op.layer, op.origins)
        draft.add(reshape)
        draft.replace(op.evolve(inputs=(flat, *op.inputs[1:])))
        count += 1
    return count


def flatten_tables(draft: Draft) -> int:
    """A dense layer of a learned table, which no input reaches, works on rows."""
    count = 0
    for op in draft.of_type("FULLY_CONNECTED"):
        table, shape = draft.weight(op.inputs[0]), draft.shape(op.outputs[0])
        if table is None or len(shape) <= 2:
            continue
        rows = (math.prod(table.shape[:-1]), table.shape[-1])
        flat = draft.constant(RESHAPE(table, shape=rows, target_shape=rows))
        made = draft.new_value((rows[0], shape[-1]), draft.values[op.outputs[0]].dtype)
        draft.replace(op.evolve(inputs=(flat, *op.inputs[1:]), outputs=(made,)))
        attributes = {"target_shape": shape}
        draft.add(Op(f"{op.id}.table", "RESHAPE", (made,), op.outputs, attributes, op.layer, op.origins))
        count += 1
    return count
