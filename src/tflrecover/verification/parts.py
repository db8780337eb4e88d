"""Parts of a TensorFlow graph, each run in a session of its own, which is given tensors from anywhere in the graph.

A session looks through all of its graph for each question of another kind. So it gets no more than the question needs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.protobuf.config_pb2 import CallableOptions
from tensorflow.python.eager import context

from tflrecover.weight import Array

# With what an operation shall be placed: it may not be in the part.
_TOGETHER = "_class"
# Around a function with a gradient of its own, such as silu.
_LETS_THROUGH = "IdentityN"


@dataclass(frozen=True, eq=False)
class Variable:
    """A variable that a session holds.

    Attributes:
        name: What tells it apart.
        shape: Its shape.
        dtype: TensorFlow's number of its type.
        array: What it holds; None: nothing.
    """

    name: str
    shape: tuple[int, ...]
    dtype: int
    array: Array | None

    def handle(self, name: str) -> NodeDef:
        """Where the session holds it."""
        node = NodeDef(op="VarHandleOp", name=name)
        node.attr["dtype"].type = self.dtype
        node.attr["shape"].shape.CopyFrom(tf.TensorShape(self.shape).as_proto())
        node.attr["shared_name"].s = self.name.encode()
        return node

    def filling(self, handle: str) -> tuple[NodeDef, NodeDef]:
        """What is given its numbers, and what puts them there. Nothing else is named below a handle."""
        given = placeholder(f"{handle}/given", self.dtype)
        put = NodeDef(op="AssignVariableOp", name=f"{handle}/put", input=[handle, given.name])
        put.attr["dtype"].type = self.dtype
        return given, put


def placeholder(name: str, dtype: int) -> NodeDef:
    """An operation whose result is given."""
    node = NodeDef(op="Placeholder", name=name)
    node.attr["dtype"].type = dtype
    return node


class Parts:
    """A graph of which parts are run.

    Args:
        graph: The graph.
        variables: What a session holds in the place of a placeholder, by its name.
    """

    def __init__(self, graph: Any, variables: Mapping[str, Variable]) -> None:
        self._whole = graph.as_graph_def()
        self._nodes = {node.name: node for node in self._whole.node}
        self._variables = variables
        # Begins no name in the graph.
        self._given = "given"
        while any(name.startswith(self._given) for name in self._nodes):
            self._given += "_"

    def needed(self, wanted: Iterable[str], given: Collection[str], known: Collection[str]) -> list[str]:
        """Names of the operations that tensors are computed by.

        Args:
            wanted: Names of the tensors.
            given: Names of tensors that are given.
            known: Names of operations whose only results are; they are among those that are needed.
        """
        found: dict[str, None] = {}
        open_ = [_maker(name) for name in wanted]
        stops = _both_ways(given)
        while open_:
            name = open_.pop()
            if name not in found:
                found[name] = None
                inputs = () if name in known else self._nodes[name].input
                open_ += [_maker(taken) for i in inputs if (taken := self._passed(i, stops)) not in stops]
        return list(found)

    def _passed(self, taken: str, given: Collection[str]) -> str:
        """What an operand is, past operations that let several through, of which the others need not be computed."""
        while taken not in given and (node := self._nodes[_maker(taken)]).op == _LETS_THROUGH:
            taken = node.input[int(taken.partition(":")[2] or 0)]
        return taken

    def callable(
        self, names: Iterable[str], wanted: Sequence[str], given: Mapping[str, int], known: Sequence[str]
    ) -> Callable[..., Sequence[Any]]:
        """What computes tensors.

        Args:
            names: Of the operations that are needed.
            wanted: Names of the tensors.
            given: Name of each tensor that is given, to the number of its type.
            known: Names of those of the operations whose results are given, too.

        Returns:
            A function of the contents of what is given, and then of what is known.
        """
        part = GraphDef(versions=self._whole.versions, library=self._whole.library)
        given_as = {name: f"{self._given}{i}" for i, name in enumerate(given)}
        part.node.extend(placeholder(given_as[name], dtype) for name, dtype in given.items())
        renamed = _both_ways(given_as)
        filled: dict[str, tuple[str, Array]] = {}
        are_known = set(known)
        for name in names:
            if name in are_known:
                part.node.append(placeholder(name, self._nodes[name].attr["dtype"].type))
            elif (variable := self._variables.get(name)) is not None:
                part.node.append(variable.handle(name))
                if variable.array is not None:
                    taken, put = variable.filling(name)
                    part.node.extend((taken, put))
                    filled[put.name] = taken.name, variable.array
            else:
                self._put_in(part, self._nodes[name], renamed)
        session = _session(part)
        if filled:
            options = CallableOptions(feed=[taken for taken, _ in filled.values()], target=list(filled))
            session._make_callable_from_options(options)(*(array for _, array in filled.values()))
        options = CallableOptions(feed=[*given_as.values(), *known], fetch=wanted)
        return session._make_callable_from_options(options)  # type: ignore[no-any-return]

    def _put_in(self, part: GraphDef, node: NodeDef, renamed: Mapping[str, str]) -> None:
        """Adds an operation, on what is given where it takes that."""
        made = part.node.add()
        made.CopyFrom(node)
        if _TOGETHER in made.attr:
            del made.attr[_TOGETHER]
        for i, taken in enumerate(node.input):
            passed = self._passed(taken, renamed)
            made.input[i] = renamed.get(passed, passed)


def _maker(taken: str) -> str:
    """Name of the operation that a definition names a result of, or lets another wait for."""
    return taken.partition(":")[0].removeprefix("^")


def _both_ways(names: Mapping[str, str] | Collection[str]) -> dict[str, str]:
    """Names of tensors, to others or themselves; of the first result of an operation also as definitions have it."""
    to = dict(names) if isinstance(names, Mapping) else {name: name for name in names}
    return {**to, **{name.removesuffix(":0"): other for name, other in to.items()}}


def _session(definition: GraphDef) -> Any:
    """A session of a graph that Python knows nothing of: to make its operations there takes longer than to run them."""
    graph = tf.Graph()
    try:
        from tensorflow.python.client import pywrap_tf_session
        from tensorflow.python.framework import c_api_util

        options = c_api_util.ScopedTFImportGraphDefOptions()
        with graph._c_graph.get() as inner, c_api_util.tf_buffer(definition.SerializeToString()) as content:
            made = pywrap_tf_session.TF_GraphImportGraphDefWithResults(inner, content, options.options)
            c_api_util.ScopedTFImportGraphDefResults(made)
    except (ImportError, AttributeError):
        # Another version of TensorFlow has its inner parts elsewhere; the public way is slower.
        graph = tf.Graph()
        with graph.as_default():
            tf.import_graph_def(definition, name="")
    return tf.compat.v1.Session(graph=graph, config=_unoptimized())


def _unoptimized() -> Any:
    """The devices and threads of the process. A part runs once or twice: to rewrite it costs more than it saves."""
    config = context.context().config
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    config.graph_options.optimizer_options.opt_level = tf.compat.v1.OptimizerOptions.L0
    return config
