"""Custom operators that nobody has registered: one of TensorFlow's is the same on both sides."""

import keras
import keras_models as zoo
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L

import tflrecover
from tflrecover.ir import Op
from tflrecover.ops.custom import attributes


class Erosion(L.Layer):
    def __init__(self, strides=1, rates=1, **kwargs):
        super().__init__(**kwargs)
        self.strides, self.rates = (1, strides, strides, 1), (1, rates, rates, 1)

    def build(self, shape):
        self.kernel = self.add_weight(name="kernel", shape=(3, 3, shape[-1]))

    def call(self, x):
        return -tf.nn.dilation2d(-x, self.kernel, self.strides, "SAME", "NHWC", self.rates)


def net(seed, **settings):
    inputs = keras.Input((16, 16, 3), batch_size=1)
    x = Erosion(name="erosion", **settings)(L.Conv2D(8, 3, name="stem")(inputs))
    return zoo.randomize(keras.Model(inputs, L.Conv2D(4, 1, name="head")(x)), seed)


@pytest.fixture(scope="module")
def file():
    converter = tf.lite.TFLiteConverter.from_keras_model(net(1, strides=2))
    converter.allow_custom_ops = True
    return converter.convert()


def test_it_is_ported(file):
    model = net(2, strides=2)
    assert tflrecover.port(file, model).ok
    image = np.random.default_rng(0).normal(size=(1, 16, 16, 3)).astype("float32")
    np.testing.assert_allclose(model(image), net(1, strides=2)(image), rtol=1e-6)


def test_what_differs_is_told(file):
    (difference,) = tflrecover.diff(file, net(2, strides=2, rates=2)).differences
    assert (difference.keras_layer, difference.attribute) == ("erosion", "rates")
    (difference,) = tflrecover.diff(file, net(2)).differences
    assert (difference.keras_layer, difference.attribute) == ("erosion", "strides")


def test_types_and_notes_are_left_out():
    types = {"T": 0, "Tidx": 2, "out_type": 3, "dtype": 1}
    told = {"Threshold": 2, "pool_type": "max", "sizes": [1, 2]}
    op = Op(0, "Mine", (0,), (1,), {"custom_options": {**types, "_XlaScope": "a", "none": [], **told}})
    assert attributes(op) == {"Threshold": 2, "pool_type": "max", "sizes": (1, 2)}
    raw = Op(0, "Mine", (0,), (1,), {"custom_options": [1, 2]})
    assert attributes(raw) == {"custom_options": (1, 2)}
