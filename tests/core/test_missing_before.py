"""What is missing is one difference, whatever parts, groups and transposes are otherwise behind it without it."""

import keras
import pytest
from keras import layers as L
from keras import ops

from tests.core.test_roots import named, root


def gated(is_whole=True):
    x = steps = keras.Input((12, 8), name="steps")
    x = L.Dense(8, activation="tanh", name="before")(x)
    x = L.Conv1D(16, 1, name="gates")(x) if is_whole else x
    x, gate = ops.split(x, 2, axis=-1)
    x = L.Multiply()([x, L.Activation("sigmoid")(gate)])
    return keras.Model(steps, L.Conv1D(3, 3, name="head")(x))


def grouped(is_whole=True):
    x = image = keras.Input((8, 6, 4), name="image")
    x = L.Conv2D(8, 3, activation="elu", name="stem")(x) if is_whole else x
    x = L.GroupNormalization(4, name="norm")(x)
    return keras.Model(image, L.Conv2D(3, 3, name="head")(x))


FIRST = {"data_format": "channels_first"}


def first(is_whole=True):
    x = image = keras.Input((3, 8, 6), name="image")
    x = L.ZeroPadding2D(1, **FIRST)(x)
    x = L.Conv2D(4, 3, name="conv", **FIRST)(x) if is_whole else x
    x = skip = L.ReLU()(L.BatchNormalization(axis=1, name="norm")(x))
    x = L.DepthwiseConv2D(3, padding="same", name="depthwise", **FIRST)(x)
    x = L.Add()([L.LeakyReLU(negative_slope=0.2)(x), skip])
    return keras.Model(image, L.Conv2D(3, 3, name="head", **FIRST)(x))


def flat(is_whole=True):
    x = image = keras.Input((3, 8, 6), name="image")
    x = L.Conv2D(4, 3, activation="relu", name="conv", **FIRST)(x)
    x = L.Flatten(**FIRST)(x) if is_whole else x
    return keras.Model(image, L.Dense(3, name="head")(x))


@pytest.mark.parametrize("build", [gated, grouped, first, flat])
def test_a_layer_is_missing_before_what_looks_otherwise_without_it(build):
    assert named(root(build, is_whole=False)) == ("missing", None, None)
