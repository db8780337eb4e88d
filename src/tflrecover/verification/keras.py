"""Runs a traced model, or parts of it, and fetches tensors from its inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import wrap_function

from tflrecover.errors import EvaluationError
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
        A function from arrays by the id of the value fed to arrays in the order of ``wanted``; it raises
        ``EvaluationError`` where TensorFlow cannot run an operator here.
    """
    function = wrap_function.WrappedFunction(trace.graph, variable_holder=wrap_function.VariableHolder())
    inputs = [trace.tensors[value] for value in given]
    pruned = function.prune(inputs, [trace.tensors[value] for value in wanted])

    def run(arrays: Mapping[int, Array]) -> list[Array]:
        feeds = [tf.constant(_cast(arrays[value], tensor)) for value, tensor in zip(given, inputs, strict=True)]
        try:
            results: Any = pruned(*feeds)
        except tf.errors.OpError as error:
            raise EvaluationError(_told(trace, error)) from error
        return [np.asarray(result) for result in results]

    return run


def _told(trace: Trace, error: Exception) -> str:
    """What TensorFlow says of an operator that it cannot run: the last line before the trace of its own runtime."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("\t [[")]
    said = next((line for line in reversed(lines) if "[Op:" not in line or len(lines) == 1), "")
    hint = ""
    if "NHWC" in str(error):
        hint = "; set TF_ENABLE_ONEDNN_OPTS=1 before TensorFlow is imported, to run channels_first on this CPU"
    return f"TensorFlow cannot run model {trace.model.name!r} here: {said}{hint}"


def _cast(array: Array, tensor: Any) -> Array:
    return np.asarray(array).astype(tensor.dtype.as_numpy_dtype).reshape(tensor.shape.as_list())
