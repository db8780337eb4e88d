"""Layers that call other models: over and over, or one of two; and what is kept between calls.

They are Keras's own functions in the form of layers, so that a model with them can be saved. It is loaded where this
module was imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf


def _listed(tensors: Any) -> list[Any]:
    """A model of one output gives it, not a list of one; so it is with what a layer takes."""
    return list(tensors) if isinstance(tensors, (list, tuple)) else [tensors]


def _scalar(test: Any) -> Any:
    """A file may have a condition of one number with axes."""
    return keras.ops.reshape(test, ()) if test.shape else test


def _single(tensors: list[Any]) -> Any:
    return tensors if len(tensors) > 1 else tensors[0]


def _common(one: Sequence[int | None], other: Sequence[int | None]) -> tuple[int | None, ...]:
    return tuple(n if n == m else None for n, m in zip(one, other, strict=True))


class _WithModels(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """A layer whose arguments may be models."""

    def _own_config(self) -> Mapping[str, Any]:
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """What :meth:`from_config` takes."""
        own = {name: keras.saving.serialize_keras_object(value) for name, value in self._own_config().items()}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """From what :meth:`get_config` gave, as it was or read from a file."""
        return cls(**keras.saving.deserialize_keras_object(config))


@keras.saving.register_keras_serializable(package="tflrecover")
class WhileLoop(_WithModels):
    """Calls a model over and over: ``state = body(index, *states, *outside)``.

    Args:
        body: Takes the index of the iteration, the states, and what it uses from outside. It gives the next states,
            and then what is stacked over all iterations.
        condition: Takes the same, and says whether there is another iteration; None where ``trips`` says it.
        trips: Number of iterations, where it is known.
        initial: What the states begin with; None stands for the next input.
        is_repeated: Whether states begin with a shape that broadcasting brings to theirs.
    """

    def __init__(
        self,
        body: Any,
        condition: Any = None,
        trips: int | None = None,
        initial: Sequence[Any] = (),
        is_repeated: bool = False,
        **base: Any,
    ) -> None:
        super().__init__(**base)
        self.body, self.condition, self.trips = body, condition, trips
        # Keras would track a list, and tell arrays from it.
        self.initial = tuple(initial)
        self.is_repeated = is_repeated

    def call(self, inputs: Any) -> Any:
        """The states after the last iteration, then what was stacked."""
        given = iter(_listed(inputs))
        states = [next(given) if value is None else keras.ops.convert_to_tensor(value) for value in self.initial]
        outside, count = list(given), len(states)
        start = keras.ops.convert_to_tensor(0, "int32")
        if self.is_repeated:
            made = _listed(self.body([start, *states, *outside]))
            shapes = [keras.ops.shape(one) for one in made]
            states = [keras.ops.broadcast_to(state, shape) for state, shape in zip(states, shapes, strict=False)]
        lists = [
            tf.TensorArray(one.dtype, size=self.trips or 0, dynamic_size=self.trips is None, element_shape=one.shape)
            for one in self.body.outputs[count:]
        ]

        def goes_on(index: Any, now: Any, written: Any) -> Any:
            if self.condition is None:
                return index < self.trips
            return _scalar(_listed(self.condition([index, *now, *outside]))[0])

        def step(index: Any, now: Any, written: Any) -> Any:
            made = _listed(self.body([index, *now, *outside]))
            items = [one.write(index, item) for one, item in zip(written, made[count:], strict=True)]
            return index + 1, made[:count], items

        _, final, stacked = tf.while_loop(goes_on, step, (start, states, lists), maximum_iterations=self.trips)
        return _single([*final, *(one.stack() for one in stacked)])

    def compute_output_spec(self, inputs: Any) -> Any:
        """Keras need not run the loop to know."""
        count = len(self.initial)
        lead = [()] * count + [(self.trips,)] * (len(self.body.outputs) - count)
        pairs = zip(lead, self.body.outputs, strict=True)
        return _single([keras.KerasTensor((*first, *one.shape), one.dtype) for first, one in pairs])

    def _own_config(self) -> Mapping[str, Any]:
        models = {"body": self.body, "condition": self.condition}
        return {**models, "trips": self.trips, "initial": list(self.initial), "is_repeated": self.is_repeated}


@keras.saving.register_keras_serializable(package="tflrecover")
class Conditional(_WithModels):
    """Calls one of two models, as its first input says.

    Args:
        then: Takes all inputs; called where the first is true.
        otherwise: The same; called where it is false.
    """

    def __init__(self, then: Any, otherwise: Any, **base: Any) -> None:
        super().__init__(**base)
        self.then, self.otherwise = then, otherwise

    def call(self, inputs: Any) -> Any:
        """What the chosen model gives."""
        given = _listed(inputs)
        return keras.ops.cond(_scalar(given[0]), lambda: self.then(given), lambda: self.otherwise(given))

    def compute_output_spec(self, inputs: Any) -> Any:
        """Sizes that the two models do not have alike are free."""
        pairs = zip(self.then.outputs, self.otherwise.outputs, strict=True)
        return _single([keras.KerasTensor(_common(one.shape, other.shape), one.dtype) for one, other in pairs])

    def _own_config(self) -> Mapping[str, Any]:
        return {"then": self.then, "otherwise": self.otherwise}


@keras.saving.register_keras_serializable(package="tflrecover")
class State(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """What one call of a model leaves for the next.

    Called on a tensor it gives what was left. Called on a list of an output of the model, what was left, and what is to
    be left, it keeps the last and gives the output.

    Args:
        shape: Of what is kept.
        kind: Type of its numbers.
    """

    def __init__(self, shape: Sequence[int], kind: str = "float32", **base: Any) -> None:
        super().__init__(**base)
        self.shape, self.kind = tuple(shape), kind
        self.value = self.add_weight(shape=self.shape, dtype=kind, initializer="zeros", trainable=False, name="value")

    def call(self, inputs: Any) -> Any:
        """What was left, or the output."""
        if not isinstance(inputs, (list, tuple)):
            return keras.ops.convert_to_tensor(self.value)
        output, _, left = inputs
        self.value.assign(left)
        return output

    def get_config(self) -> dict[str, Any]:
        """What :meth:`from_config` takes."""
        return {**super().get_config(), "shape": list(self.shape), "kind": self.kind}


CONTROL = {"WhileLoop": WhileLoop, "Conditional": Conditional, "State": State}
"""By name, as builders call them."""
