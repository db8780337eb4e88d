"""Traces a Keras model (never converts it) and reads the trace into a graph."""

from __future__ import annotations

import contextlib
import gc
import re
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.python.eager.polymorphic_function.autograph_util import py_func_from_autograph
from tensorflow.python.framework.func_graph import dismantle_func_graph, func_graph_from_py_func

from tflrecover import mistaken, ops
from tflrecover.errors import InputMismatch, InvalidModel, UnbuiltModel, WrongBackend
from tflrecover.ir import Graph, Shape
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.lower import lower
from tflrecover.stages import stage
from tflrecover.tracing.importer import import_function
from tflrecover.tracing.inputs import Form, declared_inputs, forms
from tflrecover.tracing.layers import LayerPaths, variable_paths
from tflrecover.tracing.ownership import CallRecorder
from tflrecover.tracing.standin import StandIn

InputShapes = Sequence[Shape] | Mapping[str, Shape]
Made = tuple[Any, Mapping[int, Any]]
"""A function graph, and value id to tensor of it."""


class Function:
    """What a model was traced into: a function graph of TensorFlow, and the tensors of it that hold values.

    It takes more memory than the weights of a small network, so it can be let go; it is made again when it is asked
    for after that. It is taken apart as soon as nobody has it any more: its operators and itself refer to each other,
    and to let the collector find that out takes twice as long.
    """

    def __init__(self, made: Made, again: Callable[[], Made]) -> None:
        """Holds it.

        Args:
            made: The function graph, and value id to tensor.
            again: Makes the same once more.
        """
        self._again = again
        self._hold(made)

    def _hold(self, made: Made) -> None:
        self._made: Made | None = made
        self._end = weakref.finalize(self, dismantle_func_graph, made[0])
        # At the end of the process nothing needs to be done.
        self._end.atexit = False

    def let_go(self) -> None:
        """Gives its memory back."""
        self._made = None
        self._end()
        # What was made while tracing is young, and refers to itself.
        gc.collect(0)

    def made(self) -> Made:
        """The function graph, and value id to tensor."""
        if self._made is None:
            self._hold(self._again())
        assert self._made is not None
        return self._made


@dataclass(frozen=True, eq=False)
class Trace:
    """A traced model.

    Attributes:
        model: The Keras model.
        source: The graph in TensorFlow's own operators.
        function: What it was traced into.
        variables: Unique path to Keras variable, in the model's order.
        layers: Layer path to layer.
        form: How the model was called.
        input_names: One per input of the graph; ``""`` where the model gives none.
        output_names: One per output; ``""`` where the model gives none.
        layer_outputs: Names of the layers that make the outputs, which tf_keras puts in a file even where the model
            gives a dict; empty where they are not known.
    """

    model: Any
    source: Graph
    function: Function
    variables: Mapping[str, Any]
    layers: Mapping[str, Any]
    form: Form
    input_names: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()
    layer_outputs: tuple[str, ...] = ()

    @property
    def graph(self) -> Any:
        """The function graph that it was traced into."""
        return self.function.made()[0]

    @property
    def tensors(self) -> Mapping[int, Any]:
        """Value id to tensor of the function graph."""
        return self.function.made()[1]

    def draft(self) -> Draft:
        """The graph in canonical terms, before any other rule."""
        return lower(self.source, ops.tf_reader, {})

    def standing_in(self, stand_ins: Sequence[StandIn]) -> Trace:
        """The same model on the same inputs, with other layers in the places of some of its own."""
        inputs = [self.source.values[value] for value in self.source.inputs]
        shapes, dtypes = [value.shape or () for value in inputs], [str(value.dtype) for value in inputs]
        return trace_model(self.model, shapes, self.form, dtypes, stand_ins)


def check(model: Any, sizes: Sequence[Sequence[int | None]] = ()) -> None:
    """Whether a model can be traced.

    Args:
        model: What was given.
        sizes: Shapes that the file takes, for the advice to a model that is not built.

    Raises:
        InvalidModel: it is not a Keras model.
        WrongBackend: Keras does not run on TensorFlow.
        UnbuiltModel: it has no variables yet.
    """
    if not mistaken.is_layer(model):
        raise InvalidModel(mistaken.instead_of_a_model(model))
    if not type(model).__module__.startswith("tf_keras") and _backend(model) not in (None, "tensorflow"):
        raise WrongBackend(
            f"Keras runs on {_backend(model)!r}; tracing needs the TensorFlow backend: set KERAS_BACKEND=tensorflow "
            "before Keras is imported"
        )
    layers = (model, *model._flatten_layers(include_self=False))
    for layer in layers:
        _refuse(layer)
    unbuilt = [layer.name for layer in layers if not layer.built]
    if not model.built or (unbuilt and model.name in unbuilt):
        raise UnbuiltModel(_unbuilt(model, sizes))


