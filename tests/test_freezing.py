"""Layers are frozen by their names, in one call."""

import keras
import pytest

import tflrecover


@pytest.fixture
def model():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="inside")], name="body")
    x = keras.Input((4,))
    return keras.Model(x, keras.layers.Dense(2, name="head")(inner(keras.layers.Dense(4, name="stem")(x))))


def trainable(model):
    return sorted(weight.path.split("/")[-2] for weight in model.trainable_weights if weight.path.endswith("kernel"))


def test_layers_are_frozen_by_pattern(model):
    assert sorted(tflrecover.freeze(model, "st*", "body")) == ["inside", "stem"]
    assert trainable(model) == ["head"]


def test_all_but_some(model):
    tflrecover.freeze(model, but="in*")
    assert trainable(model) == ["inside"]
    tflrecover.freeze(model, "head")
    assert trainable(model) == ["inside", "stem"]


def test_an_unknown_layer_changes_nothing(model):
    with pytest.raises(tflrecover.UnknownLayer, match=r"no layer with weights of model .* matches 'haed'.*head"):
        tflrecover.freeze(model, "stem", "haed")
    assert len(trainable(model)) == 3


def test_what_was_frozen_before_is_trained_again(model):
    model.trainable = False
    tflrecover.freeze(model, "stem")
    assert trainable(model) == ["head", "inside"]


class Scaled(keras.layers.Layer):
    def build(self, shape):
        self.dense = keras.layers.Dense(3)
        self.dense.build(shape)
        self.scale = self.add_weight(shape=(3,), name="scale")

    def call(self, x):
        return self.dense(x) * self.scale


def test_own_weights_of_a_layer_that_holds_others():
    model = keras.Sequential([keras.Input((4,)), Scaled(name="scaled"), keras.layers.Dense(2, name="head")])
    tflrecover.freeze(model, "scaled")
    assert [weight.path.split("/")[-2:] for weight in model.trainable_weights] == [["head", "kernel"], ["head", "bias"]]
