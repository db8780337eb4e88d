"""Layers that a file holds as several operators."""

import numpy as np
import pytest
import recurrent_models as recurrent
from keras import layers as L

import tflrecover
from tests.core.lite import converted, stripped
from tests.recovery.recovering import kinds, recovered

IMAGE, SEQUENCE, OTHER = (6, 6, 4), (5, 6), (7, 3)


def attention(*given, **arguments):
    return L.MultiHeadAttention(2, 3, **arguments)(*given)


def block(x):
    """As in a transformer: nothing between the layers tells where one ends."""
    y = L.LayerNormalization()(x)
    x = x + attention(y, y)
    return x + L.Dense(6)(L.Dense(8, activation="gelu")(L.RMSNormalization()(x)))


NETWORKS = {
    "block": (block, SEQUENCE),
    "other_axes": (lambda x: L.LayerNormalization(axis=[1, 2], epsilon=0.1)(x), SEQUENCE),
    "no_offset": (lambda x: L.LayerNormalization(center=False)(x), SEQUENCE),
    "nothing_learned": (lambda x: L.LayerNormalization(center=False, scale=False)(x), IMAGE),
    "groups": (lambda x: L.GroupNormalization(groups=2)(x), IMAGE),
    "groups_of_a_vector": (lambda x: L.GroupNormalization(groups=2)(x), (6,)),
    "behind_a_reshape": (lambda x: L.LayerNormalization()(L.Reshape((-1, x.shape[-1]))(x)), IMAGE),
    "unit": (lambda x: L.UnitNormalization()(x), SEQUENCE),
    "other_sequence": (lambda x, y: attention(x, y, value_dim=4, output_shape=5), SEQUENCE, OTHER),
    "other_keys": (lambda x, y, z: attention(x, y, z, use_bias=False), SEQUENCE, OTHER, (7, 2)),
    "separable": (lambda x: L.SeparableConv2D(5, 3, padding="same", depth_multiplier=2)(x), IMAGE),
    "separable_strides": (lambda x: L.SeparableConv2D(5, 3, strides=2, use_bias=False, activation="relu")(x), IMAGE),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_each_is_one_layer_again(name):
    function, *shapes = NETWORKS[name]
    built = recurrent.randomize(recurrent.model(function, *shapes), 1)
    model = recovered(stripped(recurrent.convert(built, "builtin")))
    wanted = [layer for layer in built.layers if layer.weights or "Normalization" in type(layer).__name__]
    made = [layer for layer in model.layers if layer.weights or "Normalization" in type(layer).__name__]
    assert [type(layer) for layer in made] == [type(layer) for layer in wanted]
    for mine, theirs in zip(made, wanted, strict=True):
        for one, other in zip(mine.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
    assert all(tensor.shape[0] is None for tensor in model.inputs)


def test_those_of_tf_keras_are_of_keras():
    tf = pytest.importorskip("tensorflow")
    old = pytest.importorskip("tf_keras")

    x = inputs = old.Input((5, 6), batch_size=1)
    y = old.layers.LayerNormalization()(old.layers.GroupNormalization(2)(x))
    x = x + old.layers.MultiHeadAttention(2, 3)(y, y)
    x = old.layers.GRU(4, recurrent_activation="hard_sigmoid", return_sequences=True)(x)
    x = old.layers.Bidirectional(old.layers.SimpleRNN(3))(x)
    built = recurrent.randomize(old.Model(inputs, x), 1)
    model = recovered(converted(tf.lite.TFLiteConverter.from_keras_model(built)))
    wanted = ["GroupNormalization", "LayerNormalization", "MultiHeadAttention", "Add", "GRU", "Bidirectional"]
    assert kinds(model) == ["InputLayer", *wanted]


def test_another_scale_of_the_scores_stays_as_it_is():
    def network(x):
        q, k, v = (L.Reshape((5, 2, 3))(L.Dense(6)(x)) for _ in range(3))
        q, k, v = (L.Permute((2, 1, 3))(one) for one in (q, k, v))
        scores = L.Softmax()(q @ L.Permute((1, 3, 2))(k) * 0.3)
        return L.Dense(6)(L.Reshape((5, 6))(L.Permute((2, 1, 3))(scores @ v)))

    built = recurrent.randomize(recurrent.model(network, SEQUENCE), 1)
    model = recovered(recurrent.convert(built, "builtin"))
    assert "MultiHeadAttention" not in kinds(model)
    assert kinds(model).count("Dense") == 4


def test_a_softmax_along_several_axes_is_one_layer():
    content = recurrent.convert(recurrent.model(lambda x: L.Softmax(axis=[1, 2])(L.Conv2D(3, 1)(x)), IMAGE), "builtin")
    model = recovered(content)
    assert kinds(model) == ["InputLayer", "Conv2D", "Softmax"]
    assert list(model.layers[-1].axis) == [1, 2]
    assert tflrecover.port(content, model).ok
