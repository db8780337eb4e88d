"""The classes that a recovered model may need besides Keras's own.

Keras has no name for some operators of TFLite (``DEPTH_TO_SPACE``, a resize with aligned corners). A model with such a
layer is loaded where this module was imported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework import op_def_registry

# Arrays of more numbers are saved among the weights; smaller ones can be read in the configuration.
_MOST_WRITTEN = 64
# What float32 makes of the integers of a range, relative to that range: a few roundings.
_NEARLY = 2.0**-23
# Functions of TensorFlow's own name space, and modules all of whose functions only compute.
_FUNCTIONS = frozenset(
    {
        "abs",
        "batch_to_space",
        "bitcast",
        "broadcast_dynamic_shape",
        "cast",
        "complex",
        "cumsum",
        "fill",
        "fingerprint",
        "gather",
        "gather_nd",
        "identity",
        "one_hot",
        "range",
        "reverse_sequence",
        "scatter_nd",
        "space_to_batch",
        "tensor_scatter_nd_update",
        "truncatediv",
        "unique",
        "where",
    }
)
_MODULES = frozenset({"image", "linalg", "math", "nn", "raw_ops", "signal", "strings"})
# Of the operators, those that reach outside; of those that keep a state, those that only draw.
_OUTSIDE = re.compile(
    r"File|Py|Debug|Save|Restore|Checkpoint|Reader|Writer|Dataset|Iterator|Print|Send|Recv|Rpc|Summary|Library|Queue"
)
_DRAWS = frozenset({"Multinomial", "RandomStandardNormal", "RandomUniform", "RandomUniformInt", "TruncatedNormal"})


def is_draw(name: str) -> bool:
    """Whether a function of TensorFlow, by its name below ``tf``, gives other numbers each time."""
    return name.rpartition(".")[2] in _DRAWS


class Slot(Enum):
    """Stands among the arguments of a function for the next of the layer's inputs."""

    INPUT = "input"


def tensorflow_function(name: str) -> Callable[..., Any]:
    """The function of TensorFlow of that name, where it only computes.

    A file or a saved model names it, and may be anybody's: nothing that reads, writes or runs something else is called.

    Raises:
        ValueError: there is none, or it does more than compute.
    """
    module, _, last = name.rpartition(".")
    is_allowed = last in _FUNCTIONS if not module else module in _MODULES and not last.startswith("_")
    if module == "raw_ops":
        definition = op_def_registry.get(last)
        is_allowed = definition is not None and not _OUTSIDE.search(last)
        is_allowed = is_allowed and (not definition.is_stateful or last in _DRAWS)
    if not is_allowed:
        raise ValueError(f"{name!r} is no function of TensorFlow that only computes")
    found: Any = tf
    for part in name.split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return]


