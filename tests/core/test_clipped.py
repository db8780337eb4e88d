"""Constants that the file could not store as they are: the ends of its numbers stand for what lies beyond."""

import keras
import keras_models as zoo
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L
from keras import ops
from test_quantized import convert
from weight_models import WEIGHTS

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


@pytest.mark.parametrize("name", ["bias_beside_mask", "bias_under_mask"])
def test_masks_of_half_precision(name):
    """The converter has computed with -65504 in the place of -1e9."""
    twin = zoo.randomize(WEIGHTS[name](), 2)
    assert tflrecover.port(stripped(convert(zoo.randomize(WEIGHTS[name](), 1), "fp16")), twin).ok


@pytest.mark.parametrize(("mode", "limit"), [("int8", 1e9), ("fp16", 1e12), ("fp16", 66000.0)])
def test_limit_beyond_what_the_file_stores(mode, limit):
    make = limited(limit)
    assert tflrecover.port(stripped(convert(make(1), mode)), make(2)).ok


@pytest.mark.parametrize(("mode", "limit", "wrong"), [("int8", 0.4, 0.2), ("fp16", 0.4, 0.401), ("fp16", 8, 1e9)])
def test_limit_that_the_file_stores(mode, limit, wrong):
    content = stripped(convert(limited(limit)(1), mode))
    (found,) = tflrecover.diff(content, limited(wrong)(2)).differences
    assert np.isclose(found.tflite_value, limit, rtol=1e-2)


@pytest.mark.parametrize("mode", ["int8", "int16x8"])
@pytest.mark.parametrize("high", [0.4, 50.0])
def test_bound_that_no_number_of_the_file_reaches(mode, high):
    """Where the numbers end, no bound beyond leaves a trace: it is the model's, which is said if it may be another."""

    def make(high):
        inputs = keras.Input(SHAPE[1:], batch_size=SHAPE[0])
        return zoo.randomize(keras.Model(inputs, ops.clip(L.Conv2D(4, 3)(inputs), -60.0, high) + 1.0), 1)

    content = stripped(convert(make(high), mode))
    report = tflrecover.port(content, make(high))
    assert "clip" in report.notes[0]
    assert "bound" in report.notes[0]
    # A narrower one would cut off what the file has.
    assert not tflrecover.diff(content, make(0.2)).ok


def test_constant_that_takes_the_grids_of_two():
    """A limit that two layers share is stored once, and quantized again for each of them."""

    def make(seed):
        inputs = keras.Input(SHAPE[1:], batch_size=SHAPE[0])
        x = L.Conv2D(6, 3)(inputs)
        width, height = (ops.exp(ops.minimum(part, 4.135)) for part in (x[..., :2], x[..., 2:] * 0.5))
        return zoo.randomize(keras.Model(inputs, [width, height * 2.0]), seed)

    content = stripped(convert(make(1), "int16x8"))
    assert tflrecover.port(content, make(2)).ok


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


def guarded(seed):
    """A guard against a root of zero lies between two steps of eight bits: the file has a zero in its place."""
    inputs = keras.Input(SHAPE[1:], batch_size=SHAPE[0])
    x = L.Conv2D(4, 3)(inputs)
    length = ops.sqrt(ops.maximum(ops.sum(ops.square(x), axis=-1, keepdims=True), 1e-7))
    return zoo.randomize(keras.Model(inputs, L.Conv2D(4, 1)(length)), seed)


class Token(L.Layer):
    """Stands in front of the others, and takes from them."""

    def build(self, shape):
        self.token = self.add_weight(shape=(1, 1, shape[-1]), name="token")
        self.gamma = self.add_weight(shape=shape[-1:], name="gamma")
        self.dense = L.Dense(shape[-1])

    def call(self, x):
        joined = ops.mean(ops.concatenate([self.token, x], axis=1), axis=1, keepdims=True)
        return self.token + self.gamma * self.dense(joined)


def token(seed):
    """A constant on the grid of what it is joined to is settled by that, unless it reaches the ends of the grid."""
    inputs = keras.Input(SHAPE[1:], batch_size=1)
    x = L.Reshape((-1, 6))(L.Conv2D(6, 3, strides=4)(inputs))
    return zoo.randomize(keras.Model(inputs, L.Dense(3)(Token()(x))), seed)


class Queries(L.Layer):
    """Learned rows that attend, and to which what they find is added."""

    def build(self, shape):
        self.rows = self.add_weight(shape=(1, 4, shape[-1]), name="rows")
        self.query, self.dense = L.Dense(shape[-1]), L.Dense(shape[-1])

    def call(self, x):
        rows = ops.repeat(self.rows, ops.shape(x)[0], axis=0)
        scores = ops.matmul(self.query(rows), ops.transpose(x, (0, 2, 1)))
        return rows + self.dense(ops.matmul(ops.softmax(scores), x))


def queries(seed):
    """A constant at the ends of its grid that no other operand tells alone comes before the sums that it is in."""
    inputs = keras.Input((10, 3))
    return zoo.randomize(keras.Model(inputs, L.Dense(3)(L.LayerNormalization()(Queries()(L.Dense(8)(inputs))))), seed)


def looked_up_twice(seed):
    """One table on two grids that reach beyond its numbers: both are as exact as their own steps, not finer."""
    places, place = keras.Input((6,), batch_size=1, dtype="int32"), keras.Input((1,), batch_size=1, dtype="int32")
    table = L.Embedding(9, 8)
    x = ops.concatenate([table(places) * 1.5 + 0.3, ops.tanh(table(place))], axis=1)
    return zoo.randomize(keras.Model([places, place], L.Dense(3)(x)), seed)


def colours(seed):
    """Where integers round the upper bound, a clamp between zero and one is two operators without a name."""
    inputs = keras.Input(SHAPE[1:], batch_size=SHAPE[0])
    x = ops.clip(L.Conv2D(4, 3)(inputs) * 0.5 + np.linspace(0.4, 0.5, 4, dtype="float32"), 0, 1)
    return zoo.randomize(keras.Model(inputs, x), seed)


def powers(seed):
    """A guard behind a clamp at zero is a second zero in the file."""
    inputs = keras.Input(SHAPE[1:], batch_size=SHAPE[0])
    x = ops.power(ops.maximum(ops.relu(L.Conv2D(4, 3)(inputs)), 1e-6), 3.0)
    return zoo.randomize(keras.Model(inputs, L.Dense(3)(ops.mean(x, axis=(1, 2)))), seed)


def in_integers(model):
    """Its file, calibrated on random inputs."""
    numbers = np.random.default_rng(0)

    def samples():
        for _ in range(8):
            yield [
                (numbers.integers(0, 9, shape) if x.dtype == "int32" else numbers.uniform(-1, 1, shape)).astype(x.dtype)
                for x, shape in ((x, (x.shape[0] or 1, *x.shape[1:])) for x in model.inputs)
            ]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    quantize(converter, "int8", samples)
    return stripped(converted(converter))


@pytest.mark.parametrize("make", [guarded, token, looked_up_twice, colours, powers, queries])
def test_constant_that_the_grid_of_an_activation_rounds(make):
    assert tflrecover.port(in_integers(make(1)), make(2)).ok


def one_hot(seed):
    """The converter keeps the numbers as integers of 8 bits until they are cast; what they mean are real ones."""
    return zoo.randomize(keras.Sequential([keras.Input((1,)), L.CategoryEncoding(6, "one_hot"), L.Dense(3)]), seed)


def test_cast_of_quantized_numbers():
    assert tflrecover.port(in_integers(one_hot(1)), one_hot(2)).ok
