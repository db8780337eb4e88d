"""``DIV(x, SQRT(y)) = MUL(x, RSQRT(y))`` and ``DIV(1, SQRT(y)) = RSQRT(y)``, as converters have it; and back."""

from __future__ import annotations

from tflrecover.rewrite.draft import Draft, merged_origins
from tflrecover.rewrite.scalars import scalar


def divide_by_root(draft: Draft) -> int:
    """A division by a square root becomes a product with the inverse of the root."""
    count = 0
    for op in draft.of_type("DIV"):
        x, root = op.inputs[0], draft.producer(op.inputs[1])
        if root is None or root.type != "SQRT":
            continue
        weight = draft.weight(x)
        origins = merged_origins(root, op)
        if (
            weight is not None
            and scalar(draft, x, neutral=0.0) == 1
            and draft.shape(op.outputs[0]) == draft.shape(root.inputs[0])
        ):
            draft.mark_structural(weight)
            draft.replace(op.evolve(type="RSQRT", inputs=root.inputs, origins=origins))
        else:
            inverse = draft.new_value(draft.shape(root.outputs[0]), draft.values[root.outputs[0]].dtype)
            draft.add(root.evolve(id=f"{op.id}.root", type="RSQRT", outputs=(inverse,)))
            draft.replace(op.evolve(type="MUL", inputs=(x, inverse), origins=origins))
        count += 1
    return count


def divide_by_roots(draft: Draft) -> int:
    """``MUL(x, RSQRT(y)) = DIV(x, SQRT(y))``: a root, or a quotient, that one side lacks leaves the other there."""
    count = 0
    for op in draft.of_type("MUL"):
        made = [draft.producer(value) for value in op.inputs]
        slot = next((i for i, root in enumerate(made) if root is not None and root.type == "RSQRT"), None)
        root = None if slot is None else made[slot]
        if slot is None or root is None or draft.weight(op.inputs[1 - slot]) is not None:
            continue
        whole = draft.new_value(draft.shape(root.outputs[0]), draft.values[root.outputs[0]].dtype)
        draft.add(root.evolve(id=f"{op.id}.root", type="SQRT", outputs=(whole,)))
        draft.replace(op.evolve(type="DIV", inputs=(op.inputs[1 - slot], whole)))
        count += 1
    return count
