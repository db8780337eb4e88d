"""What two people write otherwise, though it computes the same: a file of the one is ported into a model of the other.

Each needs rules of its own, whose names stand beside it.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from tests.core.porting import assert_ports


class Strided(layers.Layer):
    """A dilated convolution that goes in steps of two; or every second place of one that does not."""

    def __init__(self, is_sliced, **options):
        super().__init__(**options)
        self.is_sliced = is_sliced

    def build(self, shape):
        self.kernel = self.add_weight(shape=(3, 3, shape[-1], 4), name="kernel")

    def call(self, x):
        if self.is_sliced:
            return tf.nn.conv2d(x, self.kernel, 1, "SAME", dilations=2)[:, ::2, ::2]
        return tf.nn.conv2d(x, self.kernel, 2, "SAME", dilations=2)


class Positions(layers.Layer):
    """A table that is looked up at every place: once, or again for each example."""

    def __init__(self, is_repeated, **options):
        super().__init__(**options)
        self.is_repeated = is_repeated

    def build(self, shape):
        self.table = self.add_weight(shape=shape[1:], name="table")

    def call(self, x):
        places = ops.arange(x.shape[1])
        return x + ops.take(self.table, ops.tile(places[None], (x.shape[0], 1)) if self.is_repeated else places, axis=0)


def repeated(x):
    return layers.RepeatVector(6)(x)


def broadcast(x):
    return ops.broadcast_to(ops.expand_dims(x, 1), (1, 6, 4))


def pooled(interpolation):
    """What a pyramid of pools has of the whole image."""

    def middle(x):
        y = layers.GlobalAveragePooling2D(keepdims=True)(x)
        return ops.concatenate([x, layers.UpSampling2D(6, interpolation=interpolation)(y)], axis=-1)

    return middle


# The shape that is taken, and both ways to go on behind the first layer.
WAYS = {
    "zeros_to_pad": (
        (1, 8, 8, 4),
        lambda x: ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, 4))),
        lambda x: ops.concatenate([x, ops.zeros_like(x)], axis=-1),
    ),
    "drop_front_axes": (
        (3, 6, 5),
        lambda x: x - ops.mean(x, axis=0),
        lambda x: x - ops.mean(x, axis=0, keepdims=True),
    ),
    "fuse_strides": ((1, 9, 9, 4), lambda x: Strided(False)(x), lambda x: Strided(True)(x)),
    "tile_broadcasts": (  # three draws for each example, as Monte Carlo dropout takes them
        (6, 5),
        lambda x: ops.broadcast_to(x, (3, 6, 4)),
        lambda x: ops.tile(ops.expand_dims(x, 0), (3, 1, 1)),
    ),
    "repeat_pixels": ((1, 6, 6, 4), pooled("bilinear"), pooled("nearest")),
    "join_steps": (
        (1, 6, 5),
        lambda x: layers.TimeDistributed(layers.Dense(7, activation="tanh", name="each"), name="steps")(x),
        lambda x: layers.Dense(7, activation="tanh", name="each")(x),
    ),
    "squeeze_tiles": ((1, 5), repeated, broadcast),
    "drop_repeats": ((2, 6, 5), lambda x: Positions(False)(x), lambda x: Positions(True)(x)),
}


def network(shape, middle):
    def make():
        inputs = keras.Input(shape[1:], batch_size=shape[0])
        y = middle(layers.Dense(4, name="before")(inputs))
        return keras.Model(inputs, layers.Dense(3, name="behind")(y))

    return make


@pytest.mark.parametrize("pair", [(0, 1), (1, 0), (0, 0), (1, 1)], ids=["one", "other", "same", "same_other"])
@pytest.mark.parametrize("rules", WAYS)
def test_port(rules, pair):
    shape, *ways = WAYS[rules]
    made, wanted = (network(shape, ways[i]) for i in pair)
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    assert_ports(made, wanted, [x])


def test_an_activation_behind_what_repeats_is_one_before_it():
    """For sink_broadcasts."""
    made = network((1, 5), lambda x: ops.sigmoid(repeated(x)))
    wanted = network((1, 5), lambda x: repeated(ops.sigmoid(x)))
    assert_ports(made, wanted, [np.random.default_rng(0).normal(size=(1, 5)).astype("float32")])
