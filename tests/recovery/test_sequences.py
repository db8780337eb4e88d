"""Batch and time are exchanged for recurrent layers only: what a file exchanges twice, a model does not."""

import numpy as np
import recurrent_models as recurrent
import tensorflow as tf
import tf_keras
from keras import layers as L
from keras import ops

from tests.recovery.recovering import kinds, recovered
from tests.recovery.round_trip import assert_exact


def normed(units=4):
    """A norm without weights, which a converter moves in between."""
    layers = tf_keras.layers
    inputs = tf_keras.Input((5, 3), batch_size=1)
    x = layers.MultiHeadAttention(2, 4)(inputs, inputs)
    x = layers.LayerNormalization(center=False, scale=False)(x)
    model = tf_keras.Model(inputs, layers.GRU(units)(x))
    generator = np.random.default_rng(0)
    model.set_weights([generator.normal(0, 0.5, one.shape) for one in model.get_weights()])
    return tf.lite.TFLiteConverter.from_keras_model(model).convert()


def attended(x):
    """Scores of every step of a sequence, each with a query: of one example a reshape exchanges the axes again."""
    y = L.GRU(4, return_sequences=True)(x)
    query = L.Dense(4)(x)[:, :1]
    return L.Dense(2)(ops.max(ops.tanh(ops.expand_dims(query, 2) + y[:, None]), axis=(1, 2)))


def test_a_norm_before_a_recurrent_layer_takes_what_attention_gives():
    content = normed()
    assert "Transpose" not in [type(one).__name__ for one in recovered(content).operations]
    assert kinds(assert_exact(content))[1:] == ["MultiHeadAttention", "LayerNormalization", "GRU"]


def test_what_puts_the_batch_first_takes_it_first():
    content = recurrent.convert(recurrent.randomize(recurrent.model(attended, (5, 3), batch=1), 1), "builtin")
    assert "Transpose" not in [type(one).__name__ for one in recovered(content).operations]
    assert assert_exact(content).inputs[0].shape[0] is None
