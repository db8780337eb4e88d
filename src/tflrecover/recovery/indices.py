"""``GATHER(table, SELECT(x < 0, x + n, x)) = GATHER(table, x)``: Keras counts negative indices from the end."""

from __future__ import annotations

from tflrecover.recovery.match import array, maker, offset
from tflrecover.rewrite.draft import Draft


def drop_wraps(draft: Draft) -> int:
    """Indices that are counted from the end where they are negative, go as they are."""
    count = 0
    for op in draft.of_type("GATHER"):
        if op.attributes["batch_dims"]:
            continue
        x = _unwrapped(draft, op.inputs[1], draft.shape(op.inputs[0])[op.attributes["axis"]])
        if x is not None:
            draft.replace(op.evolve(inputs=(op.inputs[0], x)))
            count += 1
    return count


def _unwrapped(draft: Draft, value: int | None, size: int) -> int | None:
    """``x`` of ``SELECT(x < 0, x + size, x)``."""
    select = maker(draft, value, "SELECT_V2")
    less = None if select is None else maker(draft, select.inputs[0], "LESS")
    if select is None or less is None:
        return None
    x, zero = less.inputs[0], array(draft, less.inputs[1])
    behind, shift = offset(draft, select.inputs[1])
    is_so = zero is not None and not zero.any() and shift is not None and bool((shift == size).all())
    return x if is_so and behind == x == select.inputs[2] else None
