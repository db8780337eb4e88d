"""Recurrent layers whose steps a file writes out come back as layers."""

import numpy as np
import pytest
import recurrent_models as recurrent
import tensorflow as tf
from keras import layers as L

from tests.core.lite import converted, stripped
from tests.recovery.recovering import kinds, recovered
from tests.recovery.round_trip import assert_exact

STEPS, SIZE, UNITS = 4, 3, 5


def file_of(function):
    built = recurrent.randomize(recurrent.model(function, (STEPS, SIZE), batch=1), 1)
    return stripped(recurrent.convert(built, "builtin")), built


def one(kind, **arguments):
    return lambda x: getattr(L, kind)(UNITS, unroll=True, **arguments)(x)


def stacked(x):
    x = L.Bidirectional(L.LSTM(UNITS, unroll=True, return_sequences=True))(x)
    return L.SimpleRNN(UNITS, unroll=True)(L.GRU(UNITS, unroll=True, return_sequences=True, go_backwards=True)(x))


def encoded(x):
    sequence, *states = L.LSTM(UNITS, unroll=True, return_sequences=True, return_state=True)(x)
    return L.LSTM(UNITS, unroll=True, return_sequences=True)(sequence, initial_state=states)


@pytest.mark.parametrize(
    "function",
    [
        one("LSTM"),
        one("LSTM", return_sequences=True, use_bias=False),
        one("GRU"),
        one("GRU", reset_after=False, activation="relu"),
        one("SimpleRNN", return_sequences=True),
        stacked,
        encoded,
    ],
)
def test_keras_unrolls(function):
    """Of the first step a converter leaves a part, for it starts with zeros."""
    content, built = file_of(lambda x: L.Dense(2)(function(x)))
    model = assert_exact(content)
    recovered(content)
    assert kinds(model) == [type(layer).__name__ for layer in built.layers]
    assert all(map(np.array_equal, model.get_weights(), built.get_weights()))
    assert model.inputs[0].shape[0] is None


def arrays(*shapes):
    generator = np.random.default_rng(5)
    return [tf.constant(generator.normal(0, 0.4, shape), tf.float32) for shape in shapes]


def file(function):
    network = tf.function(function, input_signature=[tf.TensorSpec((1, STEPS, SIZE))])
    return converted(tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()]))


def lstm_of_pytorch(x):
    """One product for all steps, and a bias for the states, too."""
    kernel, recurrent_kernel, bias, other = arrays((SIZE, 4 * UNITS), (UNITS, 4 * UNITS), 4 * UNITS, 4 * UNITS)
    products = tf.reshape(tf.reshape(x, (STEPS, SIZE)) @ kernel + bias, (STEPS, 1, 4 * UNITS))
    h = c = tf.zeros((1, UNITS))
    made = []
    for step in range(STEPS):
        i, f, g, o = tf.split(products[step] + (h @ recurrent_kernel + other), 4, 1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        h = tf.sigmoid(o) * tf.tanh(c)
        made.append(tf.reshape(h, (1, 1, UNITS)))
    return tf.transpose(tf.concat(made, 0), (1, 0, 2))


def gru_of_pytorch(x, order=range(STEPS)):
    """What is kept is written as a difference."""
    kernel, recurrent_kernel, bias, other = arrays((SIZE, 3 * UNITS), (UNITS, 3 * UNITS), 3 * UNITS, 3 * UNITS)
    products = tf.reshape(tf.reshape(x, (STEPS, SIZE)) @ kernel + bias, (STEPS, 1, 3 * UNITS))
    h = tf.zeros((1, UNITS))
    for step in order:
        parts = zip(tf.split(products[step], 3, 1), tf.split(h @ recurrent_kernel + other, 3, 1), strict=True)
        (r, s), (z, y), (n, m) = parts
        n = tf.tanh(n + tf.sigmoid(r + s) * m)
        h = (h - n) * tf.sigmoid(z + y) + n
    return h


def lstm_of_tensorflow_1(x):
    """The item and the state are joined, and a number is added to the forget gate."""
    kernel, bias = arrays((SIZE + UNITS, 4 * UNITS), 4 * UNITS)
    h = c = tf.zeros((1, UNITS))
    for item in tf.unstack(x, axis=1):
        i, g, f, o = tf.split(tf.concat([item, h], 1) @ kernel + bias, 4, 1)
        c = c * tf.sigmoid(f + 1.0) + tf.sigmoid(i) * tf.tanh(g)
        h = tf.tanh(c) * tf.sigmoid(o)
    return h


def gru_of_tensorflow_1(x):
    """Two gates are parts of what one activation makes."""
    kernel, bias, other, its_bias = arrays((SIZE + UNITS, 2 * UNITS), 2 * UNITS, (SIZE + UNITS, UNITS), UNITS)
    h = tf.zeros((1, UNITS))
    for item in tf.unstack(x, axis=1):
        r, z = tf.split(tf.sigmoid(tf.concat([item, h], 1) @ kernel + bias), 2, 1)
        h = z * h + (1 - z) * tf.tanh(tf.concat([item, r * h], 1) @ other + its_bias)
    return h


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lstm_of_pytorch, "LSTM"),
        (gru_of_pytorch, "GRU"),
        (lambda x: gru_of_pytorch(x, range(STEPS)[::-1]), "GRU"),
        (lstm_of_tensorflow_1, "LSTM"),
        (gru_of_tensorflow_1, "GRU"),
    ],
)
def test_others_unroll(function, kind):
    content = file(function)
    assert kinds(recovered(content)) == ["InputLayer", kind]
    assert_exact(content)


@pytest.mark.parametrize("order", [(0, 1, 3, 2), (1, 1, 2, 3), (0, 1, 2)])
def test_steps_of_no_sequence_stay(order):
    """In another order, with one place twice, or of a part of the sequence: no layer reads it so."""
    assert "GRU" not in kinds(recovered(file(lambda x: gru_of_pytorch(x, order))))


def test_one_step_with_a_kernel_of_its_own_stays():
    """The first step is a part only, and its item's kernel another one."""
    kernel, first, recurrent_kernel = arrays((SIZE, UNITS), (SIZE, UNITS), (UNITS, UNITS))

    def network(x):
        h = tf.tanh(x[:, 0] @ first)
        for step in range(1, STEPS):
            h = tf.tanh(x[:, step] @ kernel + h @ recurrent_kernel)
        return h

    assert "SimpleRNN" not in kinds(recovered(file(network)))
