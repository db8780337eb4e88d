"""Tables that a network has learned and adds, or puts beside what it computes: ``Embedding`` at their places."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops.spec import Builder, OpSpec, Part
from tflrecover.weight import Array


def learned(builder: Builder, like: Any, table: Array, sizes: Shape, index: Array | None = None) -> Any:
    """A table of one row for each place of ``sizes``, as what is beside a tensor of as many axes.

    Places are counted for each example of that, so that its batch stays free. With an index, several have one row, and
    all examples one table, which is added.
    """
    count = math.prod(sizes) if index is None else len(table)
    one = builder.sliced(like, (slice(None) if index is None else slice(0, 1), *[slice(0, 1)] * len(sizes), 0))
    places = builder.ops("zeros_like", one, dtype="int32")
    if count > 1:
        index = np.arange(count, dtype=np.int32).reshape(sizes) if index is None else index
        places = builder.ops("add", places, index)
    rows = table.reshape(count, -1)
    return builder.layer("Embedding", places, input_dim=count, output_dim=rows.shape[1], weights=(rows,))


def _keras(builder: Builder, part: Part) -> Any:
    like, table, *index = part.args
    return learned(builder, like, table, part.output_shape[1:-1], *index)


LEARNED_TABLE = OpSpec("LEARNED_TABLE", keras=_keras, roles=("like", "table", "index"), weights=frozenset({"table"}))

SPECS = (LEARNED_TABLE,)
