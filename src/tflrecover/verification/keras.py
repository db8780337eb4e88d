"""Runs a traced model, or parts of it, and fetches tensors from its inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import wrap_function

from tflrecover.tracing import Trace
from tflrecover.weight import Array

Run = Callable[[Mapping[int, Array]], list[Array]]


def part(trace: Trace, given: Sequence[int], wanted: Sequence[int]) -> Run:
    """The part of a traced function between values, with the model's weights as they are now.

    Args:
        trace: The trace.
        given: Ids of the values to feed, inputs of the model or any inside; what makes them is left out.
        wanted: Ids of the values to fetch. All have a tensor in ``trace.tensors``.

    Returns:
        A function from arrays by the id of the value fed to arrays in the order of ``wanted``.
    """
    function = wrap_function.WrappedFunction(trace.graph, variable_holder=wrap_function.VariableHolder())
    inputs = [trace.tensors[value] for value in given]
    pruned = function.prune(inputs, [trace.tensors[value] for value in wanted])

    def run(arrays: Mapping[int, Array]) -> list[Array]:
        feeds = [tf.constant(_cast(arrays[value], tensor)) for value, tensor in zip(given, inputs, strict=True)]
        results: Any = pruned(*feeds)
        return [np.asarray(result) for result in results]

    return run


def _cast(array: Array, tensor: Any) -> Array:
    return np.asarray(array).astype(tensor.dtype.as_numpy_dtype).reshape(tensor.shape.as_list())
