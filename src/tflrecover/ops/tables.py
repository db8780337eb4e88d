"""Tables that a network has learned and adds, or puts beside what it computes: ``Embedding`` at their places."""

from __future__ import annotations

from typing import Any

import numpy as np

from tflrecover.ops.spec import Builder, OpSpec, Part


def _keras(builder: Builder, part: Part) -> Any:
    """Places are counted for each example of what the table is beside, so that its batch stays free."""
    like, table = part.args
    *sizes, channels = part.output_shape[1:]
    count = int(np.prod(sizes))
    one = builder.sliced(like, (slice(None), *[slice(0, 1)] * len(sizes), 0))
    places = builder.ops("zeros_like", one, dtype="int32")
    if count > 1:
        places = builder.ops("add", places, np.arange(count, dtype=np.int32).reshape(sizes))
    rows = table.reshape(count, channels)
    return builder.layer("Embedding", places, input_dim=count, output_dim=channels, weights=(rows,))


LEARNED_TABLE = OpSpec("LEARNED_TABLE", keras=_keras, roles=("like", "table"), weights=frozenset({"table"}))

SPECS = (LEARNED_TABLE,)