def _unbuilt(model: Any, sizes: Sequence[Sequence[int | None]]) -> str:
    shapes = [(None, *size[1:]) for size in sizes]
    wanted = "input_shape" if not shapes else str(shapes[0] if len(shapes) == 1 else shapes)
    if not hasattr(model, "compile"):
        shape = shapes[0][1:] if len(shapes) == 1 else "…"
        return (
            f"{model.name!r} is a layer ({type(model).__name__}), not a model, and not built; put it into one, "
            f"keras.Sequential([keras.Input({shape}), layer])"
        )
    return f"model {model.name!r} is not built; call it once on an input, or model.build({wanted}), before porting"


def _refuse(layer: Any) -> None:
    """Layers whose variables are not weights of what they compute.

    Raises:
        InvalidModel: with what to do instead.
    """
    quantized = getattr(layer, "quantization_mode", None)
    if quantized is not None:
        raise InvalidModel(
            f"layer {layer.name!r} is quantized to {quantized}: its variables are integers with scales of their own; "
            f"port into the model first, then call model.quantize({quantized!r})"
        )
    if getattr(layer, "lora_enabled", False):
        raise InvalidModel(
            f"layer {layer.name!r} has LoRA enabled: kernel and low-rank update cannot be told apart in a file that "
            "holds their sum; port into the model first, then call enable_lora"
        )
    if type(layer).__name__ == "TFSMLayer":
        raise InvalidModel(
            f"layer {layer.name!r} is a TFSMLayer, a SavedModel that has no Keras layers inside; build the model from "
            "its layers and port into that"
        )


def _backend(model: Any) -> str | None:
    if not any(cls.__module__.startswith("keras") for cls in type(model).__mro__):
        return None
    import keras

    return str(keras.backend.backend())


def _patched_classes(model: Any) -> tuple[type, ...]:
    """The classes whose ``__call__`` every layer goes through."""
    found = []
    for cls in type(model).__mro__:
        module = cls.__module__
        if cls.__name__ in ("Layer", "Operation") and "keras" in module and "__call__" in vars(cls):
            found.append(cls)
    return tuple(found)


def _shapes(model: Any, input_shapes: InputShapes | None, form: Form | None) -> tuple[Form, list[Shape]]:
    """The form of the call and one full shape per input."""
    if input_shapes is None:
        declared = declared_inputs(model)
        if declared is None:
            raise InputMismatch(f"model {model.name!r} does not say its input shapes; pass input_shapes=[(1, …), …]")
        form = form or forms(model, len(declared))[0]
        return form, [tuple(1 if size is None else size for size in shape or ()) for shape in form.shapes]
    form = form or forms(model, len(input_shapes), input_shapes if isinstance(input_shapes, Mapping) else ())[0]
    if not isinstance(input_shapes, Mapping):
        return form, [tuple(shape) for shape in input_shapes]
    if set(form.names) != set(input_shapes):
        names = list(form.names)
        raise InputMismatch(f"model {model.name!r} has the inputs {names}, got shapes for {sorted(input_shapes)}")
    return form, [tuple(input_shapes[name]) for name in form.names]


def _first_replica(model: Any) -> contextlib.AbstractContextManager[Any]:
    """Where a distributed tf_keras model reads its own copy of a statistic, not the mean of all copies."""
    strategy = getattr(model, "distribute_strategy", None)
    if strategy is None or strategy.num_replicas_in_sync == 1:
        return contextlib.nullcontext()
    return tf.distribute.ReplicaContext(strategy, 0)  # type: ignore[no-any-return]


def trace_model(
    model: Any,
    input_shapes: InputShapes | None = None,
    form: Form | None = None,
    dtypes: Sequence[str] | None = None,
    stand_ins: Sequence[StandIn] = (),
) -> Trace:
    """Traces a model.

    Args:
        model: A built Keras 3 model on the TensorFlow backend, or a tf_keras model.
        input_shapes: Full static shapes with the batch, in Keras's input order or by input name; None: the model's
            own, with 1 for free sizes.
        form: How to call it; None: the likeliest way.
        dtypes: One per input, for inputs whose dtype the model does not declare; None: float32.
        stand_ins: Layers that take the calls of others of the model.

    Raises:
        InvalidModel: it is no model, or cannot be called on those shapes.
        UnbuiltModel: it has no variables yet.
        WrongBackend: Keras runs on another backend.
        InputMismatch: another number of inputs, or shapes that do not fit.
    """
    check(model)
    stage("trying another argument of a layer" if stand_ins else f"tracing the model {model.name!r}")
    form, shapes = _shapes(model, input_shapes, form)
    again = partial(_imported, model, form, shapes, dtypes or ["float32"] * len(shapes), stand_ins)
    first = again()
    return Trace(
        model,
        first.source,
        Function(first.function, lambda: again().function),
        first.variables,
        first.layers,
        form,
        form.names,
        _output_names(model, first.result),
        _layer_outputs(model, len(first.source.outputs)),
    )


