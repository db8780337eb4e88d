"""Small networks, made call by call as a recovery makes them: no file is converted for them."""

import keras
import numpy as np

from tflrecover.recovery import Recovered
from tflrecover.recovery.builder import ModelBuilder
from tflrecover.recovery.names import Names


class Network:
    """Makes a model; every layer gets weights at random."""

    def __init__(self, *shapes, name="network"):
        self.inputs = [keras.Input(shape, name=f"input_{i}") for i, shape in enumerate(shapes)]
        self.builder = ModelBuilder(Names(tuple(x.name for x in self.inputs)))
        self.name = name

    def layer(self, kind, *inputs, wanted="", **arguments):
        self.builder.wanted = wanted
        return self.builder.layer(kind, *inputs, **arguments)

    def recovered(self, *outputs):
        inputs = self.inputs if len(self.inputs) > 1 else self.inputs[0]
        model = keras.Model(inputs, list(outputs), name=self.name)
        generator = np.random.default_rng(3)
        model.set_weights([generator.normal(size=w.shape).astype("float32") for w in model.get_weights()])
        return Recovered(model, self.builder.calls)


def residual(net, x, filters, strides=1):
    """Depthwise, pointwise, and the input added where that fits."""
    y = net.layer("DepthwiseConv2D", x, kernel_size=(3, 3), strides=(strides, strides), padding="same")
    y = net.layer("Conv2D", y, filters=filters, kernel_size=(1, 1))
    if strides == 1:
        y = net.layer("Add", [x, y])
    return net.layer("ReLU", y)


def pyramid():
    """Three stages of one block that shrinks and two that do not, and two heads."""
    net = Network((16, 16, 3))
    x = net.layer("Conv2D", net.inputs[0], filters=8, kernel_size=(3, 3), padding="same", activation="relu")
    for filters in (16, 24, 32):
        x = residual(net, x, filters, strides=2)
        for _ in range(3):
            x = residual(net, x, filters)
    boxes = net.layer("Conv2D", x, filters=4, kernel_size=(1, 1), wanted="boxes")
    scores = net.layer("Conv2D", x, filters=1, kernel_size=(1, 1), wanted="scores")
    return net.recovered(boxes, scores)


def random_network(seed):
    """Steps of many kinds on tensors picked at random; some of them are repeated, with other numbers."""
    generator = np.random.default_rng(seed)
    net = Network((6,), (6,))
    tensors = list(net.inputs)

    def pick():
        return tensors[generator.integers(max(0, len(tensors) - 4), len(tensors))]

    def step(kind, units):
        x, y = pick(), pick()
        if kind == "dense":
            return net.layer("Dense", x, units=6, activation=("relu", None)[units % 2])
        if kind == "wide":
            return net.layer("Dense", net.layer("Dense", x, units=units), units=6)
        if kind == "add":
            return net.layer("Add", [x, y]) if x is not y else net.layer("ReLU", x)
        if kind == "constant":
            return net.builder.ops("multiply", x, generator.normal(size=6).astype("float32"))
        if kind == "large":
            table = generator.normal(size=(6, 6)).astype("float32")
            return net.builder.ops("matmul", x, table)
        part = net.builder.sliced(x, (slice(None), slice(0, 3)))
        return net.layer("Concatenate", [part, net.builder.sliced(y, (slice(None), slice(3, None)))])

    kinds = generator.choice(["dense", "wide", "add", "constant", "large", "parts"], 5)
    for turn in range(6):
        for kind in kinds if turn != 3 else kinds[::-1]:
            tensors.append(step(kind, int(generator.integers(2, 20))))
    return net.recovered(*tensors[-2:])


@keras.saving.register_keras_serializable(package="tests")
class Twice(keras.layers.Layer):
    """A layer of a user's: its input times a kernel, twice."""

    def __init__(self, factor=2, **base):
        super().__init__(**base)
        self.factor = factor

    def build(self, shape):
        self.kernel = self.add_weight(shape=shape[-1:], name="kernel")

    def call(self, x):
        return x * self.kernel * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}
