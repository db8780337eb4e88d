"""``IDENTITY(x) = x``."""

from __future__ import annotations

from tflrecover.rewrite.draft import Draft


def drop_identity(draft: Draft) -> int:
    """``IDENTITY(x)`` becomes ``x``."""
    found = list(draft.of_type("IDENTITY"))
    for op in found:
        value = draft.ops[op.id].inputs[0]
        draft.remove(op.id)
        if value is not None:
            draft.redirect(op.outputs[0], value)
    return len(found)