class _Imported(NamedTuple):
    """A function graph with the tensors that hold values, what was read of it, and what the model gave."""

    function: Made
    source: Graph
    variables: Mapping[str, Any]
    layers: Mapping[str, Any]
    result: Any


def _imported(
    model: Any, form: Form, shapes: Sequence[Shape], dtypes: Sequence[str], stand_ins: Sequence[StandIn]
) -> _Imported:
    """A model called on symbolic inputs, and what was recorded of the call."""
    paths = LayerPaths(model)
    # Without the masks that its graph has, Keras makes them anew at each call, from the layers as they are then.
    masks = [StandIn(operation, None) for operation in paths.masks if stand_ins]
    recorder = CallRecorder(paths, [*stand_ins, *masks])
    structure: list[Any] = []

    def run(*tensors: Any) -> Any:
        result = _plain(form.call(model, tensors))
        structure.append(result)
        return [leaf for leaf in tf.nest.flatten(result) if tf.is_tensor(leaf)]

    try:
        signature = [
            tf.TensorSpec(shape, declared or given, name=f"input_{i}")
            for i, (shape, declared, given) in enumerate(zip(shapes, form.dtypes, dtypes, strict=True))
        ]
        with recorder.recording(_patched_classes(model)), _first_replica(model):
            graph = _traced(run, signature)
    except Exception as error:
        raise InvalidModel(
            f"model {model.name!r} cannot be called on inputs of shape {shapes}: {_first_line(error)}"
        ) from error
    variables = variable_paths(model, paths, _captured(graph))
    source, tensors = import_function(graph, recorder, paths, variables)
    return _Imported((graph, tensors), source, variables, dict(paths.items()), structure[-1])


def _captured(graph: Any) -> list[Any]:
    """Variables that a function reads, in the order in which it came upon them."""
    by_handle = {id(variable.handle): variable for variable in graph.variables}
    return [by_handle[id(outer)] for outer, _ in graph.captures if id(outer) in by_handle]


def _traced(run: Any, signature: Sequence[Any]) -> Any:
    """The function graph of a call, its Python control flow converted as tf.function would.

    The graph alone: a concrete function is registered with the runtime, which takes as long and as much memory again.
    """
    return func_graph_from_py_func(
        "model", py_func_from_autograph(run), (), {}, signature=tuple(signature), add_control_dependencies=False
    )


def _first_line(error: BaseException) -> str:
    """What an error says; one from inside a traced function has the code's lines first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if re.match(r"\w+(Error|Exception)\b.*:", line)]
    is_traced = bool(lines) and lines[0].startswith("in user code")
    return said[-1] if is_traced and said else f"{type(error).__name__}: {lines[0] if lines else ''}"


def _plain(result: Any) -> Any:
    """A dataclass as a dict of its fields."""
    if is_dataclass(result) and not isinstance(result, type) and not tf.is_tensor(result):
        return {item.name: _plain(getattr(result, item.name)) for item in fields(result)}
    return result


def _output_names(model: Any, result: Any) -> tuple[str, ...]:
    """Dict keys, else the names of the layers that make the outputs, else nothing."""
    # tf.nest flattens a dict in the order of its sorted keys.
    leaves = tf.nest.flatten(result)
    if isinstance(result, Mapping) and len(leaves) == len(result):
        return tuple(str(key) for key, leaf in zip(sorted(result), leaves, strict=True) if tf.is_tensor(leaf))
    count = sum(map(tf.is_tensor, leaves))
    return _layer_outputs(model, count) or ("",) * count


def _layer_outputs(model: Any, count: int) -> tuple[str, ...]:
    names = getattr(model, "output_names", None) or ()
    return tuple(str(name) for name in names) if len(names) == count else ()


def trace(model: Any, input_shapes: InputShapes | None = None) -> Graph:
    """Traces a Keras model into a graph in the vocabulary of TFLite.

    Args:
        model: A built Keras 3 model on the TensorFlow backend, or a tf_keras model. It is not changed.
        input_shapes: Full static shapes with the batch, in Keras's input order or by input name; None: the model's
            own, with 1 for free sizes.

    Returns:
        One node per operator, with its layer path; weights are expressions over the model's variables.

    Raises:
        InvalidModel: and its subclasses, see :func:`trace_model`.

    Example:
        >>> graph = tflrecover.trace(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))
        >>> [op.type for op in graph.ops()]
        ['FULLY_CONNECTED', 'ADD']
    """
    traced = trace_model(model, input_shapes)
    draft = traced.draft()
    draft.prune()
    return draft.freeze(str(model.name))
