"""Sizes that are free: what is the same on one size must be the same on another."""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from porting import assert_ports, assert_refused, differences

FREE, STEPS = (None, None, 3), (None, 5)


def free(function, shape=FREE):
    def make():
        inputs = keras.Input(shape)
        return keras.Model(inputs, function(inputs))

    return make


def conv(**settings):
    return L.Conv2D(4, 3, **settings)


SAME = {
    "strided": free(lambda x: conv(strides=2, padding="same")(x)),
    "pooled": free(lambda x: L.GlobalAveragePooling2D()(L.MaxPooling2D(padding="same")(conv()(x)))),
    "cropped": free(lambda x: conv()(x)[:, 1:-2]),
    "steps": free(lambda x: L.Dense(3)(ops.tanh(x)[:, -1]), STEPS),
}
# The file's model and another that does the same on one size only.
ALIKE = {
    "strided": (SAME["strided"], free(lambda x: conv(strides=2)(L.ZeroPadding2D(((0, 1), (0, 1)))(x)))),
    "max_pool": (
        free(lambda x: L.MaxPooling2D(padding="same")(conv(padding="same")(x))),
        free(lambda x: L.MaxPooling2D()(conv(padding="same")(x))),
    ),
    "global": (
        free(lambda x: ops.mean(conv(padding="same")(x), axis=(1, 2), keepdims=True)),
        free(lambda x: L.AveragePooling2D(16)(conv(padding="same")(x))),
    ),
    "slice": (free(lambda x: conv()(x)), free(lambda x: conv()(x[:, :16]))),
    "step": (SAME["steps"], free(lambda x: L.Dense(3)(ops.tanh(x)[:, 15]), STEPS)),
}


@pytest.mark.parametrize("name", sorted(SAME))
def test_port(name):
    shape = (1, 19, 21, 3) if name != "steps" else (1, 9, 5)
    assert_ports(SAME[name], inputs=[np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")])


@pytest.mark.parametrize("name", sorted(ALIKE))
def test_what_is_the_same_on_one_size_only_is_refused(name):
    right, wrong = ALIKE[name]
    assert differences(right, wrong)


def test_nothing_is_written():
    assert_refused(*ALIKE["strided"])
