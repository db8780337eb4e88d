"""``CONCATENATION(x, 0) = PAD(x)``: the two ways to give a skip connection more channels."""

from __future__ import annotations

from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.scalars import is_zeros


def zeros_to_pad(draft: Draft) -> int:
    """A concatenation of one value with constant zeros, before or after it, becomes a PAD."""
    count = 0
    for op in draft.of_type("CONCATENATION"):
        weights = [draft.weight(value) for value in op.inputs]
        activations = [slot for slot, weight in enumerate(weights) if weight is None]
        zeros = [weight for weight in weights if weight is not None]
        if len(activations) != 1 or not zeros or not all(is_zeros(draft, weight) for weight in zeros):
            continue
        place, axis = activations[0], op.attributes["axis"]
        before = sum(weight.shape[axis] for weight in weights[:place] if weight is not None)
        after = sum(weight.shape[axis] for weight in weights[place + 1 :] if weight is not None)
        rank = len(draft.shape(op.inputs[place]))
        padding = tuple((before, after) if i == axis else (0, 0) for i in range(rank))
        for weight in zeros:
            draft.mark_structural(weight)
        attributes = {"padding": padding, "value": 0.0}
        draft.replace(op.evolve(type="PAD", inputs=(op.inputs[place],), attributes=attributes))
        count += 1
    return count
