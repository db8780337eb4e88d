"""From TensorFlow's operators to ours: values, constants, variables, and the bodies of called functions inlined."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tflrecover import ops
from tflrecover.ir import Graph, Op, Shape, Value
from tflrecover.rewrite.draft import ASSIGNS
from tflrecover.tracing.constants import computed, is_rounded
from tflrecover.tracing.layers import LayerPaths, handle_of
from tflrecover.tracing.ownership import CallRecorder
from tflrecover.weight import Array, Leaf, Literal

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_LOOPS = ("While", "StatelessWhile")
_CONDITIONS = ("If", "StatelessIf")
_SIDES = ("then", "else")
_MAY_ASSIGN = frozenset((*ASSIGNS, *_CALLS, *_LOOPS, *_CONDITIONS))
# What functions are called by.
_CALLEES = ("f", "cond", "body", "then_branch", "else_branch")
# Lists and handles are no numbers.
_NO_ARRAYS = (tf.variant, tf.resource)
_SILENT = ("NoOp", "Placeholder", "Assert")


def _shape(tensor: Any) -> Shape | None:
    return None if tensor.shape.rank is None else tuple(-1 if n is None else n for n in tensor.shape.as_list())


def _result(name: str, tensor: Any) -> Value:
    """What an operator makes; sizes that the data decide stand as in a file, by ones and a signature."""
    shape = _shape(tensor)
    if shape is None or -1 not in shape:
        return Value(name, shape, _dtype(tensor))
    return Value(name, tuple(1 if n == -1 else n for n in shape), _dtype(tensor), shape_signature=shape)


def _dtype(tensor: Any) -> str:
    return str(tensor.dtype.base_dtype.name)


def _attribute(value: Any) -> Any:
    """A protobuf attribute as a plain Python value."""
    kind = value.WhichOneof("value")
    if kind == "s":
        return value.s.decode(errors="replace")
    if kind == "type":
        return tf.as_dtype(value.type).name
    if kind == "list":
        return tuple(
            item.decode(errors="replace") if isinstance(item, bytes) else item
            for items in (value.list.s, value.list.i, value.list.f, value.list.b)
            for item in items
        )
    if kind == "func":
        return value.func.name
    return getattr(value, kind) if kind in ("i", "f", "b") else None


def _attributes(operation: Any) -> dict[str, Any]:
    return {name: _attribute(value) for name, value in operation.node_def.attr.items() if not name.startswith("_")}


def _passed_on(tensor: Any) -> Any:
    """What an operator that does nothing was given."""
    while tensor.op.type == "Identity":
        tensor = tensor.op.inputs[0]
    return tensor


def _is_static(graph: Any) -> bool:
    return all(tensor.shape.is_fully_defined() for tensor in graph.inputs)


def _changes(operation: Any) -> bool:
    """Whether a function that an operator names, or one that it calls, assigns a variable."""
    named = (name for name in _CALLEES if name in operation.node_def.attr)
    graphs = (operation.graph._get_function(operation.get_attr(name).name).graph for name in named)
    return any(inner.type in ASSIGNS or _changes(inner) for graph in graphs for inner in graph.get_operations())


class _Importer:
    """Collects operators and values of one function graph and of the functions that it calls."""

    def __init__(self, recorder: CallRecorder, paths: LayerPaths) -> None:
        self.ops: list[Op] = []
        self.values: dict[int, Value] = {}
        self.tensors: dict[int, Any] = {}
        self._recorder = recorder
        self._paths = paths
        # ids of tensors are compared while their graphs live.
        self._graphs: list[Any] = []
        self._alike: dict[tuple[Any, ...], dict[str, Any]] = {}
        # Results of operators of constants alone.
        self._constant: set[int] = set()

    def new(self, value: Value, tensor: Any = None) -> int:
        number = len(self.values)
        self.values[number] = value
        if tensor is not None:
            self._show(number, tensor)
        return number

    def _show(self, number: int, tensor: Any) -> None:
        """Notes the tensor that holds a value, where it can be fetched as numbers."""
        if tensor.dtype not in _NO_ARRAYS:
            self.tensors[number] = tensor

    def walk(self, graph: Any, known: dict[int, int], layer: str | None, prefix: str) -> dict[int, int]:
        """Imports a graph; ``known`` maps ``id(tensor)`` of its inputs to value ids and is completed."""
        operations = graph.get_operations()
        owners = self._recorder.owners(graph, len(operations))
        are_fixed = not any(operation.type in _MAY_ASSIGN for operation in operations)
        for operation, owner in zip(operations, owners, strict=True):
            if operation.type in _SILENT:
                continue
            path = layer if owner is None else self._paths.of(owner)
            if operation.type == "Const":
                array = tf.make_ndarray(operation.get_attr("value"))
                tensor = operation.outputs[0]
                literal = Literal(array.shape, _dtype(tensor), array)
                known[id(tensor)] = self.new(Value(operation.name, array.shape, _dtype(tensor), weight=literal))
            elif operation.type == "IdentityN":
                # What carries a custom gradient (silu has one) is, forwards, nothing.
                for given, made in zip(operation.inputs, operation.outputs, strict=True):
                    if id(given) in known:
                        known[id(made)] = known[id(given)]
            elif operation.type == "ReadVariableOp" and are_fixed:
                # A network has more of them than of anything else.
                known[id(operation.outputs[0])] = known[id(operation.inputs[0])]
            elif operation.type in _CALLS:
                self._inline(operation, known, path, prefix)
            elif operation.type in _LOOPS:
                self._loop(operation, known, path, prefix)
            elif operation.type in _CONDITIONS and not _changes(operation):
                self._condition(operation, known, path, prefix)
            elif not self._computed(operation, known, prefix):
                self._operation(operation, known, path, prefix)
        return known

    def _computed(self, operation: Any, known: dict[int, int], prefix: str) -> bool:
        """Whether an operator of constants alone has become constants, as a converter makes of any such operator.

        Those that have an expression keep it, up to where an operator of the network takes a table that TensorFlow has
        rounded in its own way.
        """

        def literal_of(tensor: Any) -> Array | None:
            weight = self.values[known[id(tensor)]].weight if id(tensor) in known else None
            return weight.array if isinstance(weight, Literal) else None

        def compute(made: Any) -> bool:
            try:
                arrays = computed(made, literal_of)
            except tf.errors.OpError:
                return False
            for tensor, array in zip(made.outputs, arrays, strict=True):
                literal = Literal(array.shape, _dtype(tensor), array)
                known[id(tensor)] = self.new(Value(prefix + tensor.name, array.shape, _dtype(tensor), weight=literal))
            return True

        is_constant = all(id(tensor) in self._constant or literal_of(tensor) is not None for tensor in operation.inputs)
        if not is_constant or not operation.inputs or operation.op_def.is_stateful:
            for tensor in operation.inputs:
                if id(tensor) in self._constant and literal_of(tensor) is None and is_rounded(tensor, literal_of):
                    compute(tensor.op)
            return False
        self._constant.update(map(id, operation.outputs))
        if ops.has_expression(operation.type) or any(tensor.dtype in _NO_ARRAYS for tensor in operation.outputs):
            return False
        return compute(operation)

    def _operation(self, operation: Any, known: dict[int, int], layer: str | None, prefix: str) -> None:
        inputs = tuple(known.get(id(tensor)) for tensor in operation.inputs)
        outputs = []
        for tensor in operation.outputs:
            number = self.new(_result(prefix + tensor.name, tensor), None if prefix else tensor)
            known[id(tensor)] = number
            outputs.append(number)
        if outputs or operation.type in ASSIGNS:
            name = prefix + operation.name
            # Most operators of a type are alike.
            own = _attributes(operation)
            attributes = self._alike.setdefault(tuple(own.items()), own)
            self.ops.append(Op(name, operation.type, inputs, tuple(outputs), attributes, layer))

    def _inline(self, operation: Any, known: dict[int, int], layer: str | None, prefix: str) -> None:
        body = self._callee(operation)
        inner = {id(a): known[id(t)] for a, t in zip(body.inputs, operation.inputs, strict=True) if id(t) in known}
        self.walk(body, inner, layer, f"{prefix}{operation.name}/")
        for tensor, result in zip(operation.outputs, body.outputs, strict=True):
            number = known[id(tensor)] = inner[id(result)]
            if not prefix:
                self._show(number, tensor)

    def _callee(self, operation: Any) -> Any:
        """The graph of the function that is called, with shapes: as it was traced, else anew on the caller's shapes."""
        from tensorflow.python.framework.function_def_to_graph import function_def_to_graph

        function = operation.graph._get_function(operation.get_attr("f").name)
        body = getattr(function, "graph", None)
        shapes = [tensor.shape for tensor in operation.inputs]
        if body is None or [tensor.shape for tensor in body.inputs] != shapes or not _is_static(body):
            body = function_def_to_graph(function.cached_definition, input_shapes=shapes)
        self._graphs.append(body)
        return body

    def _loop(self, operation: Any, known: dict[int, int], layer: str | None, prefix: str) -> None:
        """A loop as one symbolic iteration between LOOP and END_LOOP, as :mod:`tflrecover.tflite.flatten` has it."""
        name = prefix + operation.name
        condition, body = (self._called(operation, attribute) for attribute in ("cond", "body"))
        given = list(operation.inputs)
        states = [i for i, result in enumerate(body.outputs) if _passed_on(result) is not body.inputs[i]]
        arguments = [known[id(tensor)] for tensor in given]
        initial = tuple(arguments[i] for i in states)
        for i in states:
            inner = body.inputs[i]
            arguments[i] = self.new(Value(f"{name}/{inner.name}", _shape(inner), _dtype(inner)))
        index = self.new(Value(f"{name}/index", (), "int32"))
        self.ops.append(Op(f"{name}/loop", "LOOP", initial, (index, *(arguments[i] for i in states)), {}, layer))
        results = []
        for part, graph in (("condition/", condition), ("", body)):
            inner = {id(a): value for a, value in zip(graph.inputs, arguments, strict=True)}
            self.walk(graph, inner, layer, f"{name}/{part}")
            results.append([inner[id(tensor)] for tensor in graph.outputs])
        for i, tensor in enumerate(operation.outputs):
            known[id(tensor)] = arguments[i]
            if i in states:
                known[id(tensor)] = self.new(
                    Value(prefix + tensor.name, _shape(tensor), _dtype(tensor)), None if prefix else tensor
                )
        finals = tuple(known[id(operation.outputs[i])] for i in states)
        inputs = (index, results[0][0], *(results[1][i] for i in states))
        self.ops.append(Op(name, "END_LOOP", inputs, finals, {}, layer))

    def _condition(self, operation: Any, known: dict[int, int], layer: str | None, prefix: str) -> None:
        """Both sides of a condition and END_IF, as :mod:`tflrecover.tflite.flatten` has them but for the marks."""
        name = prefix + operation.name
        test, *arguments = operation.inputs
        results: list[int] = []
        for side in _SIDES:
            graph = self._called(operation, f"{side}_branch")
            pairs = zip(graph.inputs, arguments, strict=True)
            inner = {id(a): known[id(tensor)] for a, tensor in pairs if id(tensor) in known}
            self.walk(graph, inner, layer, f"{name}/{side}/")
            results += [inner[id(tensor)] for tensor in graph.outputs]
        finals = []
        for tensor in operation.outputs:
            made = Value(prefix + tensor.name, _shape(tensor), _dtype(tensor))
            known[id(tensor)] = self.new(made, None if prefix else tensor)
            finals.append(known[id(tensor)])
        self.ops.append(Op(name, "END_IF", (known[id(test)], *results), tuple(finals), {}, layer))

    def _called(self, operation: Any, attribute: str) -> Any:
        """The graph of a function that an operator names, as it was traced: with shapes and with its layers' calls."""
        graph = operation.graph._get_function(operation.get_attr(attribute).name).graph
        self._graphs.append(graph)
        return graph


