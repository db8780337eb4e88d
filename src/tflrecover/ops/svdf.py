"""A layer whose kernel is a sum of products of a filter of features and one of time (``svdf.cc``).

    memory' = memory without its oldest step, and x·feature behind it        y = activation(Σ (memory' · time) + bias)

Each call is one step; the memory is a variable of the file, zero before the first call.
"""

from __future__ import annotations

import numpy as np

from tflrecover.ops.readers import activated
from tflrecover.ops.spec import OpSpec, Source, Writer


def _svdf(source: Source, write: Writer) -> tuple[int, ...]:
    x, feature, time, bias, memory = source.inputs[:5]
    if x is None or feature is None or time is None:
        raise ValueError("an operand of SVDF is left out")
    batch, (filters, steps), rank = source.shape(0)[0], source.shape(2), int(source.attributes["rank"])
    variable = f"tensor {memory}"
    state = write("STATE", write.constant(np.zeros((batch, filters, steps), np.float32)), variable=variable)[0]
    newest = _reshaped(write, write("FULLY_CONNECTED", x, feature, None)[0], batch, filters, 1)
    joined = newest
    if steps > 1:
        places = (np.array(numbers, np.int32) for numbers in ([0, 0, 1], [batch, filters, steps - 1]))
        kept = write("SLICE", state, *(write.constant(place) for place in places))[0]
        joined = write("CONCATENATION", kept, newest, axis=2)[0]
    write("NEXT_STATE", state, joined, variable=variable)
    y = _sum(write, write("MUL", joined, time)[0])
    if rank > 1:
        y = _sum(write, _reshaped(write, y, batch, filters // rank, rank))
    if bias is not None:
        y = write("ADD", y, bias)[0]
    return (activated(write, source.attributes.get("fused_activation_function"), y),)


def _reshaped(write: Writer, x: int, *shape: int) -> int:
    return write("RESHAPE", x, write.constant(np.array(shape, np.int32)))[0]


def _sum(write: Writer, x: int) -> int:
    return write("SUM", x, write.constant(np.array([2], np.int32)), keep_dims=False)[0]


SVDF = OpSpec("SVDF", expand=_svdf)

SPECS = (SVDF,)
