"""What became of every constant of the file."""

from __future__ import annotations

from collections.abc import Collection

from tflrecover.ir import ConstantState, ConstantUse, Graph
from tflrecover.weight import Key


def constant_uses(
    source: Graph,
    consumed: Collection[Key],
    structural: Collection[Key],
    ignored: Collection[Key],
    read: Collection[Key],
) -> tuple[ConstantUse, ...]:
    """The state of every constant tensor of the file's main graph.

    Args:
        source: The graph as read.
        consumed: Keys that solved equations took.
        structural: Keys that were read as shapes, paddings or axes.
        ignored: Keys that the mapping leaves out.
        read: Keys that the canonical graph still refers to.
    """
    uses = []
    taken = {value for op in source.ops() for value in op.inputs if value is not None}
    for key, value in source.values.items():
        if value.data is None or key not in taken:
            continue
        state: ConstantState
        if key in consumed:
            state = "consumed"
        elif key in ignored:
            state = "ignored"
        elif key in structural or key not in read:
            state = "structural"
        else:
            state = "unexplained"
        uses.append(ConstantUse(key, value.name, state))
    return tuple(uses)


def leaf_keys(graph: Graph) -> frozenset[Key]:
    """Keys of all leaves that a canonical graph's constants refer to."""
    found: set[Key] = set()
    for value in graph.values.values():
        if value.weight is not None:
            found.update(leaf.key for leaf in value.weight.leaves)
    return frozenset(found)
