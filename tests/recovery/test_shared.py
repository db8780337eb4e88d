"""A layer that is called in several places comes back as one, and so does a table that is read both ways."""

import importlib.util

import keras
import keras_models as zoo
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L

import tflrecover
from tests.core.lite import converted, quantize
from tests.recovery.recovering import kinds, recovered
from tests.recovery.round_trip import assert_exact


def siamese():
    left, right = keras.Input((16, 16, 3), name="left"), keras.Input((16, 16, 3), name="right")
    parts = [L.Conv2D(6, 3, activation="relu"), L.DepthwiseConv2D(3), L.GlobalAveragePooling2D(), L.Dense(5)]
    tower = keras.Sequential(parts, name="tower")
    return keras.Model([left, right], L.Dense(2)(L.Subtract()([tower(left), tower(right)])))


def again_and_again():
    x = inputs = keras.Input((8, 8, 4))
    layer = L.Conv2D(4, 3, padding="same", activation="relu")
    for _ in range(4):
        x = layer(x)
    return keras.Model(inputs, L.Dense(3)(L.Flatten()(x)))


def heads():
    inputs = [keras.Input((8 * n, 8 * n, 4), name=f"level_{n}") for n in (1, 2, 3)]
    tower, box = L.Conv2D(4, 3, padding="same", activation="relu", name="tower"), L.Conv2D(6, 1, name="box")
    return keras.Model(inputs, L.Concatenate(axis=1)([L.Reshape((-1, 6))(box(tower(x))) for x in inputs]))


def two_activations():
    inputs = keras.Input((8,))
    dense = L.Dense(8)
    return keras.Model(inputs, L.Dense(2)(L.ReLU()(dense(keras.activations.tanh(dense(inputs))))))


def recurrent():
    one, other = (keras.Input((5, 4), batch_size=1, name=name) for name in ("one", "other"))
    layer = L.LSTM(3)
    return keras.Model([one, other], layer(one) * layer(other))


def tied(*, bias=False):
    ids = keras.Input((7,), dtype="int32", name="ids")
    tokens = L.ReversibleEmbedding(50, 12, name="tokens")
    x = tokens(ids)
    x = L.LayerNormalization()(L.Dense(12, activation="relu")(x) + x)
    y = tokens(x, reverse=True)
    if bias:
        y = y + L.Embedding(1, 50)(keras.ops.zeros_like(ids[:, :1]))
    return keras.Model(ids, L.Softmax()(y))


def tied_with_a_bias():
    return tied(bias=True)


MODELS = [siamese, again_and_again, heads, two_activations, recurrent, tied, tied_with_a_bias]


def file_of(build, form="fp32"):
    keras.utils.clear_session()
    model = zoo.randomize(build(), 1)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    quantize(converter, form)
    return model, converted(converter)


@pytest.mark.parametrize("build", MODELS)
def test_one_layer_for_all_its_calls(build, tmp_path):
    original, content = file_of(build)
    model = recovered(content)
    trained = [len(one.trainable_weights) for one in (original, model)]
    assert trained[0] == trained[1]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [a.tobytes() for a in model.get_weights()] == [a.tobytes() for a in loaded.get_weights()]
    assert_exact(content)


@pytest.mark.parametrize("form", ["fp16", "dynamic"])
def test_weights_that_are_stored_otherwise(form):
    original, content = file_of(siamese, form)
    assert len(tflrecover.recover(content).weights) == len(original.weights)


def written(content, folder):
    path = folder / "written.py"
    tflrecover.generate(content, path)
    spec = importlib.util.spec_from_file_location("written", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return path.read_text(), module.load_model()


@pytest.mark.parametrize(
    ("build", "made", "called"),
    [
        (siamese, "conv2d = layers.Conv2D(6, 3", "conv2d("),
        (again_and_again, "conv2d = layers.Conv2D(4, 3", "x = conv2d(x)"),
        (heads, "= layers.Conv2D(6, 1)", "Reshape"),
        (recurrent, "lstm = layers.LSTM(3", "lstm("),
        (tied, "tokens = layers.ReversibleEmbedding(50, 12)", "tokens(x, reverse=True)"),
    ],
)
def test_source_has_one_layer_too(build, made, called, tmp_path):
    _, content = file_of(build)
    source, model = written(content, tmp_path)
    again = tflrecover.recover(content)
    assert source.count(made) == 1
    assert called in source
    assert [a.tobytes() for a in model.get_weights()] == [a.tobytes() for a in again.get_weights()]
    given = [np.random.default_rng(3).integers(0, 5, [n or 1 for n in x.shape]).astype(x.dtype) for x in model.inputs]
    given = given if len(given) > 1 else given[0]
    np.testing.assert_array_equal(model(given), again(given))


def test_training_moves_one_weight_for_both_calls():
    model = tflrecover.recover(file_of(again_and_again)[1])
    x = np.random.default_rng(4).normal(size=(4, 8, 8, 4)).astype("float32")
    before = model.get_weights()[0]
    model.compile("sgd", "mse")
    model.fit(x, np.ones((4, 3)), verbose=0)
    assert kinds(model).count("Conv2D") == 1
    assert not np.array_equal(before, model.get_weights()[0])


def test_equal_weights_of_few_numbers_are_no_shared_layer():
    """Two blurs have the same kernel, and so do norms that were never trained."""

    def blurs():
        x = inputs = keras.Input((8, 8, 2))
        for _ in range(2):
            x = L.DepthwiseConv2D(3, use_bias=False)(x)
        return keras.Model(inputs, x)

    model = blurs()
    blur = np.outer([1, 2, 1], [1, 2, 1]).astype("float32")[:, :, None, None].repeat(2, axis=2) / 16
    model.set_weights([blur, blur])
    content = converted(tf.lite.TFLiteConverter.from_keras_model(model))
    assert len(tflrecover.recover(content).weights) == 2


def test_shared_kernel_with_a_norm_for_each_use_is_two_layers():
    def normed():
        inputs = [keras.Input((8, 8, 3), name=name) for name in ("one", "other")]
        layer = L.Conv2D(4, 3, use_bias=False)
        return keras.Model(inputs, L.Add()([L.ReLU()(L.BatchNormalization()(layer(x))) for x in inputs]))

    assert len(tflrecover.recover(file_of(normed)[1]).weights) == 4
