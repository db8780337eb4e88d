"""Makes a functional Keras model, one call after another, and keeps a list of the calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops import sums
from tflrecover.ops.spec import Unsupported
from tflrecover.recovery.control import CONTROL
from tflrecover.recovery.layers import FakeQuantize, Slot, TensorFlowFunction, is_draw, is_tensor
from tflrecover.recovery.names import Names, snake_case
from tflrecover.recovery.shared import SharedLayers
from tflrecover.weight import Array

# Layers of our own that operators ask for by name, as for those of Keras.
_OWN: Mapping[Any, type] = {"FakeQuantize": FakeQuantize}


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One line of a model's code.

    Attributes:
        target: ``"layers.Conv2D"``, ``"ops.add"``, ``"tf.nn.depth_to_space"``, or ``"[]"`` for a part of a tensor;
            a class of the user's with its module.
        args: Tensors, arrays, numbers, and lists of them.
        arguments: By name; of a layer, its constructor's.
        result: What it gave.
        layer: The layer that was made, or None.
        named: What a layer was called with by name.
    """

    target: str
    args: tuple[Any, ...]
    arguments: dict[str, Any]
    result: Any
    layer: Any = None
    named: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class NestedModel:
    """A model that a layer calls (:class:`tflrecover.ops.spec.Nested`), and how it was made.

    Attributes:
        model: The model.
        inputs: What it was made on.
        outputs: What was made.
        calls: How, in order.
    """

    model: Any
    inputs: Sequence[Any]
    outputs: Sequence[Any]
    calls: Sequence[Call]


