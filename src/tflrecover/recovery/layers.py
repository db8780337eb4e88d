"""The classes that a recovered model may need besides Keras's own.

Keras has no name for some operators of TFLite (``DEPTH_TO_SPACE``, a resize with aligned corners). A model with such a
layer is loaded where this module was imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="tflrecover")
class TensorFlowFunction(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Calls a function of TensorFlow on its inputs.

    Args:
        function: Its name below ``tf``, for instance ``"nn.depth_to_space"``.
        arguments: Its positional arguments; None stands for the next input.
        options: Its arguments by name; those that are inputs are listed in ``names``.
        names: Names of the last inputs, which are given by name.
    """

    def __init__(
        self,
        function: str,
        arguments: Sequence[Any] = (),
        options: Mapping[str, Any] | None = None,
        names: Sequence[str] = (),
        **base: Any,
    ) -> None:
        super().__init__(trainable=False, **base)
        self.function = function
        self.arguments = list(arguments)
        self.options = dict(options or {})
        self.names = list(names)

    def call(self, inputs: Any) -> Any:
        """The function on one tensor, or on a list of them."""
        given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        named = dict(zip(self.names, given[len(given) - len(self.names) :], strict=True))
        free = iter(given)
        positional = [next(free) if argument is None else argument for argument in self.arguments]
        function: Any = tf
        for part in self.function.split("."):
            function = getattr(function, part)
        made = function(*positional, **self.options, **named)
        # A named tuple of results is no structure that Keras can take apart.
        return list(made) if isinstance(made, (list, tuple)) else made

    def get_config(self) -> dict[str, Any]:
        """What :meth:`from_config` takes."""
        own = {"function": self.function, "names": self.names, "options": self.options}
        arguments = [{"input": True} if argument is None else {"value": argument} for argument in self.arguments]
        config = super().get_config()
        del config["trainable"]
        return {**config, **own, "arguments": arguments}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TensorFlowFunction:
        """From what :meth:`get_config` gave, as it was or read from a file."""
        config = keras.saving.deserialize_keras_object(config)
        config["arguments"] = [argument.get("value") for argument in config["arguments"]]
        return cls(**config)


@keras.saving.register_keras_serializable(package="tflrecover")
class FakeQuantize(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Rounds real numbers to those that a quantized tensor can hold: ``scale * (integer - zero_point)``.

    The gradient goes through as if it only clipped.

    Args:
        scale: Of the tensor.
        zero_point: The integer that stands for zero.
        low: The smallest integer.
        high: The largest.
    """

    def __init__(self, scale: float, zero_point: int, low: int, high: int, **base: Any) -> None:
        super().__init__(trainable=False, **base)
        self.scale, self.zero_point, self.low, self.high = scale, zero_point, low, high

    def call(self, inputs: Any) -> Any:
        """The nearest of these numbers; half a step goes to the even integer, as in XNNPACK."""
        low, high = ((end - self.zero_point) * self.scale for end in (self.low, self.high))
        clipped = keras.ops.clip(inputs, low, high)
        rounded = keras.ops.round(clipped / self.scale) * self.scale
        return clipped + keras.ops.stop_gradient(rounded - clipped)

    def compute_output_spec(self, inputs: Any) -> Any:
        """A tensor of the same shape."""
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """What the constructor takes."""
        config = super().get_config()
        del config["trainable"]
        own = {"scale": self.scale, "zero_point": self.zero_point, "low": self.low, "high": self.high}
        return {**config, **own}


def is_tensor(value: Any) -> bool:
    """Whether an argument is a tensor of a model that is being made."""
    return isinstance(value, keras.KerasTensor)
