"""One planted fault is one root difference: networks over steps, and blocks that many networks are made of."""

import keras
from keras import layers as L

from tests.core.test_roots import named, root


def separable(norm=L.BatchNormalization, last=lambda: L.LayerNormalization(epsilon=1e-5, name="last")):
    steps = keras.Input((12, 8), name="steps")
    x = L.DepthwiseConv1D(5, padding="same", name="depthwise")(steps)
    x = L.Dense(8, name="wide")(L.Activation("silu", name="act")(norm(name="norm")(x)))
    return keras.Model(steps, L.Dense(3, name="head")(last()(x)))


def test_who_only_reshapes_before_a_norm_is_not_too_many():
    difference = root(separable, norm=L.LayerNormalization)
    assert named(difference) == ("extra", "norm", None)
    assert difference.layers == ("norm",)


def test_a_norm_of_another_class_with_an_epsilon_of_its_own():
    difference = root(separable, last=lambda: L.RMSNormalization(name="last"))
    assert named(difference) == ("attribute", "last", "layer")
    assert difference.tflite_value == "LayerNormalization(epsilon=1e-05)"
