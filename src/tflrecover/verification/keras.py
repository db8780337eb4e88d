"""Runs a traced model and fetches tensors from its inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import wrap_function

from tflrecover.tracing import Trace
from tflrecover.weight import Array


def run(trace: Trace, arrays: Sequence[Array], values: Sequence[int]) -> list[Array]:
    """The traced function on inputs in Keras's order, with the model's weights as they are now.

    Args:
        trace: The trace.
        arrays: One array per input of the model.
        values: Ids of the values to fetch; each has a tensor in ``trace.tensors``.
    """
    graph = trace.function.graph
    count = len(trace.source.inputs)
    function = wrap_function.WrappedFunction(graph, variable_holder=wrap_function.VariableHolder())
    inputs = [trace.tensors[v] for v in trace.source.inputs]
    pruned = function.prune(inputs, [trace.tensors[v] for v in values])
    feeds = [tf.constant(_cast(array, tensor)) for array, tensor in zip(arrays[:count], inputs, strict=True)]
    results: Any = pruned(*feeds)
    return [np.asarray(result) for result in results]


def _cast(array: Array, tensor: Any) -> Array:
    return np.asarray(array).astype(tensor.dtype.as_numpy_dtype).reshape(tensor.shape.as_list())
