"""Two recurrent layers on one sequence, one of them from its end, become ``Bidirectional``."""

from __future__ import annotations

from tflrecover.ir import Op
from tflrecover.recovery.sequences import from_the_end
from tflrecover.rewrite.draft import Draft, merged_origins
from tflrecover.rewrite.scalars import scalar

# Operator to Keras's merge mode.
_MODES: dict[str | int, str] = {"CONCATENATION": "concat", "ADD": "sum", "MUL": "mul"}
_OPERANDS = 5


def fuse_bidirectional(draft: Draft) -> int:
    """``CONCATENATION(RECURRENT(x), REVERSE(RECURRENT from the end(x))) = BIDIRECTIONAL(x)``; so for other merges."""
    count = 0
    for op in draft.of_type(*_MODES):
        orders = (op.inputs, op.inputs[::-1]) if op.type != "CONCATENATION" else (op.inputs,)
        found = next((pair for order in orders if (pair := _directions(draft, op, order)) is not None), None)
        if found is None:
            continue
        forward, backward = found
        last, mode = _averaged(draft, op)
        inputs = (forward.inputs[0], forward.inputs[4], *forward.inputs[1:4], *backward.inputs[1:4])
        # Keras decides by itself what is put out where a mask leaves an item out.
        attributes = {**forward.attributes, "zero_output_for_mask": False, "merge_mode": mode}
        made = last.evolve(type="BIDIRECTIONAL", inputs=inputs, attributes=attributes)
        draft.replace(made.evolve(origins=merged_origins(last, forward, backward)))
        count += 1
    return count


def _directions(draft: Draft, op: Op, order: tuple[int | None, ...]) -> tuple[Op, Op] | None:
    """Both layers, where nothing else takes what they give."""
    if len(order) != 2 or order[0] is None or order[1] is None:
        return None
    forward, value = draft.producer(order[0]), order[1]
    if forward is None or forward.type != "RECURRENT":
        return None
    is_sequence = forward.attributes["return_sequences"]
    if op.type == "CONCATENATION" and op.attributes["axis"] % (3 if is_sequence else 2) != (2 if is_sequence else 1):
        return None
    turned = from_the_end(draft, value, axis=1) if is_sequence else value
    backward = draft.producer(turned)
    if turned is None or backward is None or backward.type != "RECURRENT":
        return None
    chain = (order[0], value, turned)
    is_alone = all(draft.only_consumer(one) is not None for one in chain)
    is_plain = all(len(one.outputs) == 1 and len(one.inputs) == _OPERANDS for one in (forward, backward))
    same_input = (forward.inputs[0], forward.inputs[4]) == (backward.inputs[0], backward.inputs[4])
    is_keras = forward.inputs[4] is None or forward.attributes["zero_output_for_mask"] == is_sequence
    is_pair = forward.attributes == {**backward.attributes, "go_backwards": False}
    same_bias = (forward.inputs[3] is None) == (backward.inputs[3] is None)
    is_found = (
        is_alone
        and is_plain
        and is_keras
        and same_input
        and is_pair
        and same_bias
        and backward.attributes["go_backwards"]
    )
    return (forward, backward) if is_found else None


def _averaged(draft: Draft, op: Op) -> tuple[Op, str]:
    """The last operator of the merge, and its mode: half a sum is an average."""
    behind = draft.only_consumer(op.outputs[0]) if op.type == "ADD" else None
    if behind is None or behind.type != "AFFINE":
        return op, _MODES[op.type]
    is_half = scalar(draft, behind.inputs[1], 1.0) == 0.5 and scalar(draft, behind.inputs[2], 0.0) == 0.0
    return (behind, "ave") if is_half else (op, _MODES[op.type])
