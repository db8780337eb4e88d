"""Classes that a source brings along, where Keras has no layer: those of tflrecover in their shortest form.

Their names, and the attributes that hold models, are those of the classes that they stand for: by these, weights are
found in a file.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from tflrecover.generation.literals import Unwritable
from tflrecover.recovery.control import CONTROL
from tflrecover.recovery.layers import FakeQuantize, TensorFlowFunction

FUNCTION = TensorFlowFunction.__name__
"""What calls functions of TensorFlow by their names."""

_FUNCTION = '''\
@keras.saving.register_keras_serializable("recovered")
class TensorFlowFunction(layers.Layer):
    """Calls a function of TensorFlow by its name; None stands for the next input."""

    def __init__(self, function, *args, name=None, **kwargs):
        super().__init__(name=name)
        self.function, self.given = function, (args, kwargs)

    def call(self, inputs):
        tensors = iter(inputs if isinstance(inputs, (list, tuple)) else [inputs])

        def filled(value):
            if isinstance(value, (list, tuple)):
                return [filled(one) for one in value]
            return next(tensors) if value is None else value

        args, kwargs = self.given
        args, kwargs = filled(args), {key: filled(one) for key, one in kwargs.items()}
        result = operator.attrgetter(self.function)(tf)(*args, **kwargs)
        return list(result) if isinstance(result, tuple) else result

    def compute_output_spec(self, inputs):
        # Keras takes a product with a constant for a sparse tensor.
        dense = keras.tree.map_structure(
            lambda one: keras.KerasTensor(one.shape, one.dtype), inputs
        )
        return super().compute_output_spec(dense)

    def load_own_variables(self, store):
        """Does nothing: the arrays in the file of weights are arguments here."""

    def get_config(self):
        args, kwargs = self.given
        own = {"args": [self.function, *args], "kwargs": dict(kwargs)}
        return {"name": self.name, **own}

    @classmethod
    def from_config(cls, config):
        config = keras.saving.deserialize_keras_object(config)
        return cls(*config["args"], name=config["name"], **config["kwargs"])
'''

_FAKE_QUANTIZE = '''\
@keras.saving.register_keras_serializable("recovered")
class FakeQuantize(layers.Layer):
    """Rounds to what integers of one scale stand for; the gradient goes through."""

    def __init__(
        self, scale, zero_point, low=-128, high=127, rounding="even", name=None
    ):
        super().__init__(name=name)
        self.scale, self.zero_point = np.float32(scale), zero_point
        self.low, self.high, self.rounding = low, high, rounding

    def call(self, inputs):
        low = (self.low - self.zero_point) * self.scale
        high = (self.high - self.zero_point) * self.scale
        clipped = ops.clip(inputs, low, high)
        rounded = self.rounded(clipped / self.scale) * self.scale
        return clipped + ops.stop_gradient(rounded - clipped)

    def rounded(self, steps):
        if self.rounding == "even":
            return ops.round(steps)
        stored = steps + self.zero_point
        nearly = (self.high - self.low) * 2.0**-23
        if self.rounding == "away":
            away = ops.floor(ops.abs(stored) + 0.5 + nearly)
            return ops.sign(stored) * away - self.zero_point
        half = 0.5 if self.rounding == "up" else 0.0
        return ops.floor(stored + nearly + half) - self.zero_point

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        own = {"scale": float(self.scale), "zero_point": self.zero_point}
        own |= {"low": self.low, "high": self.high, "rounding": self.rounding}
        return {"name": self.name, **own}
'''

_WHILE_LOOP = '''\
@keras.saving.register_keras_serializable("recovered")
class WhileLoop(layers.Layer):
    """Calls a model again and again: it gives the next states, and what is stacked.

    It takes the number of the turn, the states, and what else the loop is given. None
    among the initial states stands for the next input.
    """

    def __init__(
        self, body, condition=None, trips=None, initial=(), is_repeated=False, name=None
    ):
        super().__init__(name=name)
        self.body, self.condition, self.trips = body, condition, trips
        self.initial, self.is_repeated = tuple(initial), is_repeated

    def call(self, inputs):
        given = iter(keras.tree.flatten(inputs))
        states = [
            next(given) if one is None else ops.convert_to_tensor(one)
            for one in self.initial
        ]
        others, count = list(given), len(states)
        index = ops.convert_to_tensor(0)
        if self.is_repeated:
            made = keras.tree.flatten(self.body([index, *states, *others]))[:count]
            states = list(map(ops.broadcast_to, states, map(ops.shape, made)))
        size, is_open = self.trips or 0, self.trips is None
        lists = [
            tf.TensorArray(one.dtype, size, is_open, element_shape=one.shape)
            for one in self.body.outputs[count:]
        ]

        def goes_on(index, states, lists):
            if is_open:
                return ops.reshape(self.condition([index, *states, *others]), ())
            return index < self.trips

        def turn(index, states, lists):
            made = keras.tree.flatten(self.body([index, *states, *others]))
            items = enumerate(made[count:])
            lists = [lists[place].write(index, item) for place, item in items]
            return index + 1, made[:count], lists

        _, states, lists = tf.while_loop(
            goes_on, turn, (index, states, lists), maximum_iterations=self.trips
        )
        made = [*states, *(one.stack() for one in lists)]
        return made if len(made) > 1 else made[0]

    def compute_output_spec(self, inputs):
        count, outputs = len(self.initial), self.body.outputs
        made = [keras.KerasTensor(one.shape, one.dtype) for one in outputs[:count]]
        made += [
            keras.KerasTensor((self.trips, *one.shape), one.dtype)
            for one in outputs[count:]
        ]
        return made if len(made) > 1 else made[0]

    def get_config(self):
        own = {"body": self.body, "condition": self.condition, "trips": self.trips}
        own |= {"initial": list(self.initial), "is_repeated": self.is_repeated}
        return {"name": self.name, **keras.saving.serialize_keras_object(own)}

    @classmethod
    def from_config(cls, config):
        return cls(**keras.saving.deserialize_keras_object(config))
'''

_CONDITIONAL = '''\
@keras.saving.register_keras_serializable("recovered")
class Conditional(layers.Layer):
    """Calls one of two models, as its first input says."""

    def __init__(self, then, otherwise, name=None):
        super().__init__(name=name)
        self.then, self.otherwise = then, otherwise

    def call(self, inputs):
        given = keras.tree.flatten(inputs)
        test = ops.reshape(given[0], ())
        return ops.cond(test, lambda: self.then(given), lambda: self.otherwise(given))

    def compute_output_spec(self, inputs):
        def either(one, other):
            sizes = map(lambda n, m: n if n == m else None, one.shape, other.shape)
            return keras.KerasTensor(tuple(sizes), one.dtype)

        made = list(map(either, self.then.outputs, self.otherwise.outputs))
        return made if len(made) > 1 else made[0]

    def get_config(self):
        own = {"then": self.then, "otherwise": self.otherwise}
        return {"name": self.name, **keras.saving.serialize_keras_object(own)}

    @classmethod
    def from_config(cls, config):
        return cls(**keras.saving.deserialize_keras_object(config))
'''

_STATE = '''\
@keras.saving.register_keras_serializable("recovered")
class State(layers.Layer):
    """What one call of the model leaves for the next.

    Called on a list of an output, what was left, and what is to be left, it keeps the
    last and gives the first.
    """

    def __init__(self, shape, kind="float32", name=None):
        super().__init__(name=name)
        self.shape, self.kind = tuple(shape), kind
        self.value = self.add_weight(
            shape=self.shape, dtype=kind, initializer="zeros", trainable=False
        )

    def call(self, inputs):
        if not isinstance(inputs, (list, tuple)):
            return ops.convert_to_tensor(self.value)
        output, _, left = inputs
        self.value.assign(left)
        return output

    def get_config(self):
        return {"name": self.name, "shape": list(self.shape), "kind": self.kind}
'''

CLASSES: Mapping[str, str] = {
    FUNCTION: _FUNCTION,
    FakeQuantize.__name__: _FAKE_QUANTIZE,
    "WhileLoop": _WHILE_LOOP,
    "Conditional": _CONDITIONAL,
    "State": _STATE,
}
"""By name, in the order in which a source has them."""

OWN: tuple[type, ...] = (FakeQuantize, *CONTROL.values())
"""The classes that they stand for, where a call has one."""


def importable(kind: type, others: Mapping[str, str]) -> tuple[str, str]:
    """Name and module of a class of the user's, by which a source can import it.

    Args:
        kind: The class of a layer that a registered operator became.
        others: What is imported already.

    Raises:
        Unwritable: it is at the top of no module, or another class has its name.
    """
    name, module = kind.__qualname__, kind.__module__
    told = f"{name}, the layer of a registered operator"
    try:
        found = None if module == "__main__" else getattr(importlib.import_module(module), name, None)
    except ImportError:
        found = None
    if found is not kind:
        raise Unwritable(
            f"a source cannot import {told}, from {module}; move its class to the top level of a module of its own"
        )
    if name in CLASSES or others.get(name, module) != module:
        raise Unwritable(f"{told}, has the name of another class of the source; give it another")
    return name, module
