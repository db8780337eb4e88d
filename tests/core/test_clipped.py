"""Constants that the file could not store as they are: the ends of its numbers stand for what lies beyond."""

import keras
import keras_models as zoo
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L
from keras import ops
from test_quantized import convert

import tflrecover
from tests.core.lite import converted, quantize, stripped

SHAPE = (2, 16, 16, 3)


def limited(limit):
    """Values below one, under a limit."""

    def make(seed):
        inputs = keras.Input(SHAPE[1:], batch_size=SHAPE[0])
        x = ops.minimum(ops.sigmoid(L.Conv2D(40, 3)(inputs)), ops.convert_to_tensor(limit))
        return zoo.randomize(keras.Model(inputs, L.Conv2D(4, 1)(x)), seed)

    return make


@pytest.mark.parametrize(("mode", "limit"), [("int8", 1e9), ("fp16", 1e12), ("fp16", 66000.0)])
def test_limit_beyond_what_the_file_stores(mode, limit):
    make = limited(limit)
    assert tflrecover.port(stripped(convert(make(1), mode)), make(2)).ok


@pytest.mark.parametrize(("mode", "limit", "wrong"), [("int8", 0.4, 0.6), ("fp16", 0.4, 0.401), ("fp16", 8, 1e9)])
def test_limit_that_the_file_stores(mode, limit, wrong):
    content = stripped(convert(limited(limit)(1), mode))
    (found,) = tflrecover.diff(content, limited(wrong)(2)).differences
    assert np.isclose(found.tflite_value, limit, rtol=1e-2)


MANY = np.array([-1e9, 0.1, 3.0, 0.0], "float32")


@pytest.mark.parametrize("place", range(4))
def test_a_large_number_hides_no_other(place):
    def make(constant):
        inputs = keras.Input((4,))
        return zoo.randomize(keras.Model(inputs, ops.tanh(ops.relu(inputs) + constant)), 1)

    other = MANY.copy()
    other[place] = other[place] * 1.01 + 0.001
    content = stripped(zoo.convert(make(MANY)))
    assert tflrecover.diff(content, make(MANY)).ok
    assert not tflrecover.diff(content, make(other)).ok


def capped(seed):
    inputs = keras.Input((5,), batch_size=1, dtype="int32")
    embedding = L.ReversibleEmbedding(10, 4, logit_soft_cap=5.0)
    return zoo.randomize(keras.Model(inputs, embedding(L.Dense(4)(embedding(inputs)), reverse=True)), seed)


def test_table_that_only_a_scaled_kernel_has_whole():
    """The grid of a looked-up table ends at the rows that the calibration saw."""

    def few():
        for start in range(3):
            yield [np.arange(start, start + 5, dtype="int32")[None] % 6]

    original, twin = capped(1), capped(2)
    table = original.get_layer(index=1).embeddings
    table.assign(table.numpy() * np.where(np.arange(10) < 6, 1, 2)[:, None])
    converter = tf.lite.TFLiteConverter.from_keras_model(original)
    quantize(converter, "int8", few)
    tflrecover.port(stripped(converted(converter)), twin)
    (wanted, got) = (model.get_layer(index=1).embeddings.numpy() for model in (original, twin))
    np.testing.assert_allclose(got, wanted, atol=0.01 * np.abs(wanted).max())


def test_integers_are_exact():
    def make(number):
        inputs = keras.Input((4,), dtype="int32")
        return keras.Model(inputs, ops.mod(inputs, number))

    content = zoo.convert(make(10000001))
    assert tflrecover.diff(content, make(10000001)).ok
    assert not tflrecover.diff(content, make(10000003)).ok
