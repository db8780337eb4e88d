"""Places of the largest and of the smallest number, without what ``keras.ops`` puts around them.

``ARG_MAX(SELECT_V2(x is -0.0, -tiny, x)) = ARG_MAX(x)``: it tells a zero with a sign from one without, so the place is
another only where nothing exceeds two zeros of different signs.

``CAST(ARG_MAX(x)) = ARG_MAX(x)`` for integers: it always gives 32 bits, and no place needs more.
"""

from __future__ import annotations

import numpy as np

from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.scalars import scalar

_PLACES = ("ARG_MAX", "ARG_MIN")
_TINY = -float(np.finfo(np.float32).tiny)
_INTEGERS = ("int32", "int64")


def plain_positions(draft: Draft) -> int:
    """``ARG_MAX`` and ``ARG_MIN`` of the numbers as they are, in whatever integers."""
    count = unsigned_zeros(draft)
    for op in draft.of_type("CAST"):
        made = draft.producer(op.inputs[0])
        if made is not None and made.type in _PLACES and op.attributes["dtype"] in _INTEGERS:
            draft.remove(op.id)
            draft.redirect(op.outputs[0], made.outputs[0])
            count += 1
    return count


def unsigned_zeros(draft: Draft) -> int:
    """``ARG_MAX`` and ``ARG_MIN`` of the numbers as they are."""
    count = 0
    for op in draft.of_type(*_PLACES):
        chosen = draft.producer(op.inputs[0])
        if chosen is not None and chosen.type == "SELECT_V2" and scalar(draft, chosen.inputs[1], 1.0) == _TINY:
            draft.replace(op.evolve(inputs=(chosen.inputs[2],)))
            count += 1
    return count
