"""Runs a traced model, or parts of it, and fetches tensors from its inside."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tflrecover.errors import EvaluationError
from tflrecover.ir import Assignment
from tflrecover.tracing import Trace
from tflrecover.tracing.layers import handle_of
from tflrecover.tracing.present import present
from tflrecover.verification.parts import Parts, Variable
from tflrecover.weight import Array

Numbers = Mapping[str, Array | None]
"""Path of a variable to what it holds; None: nothing."""


def planned(assignments: Iterable[Assignment]) -> Numbers:
    """The numbers that a port would give to variables; those that it leaves as they are do not occur."""
    told = (a for a in assignments if a.value is not None or a.state == "unresolved")
    return {assignment.variable: assignment.value for assignment in told}


@dataclass(frozen=True, eq=False)
class _Question:
    """Tensors of the network by the contents of others.

    Attributes:
        wanted: Ids of the values that are asked for.
        given: Ids of those whose contents are given.
        told: Answers it, given these contents and then those that are known.
        known: Contents besides: of variables, and of tensors that the model has closed over.
    """

    wanted: tuple[int, ...]
    given: tuple[int, ...]
    told: Callable[..., Sequence[Any]]
    known: tuple[Array, ...]


class KerasRun:
    """A traced model, ready to compute any of its tensors from any others.

    It runs in sessions, as these take and give tensors anywhere in a graph; a function would have to be cut out anew
    for each question, which takes longer. What a variable holds is given where it is read. One that is not only read,
    but looked up in or assigned to, has to be there: the session then has it.
    """

    def __init__(self, trace: Trace, numbers: Numbers | None = None) -> None:
        """Makes the network and its numbers ready.

        Args:
            trace: The trace.
            numbers: Of variables that shall hold others than the model's do now.
        """
        self._trace = trace
        held, reads = dict(_held(trace, numbers or {})), _reads(trace)
        self._parts = Parts(
            trace.graph,
            {name: _variable(trace, path, array) for name, (path, array) in held.items() if name not in reads},
        )
        # What is given to an operation of the trace whenever it has a part: its result.
        self._known = {
            inner.op.name: np.asarray(outer) for outer, inner in trace.graph.captures if inner.dtype != tf.resource
        }
        for name, (_, array) in held.items():
            if name in reads and array is not None:
                self._known.update((one.name, array.astype(_kind(one.outputs[0]), copy=False)) for one in reads[name])
        self._lacking = {name: path for name, (path, array) in held.items() if array is None}
        # The last one: what differs is looked at twice, with other numbers in the same places.
        self._question: _Question | None = None

    def compute(self, wanted: Sequence[int], arrays: Mapping[int, Array]) -> list[Array]:
        """Tensors of the model.

        Args:
            wanted: Ids of the values to compute. All have a tensor in ``trace.tensors``.
            arrays: Contents by the id of the value, inputs of the model or any inside; what makes them is left out.

        Raises:
            EvaluationError: TensorFlow cannot run an operator here, or one reads a variable that holds nothing.
        """
        given = {value: _cast(array, self._trace.tensors[value]) for value, array in arrays.items()}
        asked, question = tuple(dict.fromkeys(v for v in wanted if v not in given)), self._question
        if not asked:
            return [given[value] for value in wanted]
        with self._telling():
            if question is None or (question.wanted, question.given) != (asked, tuple(given)):
                self._question = question = self._asked(asked, tuple(given))
            told = question.told(*given.values(), *question.known)
        found = {**given, **dict(zip(asked, map(np.asarray, told), strict=True))}
        return [found[value] for value in wanted]

    def _asked(self, wanted: tuple[int, ...], given: tuple[int, ...]) -> _Question:
        """A question made ready to be answered."""
        tensors = self._trace.tensors
        names = [tensors[value].name for value in wanted]
        types = {tensors[value].name: tensors[value].dtype.as_datatype_enum for value in given}
        part = self._parts.needed(names, types, self._known)
        if lacking := sorted(self._lacking[name] for name in part if name in self._lacking):
            layer, _, name = lacking[0].rpartition("/")
            raise EvaluationError(f"layer {layer!r} gets no numbers from the file for its {name}")
        known = [name for name in part if name in self._known]
        told = self._parts.callable(part, names, types, known)
        return _Question(wanted, given, told, tuple(self._known[name] for name in known))

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except tf.errors.OpError as error:
            raise EvaluationError(self._told(error)) from error

    def _told(self, error: Exception) -> str:
        """What TensorFlow says of an operator that it cannot run: the last line before it names the operator."""
        said = str(error).partition("\n\t [[")[0].rstrip().rpartition("\n")[2]
        hint = ""
        if "NHWC" in said:
            hint = "; set TF_ENABLE_ONEDNN_OPTS=1 before TensorFlow is imported, to run channels_first on this CPU"
        return f"TensorFlow cannot run model {self._trace.model.name!r} here: {said}{hint}"


def _reads(trace: Trace) -> dict[str, list[Any]]:
    """Name of the placeholder of a variable to the operations that read it, of those that nothing else takes."""
    takers = {inner.op.name: inner.consumers() for _, inner in trace.graph.captures if inner.dtype == tf.resource}
    return {name: found for name, found in takers.items() if all(one.type == "ReadVariableOp" for one in found)}


def _held(trace: Trace, numbers: Numbers) -> Iterator[tuple[str, tuple[str, Array | None]]]:
    """Name of the placeholder of a variable in the trace to its path and what it holds, for those that it reads."""
    paths = {id(handle_of(variable)): path for path, variable in trace.variables.items()}
    read = {inner.op.name: paths[id(outer)] for outer, inner in trace.graph.captures if id(outer) in paths}
    arrays = {**present({p: trace.variables[p] for p in read.values() if p not in numbers}), **numbers}
    yield from ((name, (path, arrays[path])) for name, path in read.items())


def _variable(trace: Trace, path: str, array: Array | None) -> Variable:
    variable = trace.variables[path]
    kind = tf.as_dtype(variable.dtype).base_dtype
    held = None if array is None else array.astype(kind.as_numpy_dtype, copy=False)
    return Variable(path, tuple(variable.shape), kind.as_datatype_enum, held)


def _kind(tensor: Any) -> Any:
    return tensor.dtype.as_numpy_dtype


def _cast(array: Array, tensor: Any) -> Array:
    return np.asarray(array).astype(_kind(tensor)).reshape(tensor.shape.as_list())
