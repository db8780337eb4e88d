"""Written-out functions under the name that a Keras user knows, for what is shown.

A formula is read like code; ``X`` is the operand. Scalings are no nodes of the view, so they are in no formula.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from tflrecover.align.view import Edge, View

X = "x"

FUNCTIONS: tuple[tuple[str, Any], ...] = (
    ("silu", ("MUL", X, ("LOGISTIC", X))),
    ("mish", ("MUL", X, ("TANH", ("SOFTPLUS", X)))),
    ("tanh_shrink", ("SUB", X, ("TANH", X))),
    ("hard_silu", ("MUL", X, ("RELU6", X))),
)


def function_name(side: View, nodes: Sequence[int]) -> str | None:
    """The function that these nodes, in order, compute together; None when they are none that has a name."""
    return next((name for name, formula in FUNCTIONS if _is(side, nodes, formula)), None)


def _is(side: View, nodes: Collection[int], formula: Any) -> bool:
    seen: set[int] = set()
    bound: set[tuple[int, int]] = set()
    last = Edge(max(nodes), 0)
    return _matches(side, last, formula, seen, bound) and seen == set(nodes) and len(bound) == 1


def _matches(side: View, edge: Edge, formula: Any, seen: set[int], bound: set[tuple[int, int]]) -> bool:
    if formula == X:
        bound.add((edge.source, edge.slot))
        return len(bound) == 1
    node, (kind, *inner) = edge.source, formula
    if node < 0 or side.ops[node].type != kind or len(side.operands[node]) != len(inner):
        return False
    operands = side.operands[node]
    for order in (operands, operands[::-1]) if side.commutative[node] else (operands,):
        tried, found = {*seen, node}, set(bound)
        if all(_matches(side, e, f, tried, found) for e, f in zip(order, inner, strict=True)):
            seen |= tried
            bound |= found
            return True
    return False