def import_function(
    graph: Any, recorder: CallRecorder, paths: LayerPaths, variables: Mapping[str, Any]
) -> tuple[Graph, dict[int, Any]]:
    """Reads a function graph.

    Returns:
        The graph in TensorFlow's operator types, and value id to tensor.
    """
    importer = _Importer(recorder, paths)
    known: dict[int, int] = {}
    captures = graph.captures
    captured = {id(inner) for _, inner in captures}
    inputs = [tensor for tensor in graph.inputs if id(tensor) not in captured]
    for tensor in inputs:
        known[id(tensor)] = importer.new(Value(tensor.name, _shape(tensor), _dtype(tensor)), tensor)
    handles = _handles(variables)
    for outer, inner in captures:
        known[id(inner)] = importer.new(_capture(outer, inner, handles))
    importer.walk(graph, known, None, "")
    return (
        Graph.build(
            importer.ops,
            importer.values,
            [known[id(tensor)] for tensor in inputs],
            [known[id(tensor)] for tensor in graph.outputs],
        ),
        importer.tensors,
    )


def _handles(variables: Mapping[str, Any]) -> dict[int, tuple[str, Shape, str]]:
    found = {}
    for path, variable in variables.items():
        found[id(handle_of(variable))] = (path, tuple(variable.shape), tf.as_dtype(variable.dtype).base_dtype.name)
    return found


def _capture(outer: Any, inner: Any, handles: Mapping[int, tuple[str, Shape, str]]) -> Value:
    """A variable becomes a leaf; an eager tensor that a layer closed over becomes a literal."""
    if id(outer) in handles:
        path, shape, dtype = handles[id(outer)]
        return Value(path, shape, dtype, weight=Leaf(shape, dtype, path, path))
    if inner.dtype == tf.resource:
        variable = getattr(outer, "_handle_data", None)
        shape, dtype = _resource(variable)
        key = f"capture:{inner.name}"
        return Value(inner.name, shape, dtype, weight=Leaf(shape, dtype, key, key))
    array = np.asarray(outer)
    return Value(inner.name, array.shape, _dtype(inner), weight=Literal(array.shape, _dtype(inner), array))


def _resource(data: Any) -> tuple[Shape, str]:
    if data is None or not data.shape_and_type:
        return (), "float32"
    entry = data.shape_and_type[0]
    return tuple(dim.size for dim in entry.shape.dim), tf.as_dtype(entry.dtype).name