@keras.saving.register_keras_serializable(package="tflrecover")
class TensorFlowFunction(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Calls a function of TensorFlow on its inputs.

    Args:
        function: Its name below ``tf``, for instance ``"nn.depth_to_space"``.
        arguments: Its positional arguments: values, arrays, :attr:`Slot.INPUT`, and lists of them.
        options: Its arguments by name; inputs among them come after those among the positional ones.
    """

    def __init__(
        self, function: str, arguments: Sequence[Any] = (), options: Mapping[str, Any] | None = None, **base: Any
    ) -> None:
        super().__init__(trainable=False, **base)
        self.function = function
        # Keras would track lists, and tell arrays from them.
        self.arguments, self.options = tuple(arguments), dict(options or {})

    @property
    def is_constant(self) -> bool:
        """Whether it takes an input only to have a place in the model."""
        found: list[Any] = []
        _mapped([*self.arguments, *self.options.values()], found.append)
        return Slot.INPUT not in [value for value in found if isinstance(value, Slot)]

    def call(self, inputs: Any) -> Any:
        """The function on one tensor, or on a list of them."""
        given = iter(inputs if isinstance(inputs, (list, tuple)) else [inputs])

        def filled(value: Any) -> Any:
            return next(given) if value is Slot.INPUT else value

        positional = _mapped(self.arguments, filled)
        options = {name: _mapped(value, filled) for name, value in self.options.items()}
        made = tensorflow_function(self.function)(*positional, **options)
        # A named tuple of results is no structure that Keras can take apart.
        return list(made) if isinstance(made, (list, tuple)) else made

    def compute_output_spec(self, inputs: Any) -> Any:
        """What the function gives for dense tensors: Keras takes a product with a constant for a sparse one."""
        dense = _mapped(inputs, lambda one: keras.KerasTensor(one.shape, one.dtype))
        return super().compute_output_spec(dense)

    def get_config(self) -> dict[str, Any]:
        """What :meth:`from_config` takes."""
        stored: list[Any] = []

        def written(value: Any) -> Any:
            return _written(value, stored)

        arguments = _mapped(self.arguments, written)
        options = {name: _mapped(value, written) for name, value in self.options.items()}
        config = super().get_config()
        del config["trainable"]
        return {**config, "function": self.function, "arguments": arguments, "options": options}

    def _stored(self) -> list[Any]:
        """The arrays that are saved among the weights, in order."""
        stored: list[Any] = []
        _mapped([*self.arguments, *self.options.values()], lambda value: _written(value, stored))
        return stored

    def save_own_variables(self, store: Any) -> None:
        """Puts large arrays among the weights."""
        for i, array in enumerate(self._stored()):
            store[str(i)] = array

    def load_own_variables(self, store: Any) -> None:
        """Takes them back."""
        for i, array in enumerate(self._stored()):
            array[...] = store[str(i)]

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TensorFlowFunction:
        """From what :meth:`get_config` gave, as it was or read from a file."""
        config = dict(config)
        arguments, options = config.pop("arguments"), config.pop("options")
        return cls(
            arguments=_mapped(arguments, _read), options={k: _mapped(v, _read) for k, v in options.items()}, **config
        )


def _mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    """Lists stay lists of what the function makes of their items."""
    return [_mapped(one, function) for one in value] if isinstance(value, (list, tuple)) else function(value)


def _written(value: Any, stored: list[Any]) -> Any:
    """A value as JSON; a large array is put into ``stored``, and only its shape is written."""
    if value is Slot.INPUT:
        return {"input": True}
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype.kind in "OSU":
        return {"text": [bytes(one).decode("latin-1") for one in value.ravel()], "shape": list(value.shape)}
    if value.size <= _MOST_WRITTEN and value.dtype.kind != "c":
        return {"array": value.tolist(), "shape": list(value.shape), "dtype": value.dtype.name}
    stored.append(value)
    return {"shape": list(value.shape), "dtype": value.dtype.name}


def _read(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "input" in value:
        return Slot.INPUT
    if "text" in value:
        return np.array([one.encode("latin-1") for one in value["text"]], object).reshape(value["shape"])
    return np.array(value["array"] if "array" in value else np.zeros(value["shape"]), value["dtype"]).reshape(
        value["shape"]
    )


@keras.saving.register_keras_serializable(package="tflrecover")
class FakeQuantize(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Rounds real numbers to those that a quantized tensor can hold: ``scale * (integer - zero_point)``.

    The gradient goes through as if it only clipped.

    Args:
        scale: Of the tensor.
        zero_point: The integer that stands for zero.
        low: The smallest integer.
        high: The largest.
        rounding: Where half a step goes, as the kernels have it: ``"even"`` to the even number of steps, ``"up"`` to
            the larger integer, ``"away"`` to the one that is farther from zero. ``"down"``: no step is begun.
    """

    def __init__(
        self,
        scale: float,
        zero_point: int,
        low: int = -128,
        high: int = 127,
        rounding: Literal["even", "up", "away", "down"] = "even",
        **base: Any,
    ) -> None:
        super().__init__(trainable=False, **base)
        self.scale, self.zero_point, self.low, self.high = scale, zero_point, low, high
        self.rounding = rounding

    def call(self, inputs: Any) -> Any:
        """The nearest of these numbers."""
        low, high = ((end - self.zero_point) * self.scale for end in (self.low, self.high))
        clipped = keras.ops.clip(inputs, low, high)
        rounded = self._rounded(clipped / self.scale) * self.scale
        return clipped + keras.ops.stop_gradient(rounded - clipped)

    def _rounded(self, steps: Any) -> Any:
        if self.rounding == "even":
            return keras.ops.round(steps)
        # What is half in integers is nearly so in float32.
        stored, nearly = steps + self.zero_point, (self.high - self.low) * _NEARLY
        if self.rounding == "away":
            away = keras.ops.floor(keras.ops.abs(stored) + 0.5 + nearly)
            return keras.ops.sign(stored) * away - self.zero_point
        return keras.ops.floor(stored + nearly + (0.5 if self.rounding == "up" else 0.0)) - self.zero_point

    def compute_output_spec(self, inputs: Any) -> Any:
        """A tensor of the same shape."""
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """What the constructor takes."""
        config = super().get_config()
        del config["trainable"]
        own = {"scale": self.scale, "zero_point": self.zero_point, "low": self.low, "high": self.high}
        return {**config, **own, "rounding": self.rounding}


def is_tensor(value: Any) -> bool:
    """Whether an argument is a tensor of a model that is being made."""
    return isinstance(value, keras.KerasTensor)
