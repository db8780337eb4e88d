"""``SOFTMAX(x, beta) = SOFTMAX(beta · x, 1)``: the factor that old files keep in the operator's options."""

from __future__ import annotations

import numpy as np

from tflrecover.ir import Op
from tflrecover.rewrite.draft import Draft
from tflrecover.weight import Literal


def split_softmax(draft: Draft) -> int:
    """The factor of a softmax becomes an operator before it."""
    count = 0
    for op in draft.of_type("SOFTMAX"):
        beta, x = op.attributes.get("beta"), op.inputs[0]
        if x is None or not isinstance(beta, float) or beta == 1:
            continue
        scaled = draft.new_value(draft.shape(x), draft.values[x].dtype, draft.values[x].name)
        factor = draft.constant(Literal.of(np.float32(beta)))
        draft.add(Op(f"{op.id}.beta", "AFFINE", (x, factor, None), (scaled,), {}, op.layer, op.origins))
        draft.replace(op.evolve(inputs=(scaled,), attributes={**op.attributes, "beta": 1.0}))
        count += 1
    return count
