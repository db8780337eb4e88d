"""Norms that a user's own code computes are Keras's layers, and go back into the file's terms."""

import keras
import pytest
import recurrent_models as recurrent
import tf_keras
from keras import layers as L
from keras import ops

from tests.recovery.recovering import kinds, recovered
from tests.recovery.round_trip import assert_exact

IMAGE, SEQUENCE = (6, 6, 4), (5, 6)


class Norm(keras.layers.Layer):
    """Along given axes, with a number per channel, in one of the forms that people write."""

    def __init__(self, axes, formula):
        super().__init__()
        self.axes, self.formula = axes, formula

    def build(self, shape):
        self.gamma = self.add_weight(shape=shape[-1:], name="gamma")
        self.beta = self.add_weight(shape=shape[-1:], name="beta")

    def call(self, x):
        mean = ops.mean(x, self.axes, keepdims=True)
        variance = ops.mean(ops.square(x - mean), self.axes, keepdims=True)
        return self.formula(x - mean, variance + 1e-3, self.gamma, self.beta)


@pytest.mark.parametrize("shape", [SEQUENCE, IMAGE])
def test_a_layer_norm_of_tf_keras(shape):
    """It is a fused batch norm on other axes there, whose offset is zeros."""
    inputs = tf_keras.layers.Input(shape, batch_size=1)
    made = tf_keras.Model(inputs, tf_keras.layers.LayerNormalization()(inputs))
    content = recurrent.convert(recurrent.randomize(made, 1), "builtin")
    assert kinds(recovered(content))[1:] == ["LayerNormalization"]
    assert assert_exact(content).inputs[0].shape == (None, *shape)


FORMULAS = {
    "divided": lambda d, v, gamma, beta: gamma * d / ops.sqrt(v) + beta,
    "scaled_before": lambda d, v, gamma, beta: gamma * d * ops.rsqrt(v) + beta,
    "scaled_behind": lambda d, v, gamma, beta: d * ops.rsqrt(v) * gamma + beta,
}


def file_of(function, shape):
    inputs = keras.Input(shape, batch_size=1)
    return recurrent.convert(recurrent.randomize(keras.Model(inputs, function(inputs)), 1), "builtin")


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_layer_norm(formula):
    content = file_of(lambda x: ops.relu(Norm(-1, FORMULAS[formula])(L.Dense(8)(x))), SEQUENCE)
    assert kinds(recovered(content))[1:] == ["Dense", "LayerNormalization", "ReLU"]
    assert assert_exact(content).inputs[0].shape == (None, *SEQUENCE)


@pytest.mark.parametrize("formula", FORMULAS)
def test_each_channel_for_itself(formula):
    content = file_of(lambda x: ops.relu(Norm((1, 2), FORMULAS[formula])(L.Conv2D(8, 3)(x))), IMAGE)
    model = recovered(content)
    assert kinds(model)[1:] == ["Conv2D", "GroupNormalization", "ReLU"]
    assert model.layers[2].groups == 8
    assert assert_exact(content).inputs[0].shape == (None, *IMAGE)


def test_groups_of_one_channel():
    """A converter takes the activation behind in, before the axes of the groups are merged."""
    content = file_of(lambda x: ops.relu(L.GroupNormalization(-1)(L.Conv2D(8, 3)(x))), IMAGE)
    assert kinds(recovered(content))[1:] == ["Conv2D", "GroupNormalization", "ReLU"]
    assert_exact(content)


def test_a_root_mean_square_without_a_scale():
    content = file_of(lambda x: L.Dense(3)(ops.rms_normalization(x, epsilon=1e-3)), SEQUENCE)
    model = recovered(content)
    assert [type(one).__name__ for one in model.operations][1:] == ["RMSNorm", "Dense"]
    assert_exact(content)
