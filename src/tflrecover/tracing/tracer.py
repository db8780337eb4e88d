"""Traces a Keras model (never converts it) and reads the trace into a graph."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from tflrecover import ops
from tflrecover.errors import InputMismatch, InvalidModel, UnbuiltModel, WrongBackend
from tflrecover.ir import Graph, Shape
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.lower import lower
from tflrecover.tracing.importer import import_function
from tflrecover.tracing.layers import LayerPaths, variable_paths
from tflrecover.tracing.ownership import CallRecorder

InputShapes = Sequence[Shape] | Mapping[str, Shape]


@dataclass(frozen=True, eq=False)
class Trace:
    """A traced model.

    Attributes:
        model: The Keras model.
        source: The graph in TensorFlow's own operators.
        function: The concrete function.
        variables: Unique path to Keras variable, in the model's order.
        layers: Layer path to layer.
        tensors: Value id to tensor of the function's graph.
        input_names: One per input of the graph; ``""`` where the model gives none.
        output_names: One per output; ``""`` where the model gives none.
    """

    model: Any
    source: Graph
    function: Any
    variables: Mapping[str, Any]
    layers: Mapping[str, Any]
    tensors: Mapping[int, Any]
    input_names: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()
    literals: Mapping[int, Any] = field(default_factory=dict)

    def draft(self) -> Draft:
        """The graph in canonical terms, before any other rule."""
        return lower(self.source, ops.tf_reader, {})


def is_model(model: Any) -> bool:
    """Whether it is a layer or model of Keras 3 or tf_keras."""
    return callable(model) and all(hasattr(model, name) for name in ("variables", "_flatten_layers", "built"))


def check(model: Any) -> None:
    """Whether a model can be traced.

    Raises:
        InvalidModel: it is not a Keras model.
        WrongBackend: Keras does not run on TensorFlow.
        UnbuiltModel: it has no variables yet.
    """
    if not is_model(model):
        raise InvalidModel(f"expected a Keras model, got {type(model).__name__}; pass the model object itself")
    if not type(model).__module__.startswith("tf_keras") and _backend(model) not in (None, "tensorflow"):
        raise WrongBackend(
            f"Keras runs on {_backend(model)!r}; tracing needs the TensorFlow backend: set KERAS_BACKEND=tensorflow "
            "before Keras is imported"
        )
    unbuilt = [layer.name for layer in (model, *model._flatten_layers(include_self=False)) if not layer.built]
    if not model.built or (unbuilt and model.name in unbuilt):
        raise UnbuiltModel(
            f"model {model.name!r} is not built; call it once on an input, or model.build(input_shape), before porting"
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


def _declared_inputs(model: Any) -> list[Any] | None:
    """Keras's symbolic inputs, in Keras's order, or None for subclassed models."""
    try:
        inputs = model.inputs
    except (AttributeError, ValueError):
        return None
    return list(inputs) if inputs else None


def input_specs(model: Any, count: int) -> list[tuple[str, tuple[int | None, ...] | None, str]]:
    """Name, shape (None where free) and dtype of every input that the model takes."""
    declared = _declared_inputs(model)
    if declared is None:
        return _called_with(model, count)
    return [(str(t.name).split(":")[0], tuple(t.shape), tf.as_dtype(t.dtype).name) for t in declared]


def _parameters(model: Any) -> list[str]:
    """Names of the positional arguments that carry tensors."""
    return [
        p.name
        for p in inspect.signature(model.call).parameters.values()
        if p.name not in ("training", "mask") and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]


def _called_with(model: Any, count: int) -> list[tuple[str, tuple[int | None, ...] | None, str]]:
    """Inputs of a subclassed model: the arguments of its call, in the shapes that it was built with."""
    names = _parameters(model)
    if count == 1 or len(names) < count:
        return [("", None, "float32")] * count
    built = getattr(model, "_build_shapes_dict", None) or {}
    shapes = [built.get(name) or built.get(f"{name}_shape") for name in names[:count]]
    return [
        (name, (None, *shape[1:]) if isinstance(shape, tuple) and shape else None, "float32")
        for name, shape in zip(names, shapes, strict=False)
    ]


def _caller(model: Any, count: int) -> Any:
    """A function of ``count`` tensors that calls the model the way it wants to be called."""
    struct = getattr(model, "_inputs_struct", None)
    if struct is None and _declared_inputs(model) is not None:
        struct = getattr(model, "_nested_inputs", None)
    if struct is not None and len(tf.nest.flatten(struct)) == count:
        return lambda *tensors: _call(model, (tf.nest.pack_sequence_as(struct, list(tensors)),))
    if count == 1:
        return lambda tensor: _call(model, (tensor,))
    if len(_parameters(model)) >= count:
        return lambda *tensors: _call(model, tensors)
    return lambda *tensors: _call(model, (list(tensors),))


def _call(model: Any, args: tuple[Any, ...]) -> Any:
    return (
        model(*args, training=False)
        if "training" in inspect.signature(model.call).parameters or _is_keras(model)
        else model(*args)
    )


def _is_keras(model: Any) -> bool:
    return (
        hasattr(model, "_call_has_training_arg") or hasattr(model, "_expects_training_arg") or hasattr(model, "inputs")
    )


def _shapes(model: Any, input_shapes: InputShapes | None) -> list[Shape]:
    declared = _declared_inputs(model)
    if isinstance(input_shapes, Mapping):
        names = [name for name, _, _ in input_specs(model, len(input_shapes))]
        unknown = sorted(set(input_shapes) - set(names))
        if unknown or set(names) - set(input_shapes):
            raise InputMismatch(f"model {model.name!r} has the inputs {names}, got shapes for {sorted(input_shapes)}")
        return [tuple(input_shapes[name]) for name in names]
    if input_shapes is not None:
        return [tuple(shape) for shape in input_shapes]
    if declared is None:
        raise InputMismatch(f"model {model.name!r} does not say its input shapes; pass input_shapes=[(1, …), …]")
    return [tuple(1 if size is None else size for size in tensor.shape) for tensor in declared]


def trace_model(model: Any, input_shapes: InputShapes | None = None) -> Trace:
    """Traces a model.

    Args:
        model: A built Keras 3 model on the TensorFlow backend, or a tf_keras model.
        input_shapes: Full static shapes with the batch, in Keras's input order or by input name; None: the model's
            own, with 1 for free sizes.

    Raises:
        InvalidModel: it is no model, or cannot be called on those shapes.
        UnbuiltModel: it has no variables yet.
        WrongBackend: Keras runs on another backend.
        InputMismatch: another number of inputs, or shapes that do not fit.
    """
    check(model)
    shapes = _shapes(model, input_shapes)
    specs = input_specs(model, len(shapes))
    if len(specs) != len(shapes):
        raise InputMismatch(f"model {model.name!r} has {len(specs)} inputs, the file {len(shapes)}")
    signature = [
        tf.TensorSpec(shape, dtype, name=f"input_{i}")
        for i, (shape, (_, _, dtype)) in enumerate(zip(shapes, specs, strict=True))
    ]
    paths = LayerPaths(model)
    recorder = CallRecorder(paths)
    structure: list[Any] = []

    def run(*tensors: Any) -> Any:
        result = _caller(model, len(shapes))(*tensors)
        structure.append(result)
        return tf.nest.flatten(result)

    try:
        with recorder.recording(_patched_classes(model)):
            function = tf.function(run).get_concrete_function(*signature)
    except Exception as error:
        raise InvalidModel(
            f"model {model.name!r} cannot be called on inputs of shape {shapes}: {_first_line(error)}"
        ) from error
    variables = variable_paths(model, paths)
    source, tensors = import_function(function, recorder, paths, variables)
    return Trace(
        model,
        source,
        function,
        variables,
        dict(paths.items()),
        tensors,
        tuple(name for name, _, _ in specs),
        _output_names(model, structure[-1]),
    )


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def _output_names(model: Any, result: Any) -> tuple[str, ...]:
    """Dict keys, else the names of the layers that make the outputs, else nothing."""
    if isinstance(result, Mapping):
        # tf.nest flattens a dict in the order of its sorted keys.
        return tuple(str(key) for key in sorted(result)) if len(tf.nest.flatten(result)) == len(result) else ()
    names = getattr(model, "output_names", None)
    count = len(tf.nest.flatten(result))
    return tuple(str(name) for name in names) if names and len(names) == count else ("",) * count


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
