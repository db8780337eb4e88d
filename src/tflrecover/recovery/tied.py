"""Tied embeddings: a table that a network looks places up in is, turned, the kernel of a dense layer of its.

GATHER(t, i), FULLY_CONNECTED(x, tᵀ, b)     become one layer that is called both ways, and what is added behind it
"""

from __future__ import annotations

from collections.abc import Hashable

from tflrecover.ir import Op
from tflrecover.recovery.shared import are_telling, digest
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.match import array


def tie_embeddings(draft: Draft) -> int:
    """Marks look-ups and the dense layers that have the same table."""
    lookups: dict[Hashable, list[Op]] = {}
    for op in draft.of_type("GATHER"):
        table = array(draft, op.inputs[0])
        if table is not None and table.ndim == 2 and op.attributes["axis"] == op.attributes["batch_dims"] == 0:
            lookups.setdefault(digest(table), []).append(op)
    sizes = {draft.shape(op.inputs[0]) for ops in lookups.values() for op in ops}
    count = 0
    for op in draft.of_type("FULLY_CONNECTED"):
        if draft.shape(op.inputs[1])[::-1] not in sizes:
            continue
        kernel = array(draft, op.inputs[1])
        found = [] if kernel is None else lookups.get(digest(kernel.T), [])
        if kernel is not None and found and are_telling([kernel]):
            draft.replace(op.evolve(attributes={**op.attributes, "tied": True}))
            for lookup in found:
                draft.replace(lookup.evolve(attributes={**lookup.attributes, "tied": True}))
            count += 1
    return count
