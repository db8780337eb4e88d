"""``MUL(x, w) = FULLY_CONNECTED(x, w)`` where ``x`` has one number per row and ``w`` one per column.

Of fixed sizes a converter writes a dense layer of one input as the product that broadcasting makes of it; of free ones
it does not.
"""

from __future__ import annotations

from tflrecover.ops.conv import no_bias
from tflrecover.ops.shape import shaped
from tflrecover.rewrite.common import lone_constant
from tflrecover.rewrite.draft import Draft


def join_outer_products(draft: Draft) -> int:
    """A product with a constant that makes many channels of one becomes the dense layer that it is."""
    count = 0
    for op in draft.of_type("MUL"):
        slot, weight = lone_constant(draft, op) or (0, None)
        if weight is None:
            continue
        x, result = op.inputs[1 - slot], draft.shape(op.outputs[0])
        rows, units = draft.shape(x), weight.shape[-1:]
        is_one_number_per_row = rows[-1:] == (1,) and rows[:-1] + units == result
        if not is_one_number_per_row or units == (1,) or any(n != 1 for n in weight.shape[:-1]):
            continue
        weights = shaped(weight, (1, *units)), no_bias(*units)
        inputs = (x, *map(draft.constant, weights))
        draft.replace(op.evolve(type="FULLY_CONNECTED", inputs=inputs, attributes={"units": units[0]}))
        count += 1
    return count
