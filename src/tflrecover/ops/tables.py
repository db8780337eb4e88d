"""Tables that a network has learned and adds, or puts beside what it computes: ``Embedding`` at their places."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops.spec import Builder, OpSpec, Part
from tflrecover.weight import Array


def learned(builder: Builder, like: Any, table: Array, sizes: Shape) -> Any:
    """A table of one row for each place of ``sizes``, as what is beside a tensor of as many axes.

    Places are counted for each example of that, so that its batch stays free.
    """
    count = math.prod(sizes)
    one = builder.sliced(like, (slice(None), *[slice(0, 1)] * len(sizes), 0))
    places = builder.ops("zeros_like", one, dtype="int32")
    if count > 1:
        places = builder.ops("add", places, np.arange(count, dtype=np.int32).reshape(sizes))
    rows = table.reshape(count, -1)
    return builder.layer("Embedding", places, input_dim=count, output_dim=rows.shape[1], weights=(rows,))


def _keras(builder: Builder, part: Part) -> Any:
    like, table = part.args
    return learned(builder, like, table, part.output_shape[1:-1])


LEARNED_TABLE = OpSpec("LEARNED_TABLE", keras=_keras, roles=("like", "table"), weights=frozenset({"table"}))

SPECS = (LEARNED_TABLE,)
