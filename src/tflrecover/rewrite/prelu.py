"""``RELU(x) + w * RELU(-x) = PRELU(x, alpha=-w)``, the way Keras computes its PReLU; PyTorch's subtracts ``w``.

Of an ``x`` that is never negative the converter leaves out the first RELU.
"""

from __future__ import annotations

from tflrecover.ir import Op, Shape
from tflrecover.ops.elementwise import NEG
from tflrecover.ops.shape import shaped
from tflrecover.rewrite.common import lone_constant
from tflrecover.rewrite.draft import Draft, merged_origins
from tflrecover.rewrite.padding import NEVER_NEGATIVE
from tflrecover.rewrite.scalars import scalar
from tflrecover.weight import Apply, Weight


def fuse_prelu(draft: Draft) -> int:
    """``ADD(RELU(x), MUL(w, RELU(NEG(x))))`` becomes ``PRELU(x, -w)``, and ``SUB(…)`` ``PRELU(x, w)``."""
    count = 0
    for op in draft.of_type("ADD", "SUB"):
        for positive, negative in (op.inputs[:2], op.inputs[1::-1])[: 2 if op.type == "ADD" else 1]:
            found = _match(draft, positive, negative)
            if found is None:
                continue
            x, weight, parts = found
            alpha = draft.constant(_per_example(_negated(weight) if op.type == "ADD" else weight, draft.shape(x)))
            draft.replace(op.evolve(type="PRELU", inputs=(x, alpha), attributes={}, origins=merged_origins(op, *parts)))
            count += 1
            break
    return count


def _match(draft: Draft, positive: int | None, negative: int | None) -> tuple[int, Weight, tuple[Op, ...]] | None:
    relu, scaled = draft.producer(positive), draft.producer(negative)
    if relu is None or scaled is None or relu.type not in NEVER_NEGATIVE or scaled.type != "MUL":
        return None
    found = lone_constant(draft, scaled)
    if found is None:
        return None
    slot, weight = found
    parts: tuple[Op, ...]
    other, parts = draft.producer(scaled.inputs[1 - slot]), (scaled,)
    if other is not None and (taken := _negative_of(draft, other)) is not None:
        # ``w * -RELU(-x)``, as in MTCNN.
        weight, parts, other = _negated(weight), (scaled, other), draft.producer(taken)
    negated = draft.producer(other.inputs[0]) if other is not None and other.type == "RELU" else None
    if other is None or negated is None:
        return None
    x = _negative_of(draft, negated)
    if x is None:
        return None
    if x == positive:
        return x, weight, (*parts, other, negated)
    return (x, weight, (relu, *parts, other, negated)) if relu.type == "RELU" and relu.inputs[0] == x else None


def _negative_of(draft: Draft, op: Op) -> int | None:
    """What an operator negates; None where it does not."""
    if op.type == "NEG":
        return op.inputs[0]
    found = lone_constant(draft, op) if op.type == "MUL" else None
    if found is None or scalar(draft, op.inputs[found[0]], 1.0) != -1:
        return None
    return op.inputs[1 - found[0]]


def _per_example(weight: Weight, shape: Shape) -> Weight:
    """With an axis for each of an example, and none for the batch: so the layer has it."""
    rank, axes = len(shape) - 1, weight.shape
    if len(axes) > rank:
        return shaped(weight, axes[1:]) if axes[0] == 1 else weight
    return shaped(weight, (1,) * (rank - len(axes)) + axes) if len(axes) < rank else weight


def _negated(weight: Weight) -> Weight:
    if isinstance(weight, Apply) and weight.function is NEG:
        return weight.args[0]
    return NEG(weight)
