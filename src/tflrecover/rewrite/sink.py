"""``f(RESHAPE(x)) = RESHAPE(f(x))`` for every ``f`` that works element by element, or along a last axis that stays."""

from __future__ import annotations

from tflrecover import ops
from tflrecover.ir import Op
from tflrecover.rewrite.draft import Draft

# Along the last axis, not element by element.
_ALONG_AXIS = ("SOFTMAX", "LOG_SOFTMAX", "PRELU")


def sink_reshapes(draft: Draft) -> int:
    """A RESHAPE moves behind activations, scalings and dense layers, so that these meet what made their operand.

    For others that take it, it stays where it was too: what they are differs between the sides.
    """
    count = 0
    for op_id in [op.id for op in draft.ordered()]:
        while _sink(draft, draft.ops[op_id]):
            count += 1
    return count


def _sink(draft: Draft, op: Op) -> bool:
    """Moves the RESHAPE before an operator behind it."""
    before = draft.producer(op.inputs[0] if op.inputs else None)
    if before is None or before.type != "RESHAPE":
        return False
    inside, outside = draft.shape(before.inputs[0]), draft.shape(op.outputs[0])
    if not _may_pass(draft, op, inside, draft.shape(op.inputs[0])) or not inside:
        return False
    if op.type == "FULLY_CONNECTED":
        inside = (*inside[:-1], outside[-1])
    middle = draft.new_value(inside, draft.values[op.outputs[0]].dtype, draft.values[before.outputs[0]].name)
    draft.replace(op.evolve(inputs=(before.inputs[0], *op.inputs[1:]), outputs=(middle,)))
    attributes = {**before.attributes, "target_shape": outside}
    made = f"{before.id} behind {op.id}"
    draft.add(before.evolve(id=made, inputs=(middle,), outputs=op.outputs, attributes=attributes))
    return True


def _may_pass(draft: Draft, op: Op, inside: tuple[int, ...], outside: tuple[int, ...]) -> bool:
    spec = ops.by_name(op.type)
    if spec is None or len(op.outputs) != 1:
        return False
    if op.type == "AFFINE":
        constants = [weight for value in op.inputs[1:] if (weight := draft.weight(value)) is not None]
        is_scalar = all(all(n == 1 for n in weight.shape) for weight in constants)
        return is_scalar or bool(inside and outside and inside[-1] == outside[-1])
    if op.type == "FULLY_CONNECTED":
        return bool(inside and outside and inside[-1] == outside[-1])
    return spec.family in ("activation", "unary") and op.type not in _ALONG_AXIS
