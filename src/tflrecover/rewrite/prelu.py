"""``RELU(x) + w * RELU(-x) = PRELU(x, alpha=-w)``, the way Keras computes its PReLU.

Of an ``x`` that is never negative the converter leaves out the first RELU.
"""

from __future__ import annotations

from tflrecover.ir import Op
from tflrecover.ops.elementwise import NEG
from tflrecover.rewrite.common import lone_constant
from tflrecover.rewrite.draft import Draft, merged_origins
from tflrecover.weight import Apply, Weight

_NEVER_NEGATIVE = ("RELU", "RELU6")


def fuse_prelu(draft: Draft) -> int:
    """``ADD(RELU(x), MUL(w, RELU(NEG(x))))`` becomes ``PRELU(x, -w)``."""
    count = 0
    for op in draft.of_type("ADD"):
        for positive, negative in (op.inputs[:2], op.inputs[1::-1]):
            found = _match(draft, positive, negative)
            if found is None:
                continue
            x, weight, parts = found
            alpha = draft.constant(_negated(weight))
            draft.replace(op.evolve(type="PRELU", inputs=(x, alpha), attributes={}, origins=merged_origins(op, *parts)))
            count += 1
            break
    return count


def _match(draft: Draft, positive: int | None, negative: int | None) -> tuple[int, Weight, tuple[Op, ...]] | None:
    relu, scaled = draft.producer(positive), draft.producer(negative)
    if relu is None or scaled is None or relu.type not in _NEVER_NEGATIVE or scaled.type != "MUL":
        return None
    found = lone_constant(draft, scaled)
    if found is None:
        return None
    slot, weight = found
    other = draft.producer(scaled.inputs[1 - slot])
    negated = draft.producer(other.inputs[0]) if other is not None and other.type == "RELU" else None
    if other is None or negated is None or negated.type != "NEG":
        return None
    x = negated.inputs[0]
    if x is None:
        return None
    if x == positive:
        return x, weight, (scaled, other, negated)
    return (x, weight, (relu, scaled, other, negated)) if relu.type == "RELU" and relu.inputs[0] == x else None


def _negated(weight: Weight) -> Weight:
    if isinstance(weight, Apply) and weight.function is NEG:
        return weight.args[0]
    return NEG(weight)
