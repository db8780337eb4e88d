"""Runs a traced model, or parts of it, and fetches tensors from its inside."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.protobuf.config_pb2 import CallableOptions
from tensorflow.python.eager import context

from tflrecover.errors import EvaluationError
from tflrecover.ir import Assignment
from tflrecover.tracing import Trace
from tflrecover.tracing.layers import handle_of
from tflrecover.tracing.present import present
from tflrecover.weight import Array

Numbers = Mapping[str, Array | None]
"""Path of a variable to what it holds; None: nothing."""

# Before the names of the network's operators in a session, lest those that hold its numbers have one of them.
_SCOPE = "model"


def planned(assignments: Iterable[Assignment]) -> Numbers:
    """The numbers that a port would give to variables; those that it leaves as they are do not occur."""
    told = (a for a in assignments if a.value is not None or a.state == "unresolved")
    return {assignment.variable: assignment.value for assignment in told}


@dataclass(frozen=True, eq=False)
class _Variable:
    path: str
    variable: Any
    array: Array | None

    @property
    def dtype(self) -> Any:
        """TensorFlow's type of it."""
        return tf.as_dtype(self.variable.dtype).base_dtype

    def handle(self, name: str) -> NodeDef:
        """Where the session holds it."""
        node = NodeDef(op="VarHandleOp", name=name)
        node.attr["dtype"].type = self.dtype.as_datatype_enum
        node.attr["shape"].shape.CopyFrom(tf.TensorShape(tuple(self.variable.shape)).as_proto())
        node.attr["shared_name"].s = self.path.encode()
        return node

    def filling(self, handle: str) -> tuple[NodeDef, NodeDef]:
        """What is given its numbers, and what puts them there. Nothing else is named below a handle."""
        given = NodeDef(op="Placeholder", name=f"{handle}/given")
        put = NodeDef(op="AssignVariableOp", name=f"{handle}/put", input=[handle, given.name])
        for node in (given, put):
            node.attr["dtype"].type = self.dtype.as_datatype_enum
        return given, put


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
    told: Callable[..., Sequence[Array]]
    known: tuple[Array, ...]


class KerasRun:
    """A traced model, ready to compute any of its tensors from any others.

    It runs in a session, as one takes and gives tensors anywhere in a graph; a function would have to be cut out anew
    for each question. What a variable holds is given where it is read. One that is not only read, but looked up in or
    assigned to, has to be there: the session is then one of a copy of the graph that has it.
    """

    def __init__(self, trace: Trace, numbers: Numbers | None = None) -> None:
        """Makes the network and its numbers ready.

        Args:
            trace: The trace.
            numbers: Of variables that shall hold others than the model's do now.
        """
        self._trace = trace
        held = dict(_held(trace, numbers or {}))
        reads = _reads(trace)
        others = {name: variable for name, variable in held.items() if name not in reads}
        self._scope = f"{_SCOPE}/" if others else ""
        graph, filled = _copied(trace, others) if others else (trace.graph, {})
        self._session = tf.compat.v1.Session(graph=graph, config=_unoptimized())
        # What is given to an operation of the trace whenever it has a part: by its name, with that of its result.
        self._known = {
            inner.op.name: (self._named(inner), np.asarray(outer))
            for outer, inner in trace.graph.captures
            if inner.dtype != tf.resource
        }
        for name, variable in held.items():
            if name in reads and variable.array is not None:
                for one in reads[name]:
                    result = one.outputs[0]
                    self._known[one.name] = self._named(result), variable.array.astype(_kind(result), copy=False)
        self._lacking = {name: variable.path for name, variable in held.items() if variable.array is None}
        if filled:
            with self._telling():
                puts, numbers_of = [put for put, _ in filled.values()], {k: v for k, (_, v) in filled.items()}
                self._session.run(puts, numbers_of)
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
        asked, question = tuple(value for value in wanted if value not in given), self._question
        if not asked:
            return [given[value] for value in wanted]
        with self._telling():
            if question is None or (question.wanted, question.given) != (asked, tuple(given)):
                self._question = question = self._asked(asked, tuple(given))
            told = question.told(*given.values(), *question.known)
        found = {**given, **dict(zip(asked, map(np.asarray, told), strict=True))}
        return [found[value] for value in wanted]

    def _asked(self, wanted: tuple[int, ...], given: tuple[int, ...]) -> _Question:
        """A question made ready: a session looks at each name that it is given a tensor by, and takes long for it."""
        tensors = self._trace.tensors
        part = _part([tensors[value] for value in wanted], [tensors[value] for value in given])
        if lacking := sorted(path for name, path in self._lacking.items() if name in part):
            raise EvaluationError(f"the file gives no numbers for variable {lacking[0]!r}")
        feeds = [self._named(tensors[value]) for value in given]
        known = dict(self._known[name] for name in self._known.keys() & part)
        fetches = [self._named(tensors[value]) for value in wanted]
        options = CallableOptions(feed=[*feeds, *known], fetch=fetches)
        return _Question(wanted, given, self._session._make_callable_from_options(options), tuple(known.values()))

    def _named(self, tensor: Any) -> str:
        """Name in the session of a tensor of the trace."""
        return f"{self._scope}{tensor.name}"

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


