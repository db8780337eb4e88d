"""A Keras model from the file alone: exact, trainable, free in its batch, and loaded where tflrecover is not."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

import tflrecover
from tests.core.keras_models import convert, file_of, randomize
from tests.core.lite import converted, quantize, stripped
from tests.recovery.recovering import kinds, recovered


@pytest.mark.parametrize("name", ["plain", "two_heads", "nested", "shared", "affine"])
def test_every_model_comes_back(name):
    model = recovered(file_of(name))
    assert all(tensor.shape[0] is None for tensor in (*model.inputs, *model.outputs))
    assert len(model.trainable_weights) == len(model.weights) > 0


@pytest.mark.parametrize("name", ["plain", "two_heads", "affine"])
def test_what_comes_back_is_ported_completely(name):
    model = tflrecover.recover(file_of(name))
    wanted = model.get_weights()
    report = tflrecover.port(file_of(name), randomize(model, 5))
    assert report.ok
    assert all(map(np.array_equal, wanted, model.get_weights()))


def test_layers_are_those_that_a_person_writes():
    model = tflrecover.recover(file_of("plain"))
    assert kinds(model) == [
        "InputLayer",
        "Conv2D",
        "DepthwiseConv2D",
        "Conv2D",
        "Add",
        "ReLU",
        "MaxPooling2D",
        "Conv2D",
        "PReLU",
        "GlobalAveragePooling2D",
        "Dense",
    ]
    names = ["image", "conv", "depthwise", "point", "merge", "act", "pool", "down", "prelu", "gap", "output_0"]
    assert [layer.name for layer in model.layers] == names
    assert model.layers[1].activation is keras.activations.relu
    assert model.layers[-1].activation is keras.activations.softmax
    assert [tensor.name for tensor in model.inputs] == ["image"]


def test_without_names_layers_are_called_after_their_classes():
    model = recovered(stripped(file_of("plain")))
    assert [layer.name for layer in model.layers][1:5] == ["conv2d", "depthwise_conv2d", "conv2d_1", "add"]


def small(form):
    import tensorflow as tf

    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3, activation="relu6"), layers.Flatten(), layers.Dense(3)]
    )
    converter = tf.lite.TFLiteConverter.from_keras_model(randomize(model, 1))
    generator = np.random.default_rng(0)
    quantize(converter, form, lambda: ([generator.uniform(-1, 1, (1, 8, 8, 3)).astype("float32")] for _ in range(4)))
    return converted(converter)


@pytest.mark.parametrize("form", ["fp16", "dynamic", "int8", "int16x8"])
def test_weights_are_float_whatever_the_file_stores(form):
    model = tflrecover.recover(small(form))
    assert kinds(model) == ["InputLayer", "Conv2D", "Flatten", "Dense"]
    assert {weight.dtype for weight in model.weights} == {"float32"}
    wanted = model.get_weights()
    assert tflrecover.port(small(form), randomize(model, 3)).ok
    assert all(map(np.array_equal, wanted, model.get_weights()))


def test_a_batch_that_examples_share_stays_as_it_is():
    x = keras.Input((4,), batch_size=3)
    y = layers.Dense(5)(keras.ops.cumsum(x, axis=0))
    model = recovered(convert(randomize(keras.Model(x, y), 0)))
    assert model.inputs[0].shape == (3, 4)


def test_it_loads_in_a_process_without_tflrecover(tmp_path):
    model = tflrecover.recover(file_of("affine"))
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(0).uniform(size=(2, *model.inputs[0].shape[1:])).astype("float32")
    np.savez(tmp_path / "known.npz", x=x, y=model(x, training=False))
    program = """
import sys, keras, numpy as np
known = np.load("known.npz")
model = keras.models.load_model("model.keras")
assert "tflrecover" not in sys.modules
np.testing.assert_allclose(model(known["x"], training=False), known["y"], rtol=0, atol=1e-6)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_its_file_is_as_the_first(tmp_path):
    model = tflrecover.recover(file_of("plain"))
    again = recovered(convert(model))
    x = np.random.default_rng(0).uniform(size=(2, *model.inputs[0].shape[1:])).astype("float32")
    np.testing.assert_allclose(again(x), model(x), rtol=0, atol=1e-6)
