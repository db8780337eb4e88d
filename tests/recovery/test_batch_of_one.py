"""A file of batch 1, in which a converter has moved or left out the batch: it is free again, and ported back."""

import keras
import numpy as np
import pytest
import recurrent_models as recurrent
from keras import layers as L
from keras import ops

import tflrecover
from tests.recovery.recovering import kinds, recovered
from tests.recovery.round_trip import assert_exact


def text_lines(x):
    """Columns of an image are steps; the reshape and the exchange of batch and time are one."""
    x = L.MaxPooling2D(2)(L.Conv2D(4, 3, padding="same", activation="relu")(x))
    x = L.Dense(6, activation="relu")(L.Reshape((4, 12))(x))
    return L.Bidirectional(L.LSTM(3, return_sequences=True))(x)


def additive(x):
    """Queries get an axis for the keys."""
    query, value = L.LSTM(4, return_sequences=True)(x), L.Dense(4)(x)
    return L.Dense(3)(L.AdditiveAttention()([query, value]))


def turned_points(x):
    """A matrix of each example for the points of that example, between layers over steps."""
    x = L.Conv1D(4, 1, activation="relu")(x)
    y = L.Reshape((4, 4))(L.Dense(16)(L.GlobalMaxPooling1D()(x)))
    return L.Conv1D(3, 1)(ops.matmul(x, y))


class Votes(keras.layers.Layer):
    """A matrix for each step."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[1], 3, shape[2], 2), name="kernel")

    def call(self, x):
        return ops.einsum("bni,njio->bnjo", x, self.kernel)


def capsules(x):
    votes = Votes()(x)
    return ops.sum(votes * 0.2, axis=1)


def mixed(x):
    """A product from the left needs two axes, without the batch."""
    places = np.cos(np.outer(np.arange(5), np.arange(5))).astype("float32")
    y = ops.einsum("ts,bsd->btd", places, L.Dense(6)(x))
    return L.LayerNormalization()(x + y)


NETWORKS = {
    "text_lines": (text_lines, (8, 6, 1), ["Bidirectional"]),
    "additive": (additive, (5, 6), ["LSTM"]),
    "turned_points": (turned_points, (5, 6), []),
    "capsules": (capsules, (5, 6), []),
    "mixed": (mixed, (5, 6), ["LayerNormalization"]),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_is_free_and_ported_back(name):
    function, shape, wanted = NETWORKS[name]
    inputs = keras.Input(shape, batch_size=1)
    built = recurrent.randomize(keras.Model(inputs, function(inputs)), 1)
    content = recurrent.convert(built, "builtin")
    model = recovered(content)
    assert model.inputs[0].shape == (None, *shape)
    assert set(wanted) <= set(kinds(model))
    x = np.random.default_rng(4).normal(size=(3, *shape)).astype("float32")
    alone = np.concatenate([built(x[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(model(x), alone, rtol=0, atol=1e-5 * np.abs(alone).max())
    # Constants that were weights are none that train.
    if model.get_weights():
        assert_exact(content)


class Centre(keras.layers.Layer):
    """What stands at the brightest place says whether another map is large there: at most a little of each result."""

    def call(self, maps):
        import tensorflow as tf

        heat, sizes = maps
        place = tf.argmax(tf.reshape(heat, (1, -1)), axis=1, output_type=tf.int32)
        row = place // 4
        found = tf.gather_nd(sizes, tf.stack([row, place - row * 4], axis=-1), batch_dims=1)
        return tf.cast(row, tf.float32)[:, None] + tf.cast(found > 1e6, tf.float32)


def test_what_is_read_of_another_example_keeps_the_batch():
    """Of the place a converter makes one in the first example, and no output tells it on random images."""
    image = keras.Input((4, 4, 2), batch_size=1, dtype="int32")
    x = ops.cast(image, "float32")
    centres = Centre()([L.Conv2D(1, 1)(x), L.Conv2D(3, 1)(x)])
    built = recurrent.randomize(keras.Model(image, centres), 1)
    content = recurrent.convert(built, "builtin")
    model = recovered(content)
    # Integers stay what they are between layers, too.
    assert {"GATHER_ND", "FLOOR_DIV", "SUB"} <= {op.type for op in tflrecover.read(content).graph.ops()}
    assert model.inputs[0].shape == (1, 4, 4, 2)
    assert_exact(content)