def _part(wanted: Iterable[Any], given: Iterable[Any]) -> set[str]:
    """Names of the operations that tensors are computed by when others are given.

    TensorFlow's own walk looks through a list at every step.
    """
    stops, found = {id(tensor) for tensor in given}, set[str]()
    open_ = [tensor.op for tensor in wanted]
    while open_:
        operation = open_.pop()
        if operation.name not in found:
            found.add(operation.name)
            open_ += operation.control_inputs
            open_ += [tensor.op for tensor in operation.inputs if id(tensor) not in stops]
    return found


def _reads(trace: Trace) -> dict[str, list[Any]]:
    """Name of the placeholder of a variable to the operations that read it, of those that nothing else takes."""
    takers = {inner.op.name: inner.consumers() for _, inner in trace.graph.captures if inner.dtype == tf.resource}
    return {name: found for name, found in takers.items() if all(one.type == "ReadVariableOp" for one in found)}


def _held(trace: Trace, numbers: Numbers) -> Iterator[tuple[str, _Variable]]:
    """Name of the placeholder of a variable in the trace to the variable there, for those that it reads."""
    paths = {id(handle_of(variable)): path for path, variable in trace.variables.items()}
    read = {inner.op.name: paths[id(outer)] for outer, inner in trace.graph.captures if id(outer) in paths}
    arrays = {**present({p: trace.variables[p] for p in read.values() if p not in numbers}), **numbers}
    for name, path in read.items():
        yield name, _Variable(path, trace.variables[path], arrays[path])


def _copied(trace: Trace, held: Mapping[str, _Variable]) -> tuple[Any, dict[str, tuple[str, Array]]]:
    """The graph with variables of its own; tensor that fills one to the operation that does, and its numbers.

    All is put in as one definition: to make operators one by one takes longer than what they compute.
    """
    definition, filled = trace.graph.as_graph_def(), {}
    for node in definition.node:
        if (variable := held.get(node.name)) is not None:
            node.CopyFrom(variable.handle(node.name))
    for name, variable in held.items():
        if variable.array is not None:
            given, put = variable.filling(name)
            definition.node.extend((given, put))
            filled[f"{_SCOPE}/{given.name}:0"] = f"{_SCOPE}/{put.name}", variable.array
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(definition, name=_SCOPE)
    return graph, filled


def _unoptimized() -> Any:
    """The devices and threads of the process. A part runs once or twice: to rewrite it costs more than it saves."""
    config = context.context().config
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    config.graph_options.optimizer_options.opt_level = tf.compat.v1.OptimizerOptions.L0
    return config


def _kind(tensor: Any) -> Any:
    return tensor.dtype.as_numpy_dtype


def _cast(array: Array, tensor: Any) -> Array:
    return np.asarray(array).astype(_kind(tensor)).reshape(tensor.shape.as_list())
