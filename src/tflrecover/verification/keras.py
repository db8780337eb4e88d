"""Runs a traced model, or parts of it, and fetches tensors from its inside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.eager import wrap_function

from tflrecover.errors import EvaluationError
from tflrecover.ir import Assignment
from tflrecover.tracing import Trace
from tflrecover.tracing.layers import handle_of
from tflrecover.weight import Array

Part = Callable[[Mapping[int, Array]], list[Array]]


@dataclass(frozen=True, eq=False)
class Weights:
    """Numbers that a model would compute with after a port; the model itself keeps its own.

    Attributes:
        variables: Id of the handle of the model's variable to a variable with other numbers.
        lacking: Id of the handle of a variable that a port has no numbers for, to its path.
    """

    variables: Mapping[int, tf.Variable]
    lacking: Mapping[int, str]


def planned(trace: Trace, assignments: Iterable[Assignment]) -> Weights:
    """The weights that a port would give to a model."""
    variables, lacking = {}, {}
    for assignment in assignments:
        handle = handle_of(trace.variables[assignment.variable])
        if assignment.value is not None:
            variables[id(handle)] = tf.Variable(assignment.value, trainable=False)
        elif assignment.state == "unresolved":
            lacking[id(handle)] = assignment.variable
    return Weights(variables, lacking)


def part(trace: Trace, given: Sequence[int], wanted: Sequence[int], weights: Weights | None = None) -> Part:
    """The part of a traced function between values.

    Args:
        trace: The trace.
        given: Ids of the values to feed, inputs of the model or any inside; what makes them is left out.
        wanted: Ids of the values to fetch. All have a tensor in ``trace.tensors``.
        weights: What it computes with; None: the model's weights as they are now.

    Returns:
        A function from arrays by the id of the value fed to arrays in the order of ``wanted``; it raises
        ``EvaluationError`` where TensorFlow cannot run an operator here.

    Raises:
        EvaluationError: the part reads a variable that has no weights.
    """
    function = wrap_function.WrappedFunction(trace.graph, variable_holder=wrap_function.VariableHolder())
    inputs = [trace.tensors[value] for value in given]
    pruned = function.prune(inputs, [trace.tensors[value] for value in wanted])
    if weights is not None:
        _give(pruned, weights)

    def run(arrays: Mapping[int, Array]) -> list[Array]:
        feeds = [tf.constant(_cast(arrays[value], tensor)) for value, tensor in zip(given, inputs, strict=True)]
        try:
            results: Any = pruned(*feeds)
        except tf.errors.OpError as error:
            raise EvaluationError(_told(trace, error)) from error
        return [np.asarray(result) for result in results]

    return run


def _give(function: Any, weights: Weights) -> None:
    """Other variables in the places of those that a function reads."""
    for outer, inner in function.graph.captures:
        if id(outer) in weights.lacking and inner.consumers():
            raise EvaluationError(f"variable {weights.lacking[id(outer)]!r} has no weights")
    handles = {key: variable.handle for key, variable in weights.variables.items()}
    function.set_external_captures([handles.get(id(outer), outer) for outer in function.captured_inputs])


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
