"""What is done to each step alike is done to all at once, as a layer of Keras's own does that ``TimeDistributed`` has.

PACK(f(a), f(b), …) = f(PACK(a, b, …))                       where f works on rows, or number by number
PACK(x[0], x[1], …) = x
"""

from __future__ import annotations

from collections.abc import Hashable

from tflrecover import ops
from tflrecover.ir import Op
from tflrecover.ops.slicing import WHOLE
from tflrecover.rewrite.common import freeze, signature
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.writer import Writer


def join_steps(draft: Draft) -> int:
    """Brings PACK before what makes its operands, up to where they are the places of one value, in order."""
    count = 0
    while any(_joined(draft, op) for op in draft.of_type("PACK")):
        count += 1
    return count


def _joined(draft: Draft, op: Op) -> bool:
    made = [draft.producer(value) for value in op.inputs]
    steps = [one for one in made if one is not None and draft.only_consumer(one.outputs[0]) is not None]
    axis, shape = op.attributes["axis"], draft.shape(op.outputs[0])
    if len(steps) != len(made) or not 0 <= axis < len(shape) - 1:
        return False
    first = steps[0]
    write = Writer(draft, op)
    places = [{**one.attributes, "slices": (*[WHOLE] * axis, i)} for i, one in enumerate(steps)]
    if all((one.type, one.attributes) == ("STRIDED_SLICE", place) for one, place in zip(steps, places, strict=True)):
        if len({one.inputs[0] for one in steps}) == 1 and draft.shape(first.inputs[0]) == shape:
            write.finish(first.inputs[0])
            return True
        return False
    if not _is_by_row(draft, first) or len({_key(draft, one) for one in steps}) != 1:
        return False
    slot = next(i for i, value in enumerate(first.inputs) if draft.weight(value) is None)
    taken = tuple(one.inputs[slot] for one in steps)
    own = draft.shape(taken[0])
    packed = write.add("PACK", taken, (*own[:axis], len(taken), *own[axis:]), axis=axis)
    inputs = (*first.inputs[:slot], packed, *first.inputs[slot + 1 :])
    write.finish(write.add(str(first.type), inputs, shape, **first.attributes))
    for one in steps:
        draft.remove(one.id)
    return True


def _key(draft: Draft, op: Op) -> Hashable:
    """What is computed, whatever of."""
    weights = ((value, draft.weight(value)) for value in op.inputs)
    constants = (None if value is None else weight and signature(weight, draft) for value, weight in weights)
    return op.type, freeze(op.attributes), tuple(constants)


def _is_by_row(draft: Draft, op: Op) -> bool:
    """Whether an operator does the same to each row, or to each number, of the one operand that is no constant."""
    spec = ops.by_name(op.type)
    weights = [draft.weight(value) for value in op.inputs if value is not None]
    if spec is None or len(op.outputs) != 1 or weights.count(None) != 1 or not draft.shape(op.outputs[0]):
        return False
    is_by_number = spec.is_elementwise or spec.family == "activation"
    is_along = all(weight is None or len(weight.shape) < 2 for weight in weights)
    return op.type == "FULLY_CONNECTED" or (is_by_number and is_along)