@dataclass(eq=False)
class ModelBuilder:
    """See :class:`tflrecover.ops.spec.Builder`.

    Attributes:
        names: Of the layers.
        calls: What was called, in order.
        wanted: Name for the next layer that is no helper; ``""`` lets its class decide.
        inner: What makes graphs inside.
        anchor: An input of the model, for layers that have none of their own.
    """

    names: Names
    calls: list[Call] = field(default_factory=list)
    wanted: str = ""
    inner: Callable[[Any, Sequence[Any]], NestedModel] | None = None
    anchor: Any = None
    _kept: list[tuple[Any, Any]] = field(default_factory=list)
    _shared: SharedLayers = field(default_factory=SharedLayers)

    def layer(
        self,
        kind: Any,
        *inputs: Any,
        weights: Sequence[Array] = (),
        call: Mapping[str, Any] | None = None,
        **arguments: Any,
    ) -> Any:
        """Calls a layer that is named after the operator: a new one, or the one that has these weights already."""
        wanted, self.wanted = self.wanted, ""
        return self._layer(kind, inputs, weights, arguments, wanted, call or {})

    def helper(self, kind: str, *inputs: Any, **arguments: Any) -> Any:
        """Calls a new layer that is named after its class."""
        return self._layer(kind, inputs, (), arguments, "", {})

    def unbuilt(self, kind: str, **arguments: Any) -> Any:
        """A layer that is not called; it is named after its class."""
        plain = {name: _plain(value) for name, value in arguments.items()}
        return getattr(keras.layers, kind)(**plain, name=snake_case(kind))

    def _layer(
        self,
        kind: Any,
        inputs: tuple[Any, ...],
        weights: Sequence[Array],
        arguments: Any,
        wanted: str,
        named: Mapping[str, Any],
    ) -> Any:
        if not any(map(is_tensor, _leaves(inputs))):
            if not weights or self.anchor is None:
                return self._computed(kind, inputs, weights, arguments, named)
            # What is made of a learned table trains, if a tensor of the model is in its place.
            inputs = tuple(self.constant(one, self.anchor) for one in inputs)
        plain = {name: _plain(value) for name, value in arguments.items() if value is not None}
        cls = _OWN.get(kind) or getattr(keras.layers, kind) if isinstance(kind, str) else kind
        is_plain = isinstance(kind, str) and kind not in _OWN
        target = f"layers.{kind}" if is_plain else f"{cls.__module__}.{cls.__qualname__}"
        key = self._shared.key(target, plain, weights) if weights else None
        found = None if key is None else self._shared.called(key, weights, inputs, named)
        if found is None:
            name = self.names.unique(wanted or snake_case(cls.__name__))
            made = cls(**plain, name=name)
            result = made(*inputs, **named)
            if is_plain and not made.weights and (dtype := _kept_type(inputs, result)) is not None:
                plain["dtype"] = dtype
                made = cls(**plain, name=name)
                result = made(*inputs, **named)
            if weights:
                made.set_weights([np.asarray(weight, np.float32) for weight in weights])
                self._shared.add(key, made)
        else:
            made, result = found
        self.calls.append(Call(target, inputs, plain, result, made, named))
        return result

    @staticmethod
    def _computed(
        kind: Any, inputs: tuple[Any, ...], weights: Sequence[Array], arguments: Any, named: Mapping[str, Any]
    ) -> Any:
        """What a layer makes of arrays alone, which is one."""
        cls = _OWN.get(kind) or getattr(keras.layers, kind) if isinstance(kind, str) else kind
        made = cls(**{name: _plain(value) for name, value in arguments.items() if value is not None})
        result = made(*inputs, **named)
        if weights:
            made.set_weights([np.asarray(weight, np.float32) for weight in weights])
            result = made(*inputs, **named)
        return [*map(np.asarray, result)] if isinstance(result, (list, tuple)) else np.asarray(result)

    def released(self, name: str) -> str:
        """The name of an output; what took the name on the way to it gets another."""
        for made in map(_operation, (call.result for call in self.calls)):
            if made.name == name:
                made.name = self.names.unique(name)
        return self.names.promised(name)

    def ops(self, name: str, *args: Any, **arguments: Any) -> Any:
        """Calls a function of ``keras.ops``; of constants alone, the result is one."""
        args = tuple(map(self._as_tensors, args))
        if name == "add":
            ordered = sums.in_order(*args)
            if ordered is None:
                return self.ops("subtract", args[0], self.ops("negative", args[1]))
            args = ordered
        result = getattr(keras.ops, name)(*args, **arguments)
        if not any(map(is_tensor, _leaves(args))):
            return np.asarray(result)
        self._name(result, snake_case(name))
        self.calls.append(Call(f"ops.{name}", args, arguments, result))
        return result

    def _as_tensors(self, arg: Any) -> Any:
        """Keras takes no arrays of texts or complex numbers; TensorFlow's tensors of them it does."""
        if isinstance(arg, (list, tuple)):
            return type(arg)(map(self._as_tensors, arg))
        return self.constant(arg, self.anchor) if isinstance(arg, np.ndarray) and arg.dtype.kind in "Oc" else arg

    def _name(self, result: Any, function: str) -> None:
        """Keras numbers functions over all models of a process, so that one may get the name of a layer."""
        wanted, self.wanted = self.wanted, ""
        _operation(result).name = self.names.unique(wanted or function)

    def tensorflow(self, name: str, *args: Any, **arguments: Any) -> Any:
        """Calls a function of TensorFlow through a layer."""
        inputs: list[Any] = []
        positional = [_slotted(arg, inputs) for arg in args]
        options = {key: _slotted(value, inputs) for key, value in arguments.items()}
        if not inputs and is_draw(name):
            inputs.append(self.anchor)
        if not inputs:
            found = TensorFlowFunction(name, positional, options).call([])
            return [np.asarray(one) for one in found] if isinstance(found, list) else np.asarray(found)
        return self._function(name, positional, options, inputs, Call(f"tf.{name}", args, arguments, None))

    def constant(self, array: Array, x: Any) -> Any:
        """An array as a tensor of the model: a layer that is called on ``x`` and does not look at it."""
        return self._function("identity", [array], {}, [x], Call("tf.identity", (array,), {}, None))

    def _function(
        self, name: str, positional: list[Any], options: dict[str, Any], inputs: list[Any], call: Call
    ) -> Any:
        wanted, self.wanted = self.wanted, ""
        unique = self.names.unique(wanted or snake_case(name.rpartition(".")[2]))
        made = TensorFlowFunction(name, positional, options, name=unique)
        result = made(inputs if len(inputs) > 1 else inputs[0])
        self.calls.append(replace(call, result=result, layer=made))
        return result

    def sliced(self, x: Any, index: tuple[Any, ...]) -> Any:
        """``x[index]``."""
        if not is_tensor(x):
            return x[index]
        result = x[index]
        self._name(result, "part")
        self.calls.append(Call("[]", (x, index), {}, result))
        return result

    def nested(self, graph: Any, inputs: Sequence[Any]) -> NestedModel:
        """A model for a graph that an operator has of its own."""
        if self.inner is None:
            raise Unsupported("it has a graph of its own")
        return self.inner(graph, inputs)

    def control(self, kind: str, inputs: Sequence[Any], /, **arguments: Any) -> Any:
        """Calls a new layer that calls models, or keeps something."""
        given = {name: _plain(value) for name, value in arguments.items() if value is not None}
        models = {name: value.model if isinstance(value, NestedModel) else value for name, value in given.items()}
        wanted, self.wanted = self.wanted, ""
        made = CONTROL[kind](**models, name=self.names.unique(wanted or snake_case(kind)))
        if not inputs:
            raise Unsupported("none of its operands depends on an input")
        result = made(list(inputs) if len(inputs) > 1 else inputs[0])
        self.calls.append(Call(f"tflrecover.{kind}", tuple(inputs), given, result, made))
        return result

    def state(self, initial: Array) -> Any:
        """What the call before left, and before the first one ``initial``."""
        x = self.control("State", [self.anchor], shape=initial.shape, kind=initial.dtype.name)
        self.calls[-1].layer.set_weights([initial])
        return x

    def keep(self, state: Any, left: Any) -> None:
        """Leaves a tensor for the next call; :meth:`kept` sees to it."""
        self._kept.append((state, left))

    def kept(self, output: Any) -> Any:
        """An output of the model; who asks for it keeps all states."""
        for state, left in self._kept:
            layer, inputs = state._keras_history.operation, (output, state, left)
            output = layer(list(inputs))
            self.calls.append(Call("tflrecover.State", inputs, {}, output, layer))
        return output

    def reshaped(self, x: Any, before: Shape, after: Shape) -> Any:
        """A tensor in another shape; where the batch is free, the axis that holds it stays free."""
        if not is_tensor(x):
            return np.reshape(x, after)
        free = [axis for axis, n in enumerate(x.shape) if n is None]
        if not free:
            if len(after) > 1 and x.shape[0] == after[0]:
                return self._reshape_layer(x, after[1:])
            return self.ops("reshape", x, after)
        if _is_swap(before, after) and free[0] in (0, 1) and before[free[0]] == 1:
            # For a batch of one a converter writes the transpose of batch and time as a reshape.
            return self.ops("transpose", x, (1, 0, *range(2, len(before))))
        if len(free) == 1 and _belongs_in_front(before, after, free[0]):
            order = (free[0], *(axis for axis in range(len(before)) if axis != free[0]))
            x = self.ops("transpose", x, order)
            return self.reshaped(x, tuple(before[axis] for axis in order), after)
        place, *others = dict.fromkeys(_place(before, after, axis) for axis in free)
        if others:
            if len(others) > 1 or place or after[0] != before[0]:
                raise Unsupported("several of its sizes are free")
            return self.layer("Reshape", x, target_shape=(*after[1 : others[0]], -1, *after[others[0] + 1 :]))
        if place == 0 and free == [0] and after[0] == before[0] and len(after) > 1:
            return self._reshape_layer(x, after[1:])
        return self.ops("reshape", x, (*after[:place], -1, *after[place + 1 :]))

    def _reshape_layer(self, x: Any, target: Shape) -> Any:
        if len(target) == 1 and len(x.shape) > 2:
            return self.layer("Flatten", x)
        return self.layer("Reshape", x, target_shape=target)

    def repeated(self, constant: Any, x: Any) -> Any:
        """A constant for every example of a tensor's batch, where that is free."""
        if is_tensor(constant) or not constant.ndim or x.shape[0] is not None:
            return constant
        one = self.sliced(x, (slice(None), *[slice(0, 1)] * (constant.ndim - 1)))
        zeros = self.ops("zeros_like", one, dtype=constant.dtype.name)
        return self.ops("add", zeros, constant)

    def broadcast(self, x: Any, before: Shape, after: Shape) -> Any:
        """A tensor repeated to a shape; a free batch stays free."""
        if not is_tensor(x):
            return np.broadcast_to(x, after)
        lead = len(after) - len(before)
        x = self.ops("expand_dims", x, tuple(range(lead))) if lead else x
        tiles = (*after[:lead], *(n // m for n, m in zip(after[lead:], before, strict=True)))
        return self.ops("tile", x, tiles) if any(n != 1 for n in tiles) else x


def _is_swap(before: Shape, after: Shape) -> bool:
    """Whether the first two axes are exchanged."""
    return len(before) > 1 and before[0] != before[1] and after == (before[1], before[0], *before[2:])


def _belongs_in_front(before: Shape, after: Shape, axis: int) -> bool:
    """Whether a batch of one behind other axes would be merged with one of them, though there is a place in front."""
    if not axis or before[axis] != 1 or after[:1] != (1,):
        return False
    return after[_place(before, after, axis)] != 1


def _place(before: Shape, after: Shape, axis: int) -> int:
    """The axis of the result that a free axis goes to, or into: the batch is the slowest of what an axis counts.

    Raises:
        Unsupported: it would be divided.
    """
    inside, count = math.prod(before[:axis]), 1
    for place, n in enumerate(after):
        if count == inside and (n == before[axis] or not axis):
            return place
        if count <= inside <= count * n and n != 1:
            return place
        count *= n
    raise Unsupported("it takes the batch apart")


def _operation(result: Any) -> Any:
    """The layer or the function that made a result."""
    return next(leaf for leaf in _leaves([result]) if is_tensor(leaf))._keras_history.operation


def _slotted(value: Any, inputs: list[Any]) -> Any:
    """An argument with its tensors taken out, in order."""
    if is_tensor(value):
        inputs.append(value)
        return Slot.INPUT
    return [_slotted(one, inputs) for one in value] if isinstance(value, (list, tuple)) else _plain(value)


def _plain(value: Any) -> Any:
    """A value that a configuration can hold; a tuple of one number repeated stays a tuple."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _leaves(args: Sequence[Any]) -> list[Any]:
    found: list[Any] = []
    for arg in args:
        found += _leaves(arg) if isinstance(arg, (list, tuple)) else [arg]
    return found


def _kept_type(inputs: Any, result: Any) -> str | None:
    """The type of integers that a layer would make real, as most do if they are told none; None where all is well."""
    types = {one.dtype for one in _leaves(inputs) if is_tensor(one)}
    dtype = types.pop() if len(types) == 1 else None
    is_whole = dtype is not None and (dtype.startswith(("int", "uint")) or dtype == "bool")
    return dtype if is_whole and is_tensor(result) and result.dtype != dtype else None
