"""Files of a fixed batch of one, in which converters turn transposes into reshapes and leave out what is one."""

import keras
import keras_models as zoo
import layer_models
import layer_models_more
import numpy as np
import pytest
import recurrent_models
from keras import layers, ops
from model_kinds import convert_call

import tflrecover
from tests.core.lite import stripped
from tflrecover import tolerances

MODELS = layer_models.MODELS | layer_models_more.MODELS
NAMES = [
    "additive_attention",
    "attention_plain",
    "concat_attention",
    "conv_1d_causal",
    "conv_3d_groups_same",
    "einsum_abc,bc->abc",
    "einsum_abc,bcd->abd",
    "separable_1d",
    "squeeze_excite",
]


MADE = {name: MODELS[name] for name in NAMES} | {
    name: lambda make=recurrent_models.MODELS[name]: make(1) for name in ("bidirectional", "conv_lstm_2d", "deep")
}


def file_of_one_example(original):
    inputs = layer_models.example_inputs(original)
    return stripped(convert_call(original, (inputs if len(inputs) > 1 else inputs[0],), {}))


def assert_ports_one_example(make):
    keras.utils.clear_session()
    original, twin = zoo.randomize(make(), 1), zoo.randomize(make(), 2)
    inputs = layer_models.example_inputs(original)
    given = inputs if len(inputs) > 1 else inputs[0]
    assert tflrecover.port(file_of_one_example(original), twin).ok
    wanted, got = (np.asarray(model(given)) for model in (original, twin))
    assert np.abs(wanted - got).max() <= tolerances.OUTPUT * np.abs(wanted).max()


@pytest.mark.parametrize("name", sorted(MADE))
def test_port(name):
    assert_ports_one_example(MADE[name])


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_ones_that_a_reshape_puts_behind_a_mean_are_kept_by_the_mean(activation):
    """As in EfficientNet: its squeeze is reshaped, and the converter has a mean that keeps its axes instead."""

    def excite(x):
        y = layers.Reshape((1, 1, 4))(layers.GlobalAveragePooling2D()(x))
        y = layers.Conv2D(4, 1, activation=activation)(layers.BatchNormalization()(layers.Conv2D(2, 1)(y)))
        return x * layers.LayerNormalization()(y)

    assert_ports_one_example(layer_models.image(excite))


def talking_heads(x):
    """Scores have their heads last, where a dense layer mixes these; the converter scales before it moves axes."""
    queries, keys, values = (layers.Reshape((6, 2, 4))(layers.Dense(8)(x)) for _ in range(3))
    scores = layers.Dense(2)(ops.einsum("bqhd,bkhd->bqkh", queries, keys) * 0.5)
    return layers.Dense(3)(ops.einsum("bqkh,bkhd->bqhd", layers.Dense(2)(ops.softmax(scores, 2)), values))


def class_attention(x):
    """One place asks all, so that the norm behind it has ones in front of its numbers."""
    y = layers.MultiHeadAttention(2, 4)(x[:, :1], x)
    return layers.Dense(3)(layers.LayerNormalization()(y)[:, 0])


@pytest.mark.parametrize("function", [talking_heads, class_attention])
def test_attention(function):
    assert_ports_one_example(layer_models.steps(function))


def test_what_is_repeated_in_a_choice_is_repeated_behind_it():
    """Indices below zero count from the end, which Keras and the converter choose before and behind repeating them."""

    def found(x):
        places = ops.argmax(layers.Dense(1)(x)[..., 0], axis=-1)
        return ops.take_along_axis(layers.Dense(5)(x), ops.reshape(places, (-1, 1, 1)), axis=1)

    assert_ports_one_example(layer_models.steps(found))


def test_another_difference_beside_kept_axes_is_told_alone():
    def net(size):
        def excite(x):
            y = layers.Reshape((1, 1, 4))(layers.GlobalAveragePooling2D()(layers.Conv2D(4, size, padding="same")(x)))
            return x * layers.Conv2D(4, 1)(layers.Conv2D(2, 1, activation="relu")(y))

        return layer_models.image(excite)

    content = file_of_one_example(zoo.randomize(net(3)(), 1))
    (difference,) = tflrecover.diff(content, zoo.randomize(net(5)(), 2)).differences
    assert difference.attribute == "kernel_size"
