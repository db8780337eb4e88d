"""Calibrating: the same function in inference, and about the same in training."""

import keras
import keras_models as zoo
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from keras import layers as L

import tflrecover


def images(count=64, seed=5):
    return np.random.default_rng(seed).uniform(0, 1, (count, 12, 12, 3)).astype("float32")


def randomized(model, seed):
    """Random weights; tf_keras names variables ``layer/gamma:0``."""
    rng = np.random.default_rng(seed)
    for v in model.variables:
        is_positive = v.name.split("/")[-1].split(":")[0] in ("gamma", "moving_variance")
        v.assign(rng.uniform(*((0.5, 1.5) if is_positive else (-0.5, 0.5)), v.shape))
    return model


def functional(k, seed):
    """Batch norms behind and before convolutions, in a nested model, on another axis."""
    inner_in = k.Input((10, 10, 6))
    y = k.layers.BatchNormalization()(k.layers.Conv2D(6, 3, padding="same")(inner_in))
    inner = k.Model(inner_in, k.layers.ReLU()(y), name="inner")
    x = inputs = k.Input((12, 12, 3))
    x = inner(k.layers.ReLU()(k.layers.BatchNormalization(name="first")(k.layers.Conv2D(6, 3, use_bias=False)(x))))
    x = k.layers.Add()([x, k.layers.Conv2D(6, 1)(k.layers.BatchNormalization()(x))])
    x = k.layers.BatchNormalization(name="rows", axis=1)(x)
    x = k.layers.Dense(4)(k.layers.GlobalAveragePooling2D()(x))
    return randomized(k.Model(inputs, x), seed)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = L.Conv2D(5, 3), L.BatchNormalization(), L.Dense(4)

    def call(self, x):
        return self.head(tf.reduce_mean(tf.nn.relu(self.norm(self.conv(x))), [1, 2]))


def subclassed(seed):
    model = Subclassed()
    model(images(1))
    return randomized(model, seed)


MODELS = {
    "Keras 3": lambda seed: functional(keras, seed),
    "tf_keras": lambda seed: functional(tf_keras, seed),
    "subclassed": subclassed,
}


def relative(want, got):
    return float(np.abs(np.asarray(want) - np.asarray(got)).max() / np.abs(np.asarray(want)).max())


def in_training(model, x):
    """What the model computes with the statistics of a batch; its own are put back."""
    weights = model.get_weights()
    made = np.asarray(model(x, training=True))
    model.set_weights(weights)
    return made


@pytest.mark.parametrize("kind", MODELS)
def test_same_function_and_training_agrees_with_it(kind):
    model, x = MODELS[kind](1), images()
    wanted = [np.asarray(model(batch, training=False)) for batch in (x, images(seed=9))]
    before = relative(wanted[0], in_training(model, x))
    found = tflrecover.calibrate(model, x, batch_size=20)
    assert not found.left
    assert found.batches == 4
    assert sum("BatchNorm" in type(layer).__name__ for layer in model._flatten_layers()) == len(found.layers)
    got = [np.asarray(model(batch, training=False)) for batch in (x, images(seed=9))]
    assert max(map(relative, wanted, got)) < 1e-5
    after = relative(wanted[0], in_training(model, x))
    assert after < 1e-4 < 0.1 < before


@pytest.mark.parametrize("k", [keras, tf_keras], ids=["Keras 3", "tf_keras"])
def test_calls_of_a_shared_layer_are_pooled(k):
    shared = k.layers.BatchNormalization(name="shared")
    inputs = k.Input((12, 12, 3))
    model = randomized(k.Model(inputs, shared(k.layers.ReLU()(shared(inputs)))), 1)
    x = images()
    seen = np.concatenate([x, np.maximum(np.asarray(shared(x, training=False)), 0)]).astype("float64")
    wanted = np.asarray(model(x, training=False))
    assert tflrecover.calibrate(model, x).layers == ("shared",)
    assert np.allclose(shared.moving_mean, seen.mean((0, 1, 2)), rtol=1e-5)
    assert np.allclose(shared.moving_variance, seen.var((0, 1, 2)), rtol=1e-5)
    assert relative(wanted, model(x, training=False)) < 1e-5


def plain(seed):
    inputs = keras.Input((12, 12, 3), name="image")
    x = L.ReLU()(L.BatchNormalization(name="bn")(L.Conv2D(8, 3, use_bias=False)(inputs)))
    x = L.ReLU()(L.BatchNormalization(name="bn_2")(L.Conv2D(8, 3)(x)))
    return zoo.randomize(keras.Model(inputs, L.Dense(4)(L.GlobalAveragePooling2D()(x))), seed)


def test_after_a_port_training_goes_on_from_where_the_file_is():
    original, x = plain(1), images()
    content, wanted = zoo.convert(original), np.asarray(original(x))
    losses = {}
    for is_calibrated in (False, True):
        twin = plain(2)
        tflrecover.port(content, twin)
        if is_calibrated:
            tflrecover.calibrate(twin, x)
            assert relative(wanted, twin(x, training=False)) < 1e-5
            assert relative(wanted, in_training(twin, x)) < 1e-4
        else:
            assert relative(wanted, in_training(twin, x)) > 0.1
        twin.compile(keras.optimizers.SGD(1e-4), "mse")
        history = twin.fit(x, wanted, batch_size=len(x), epochs=3, verbose=0)
        losses[is_calibrated] = max(history.history["loss"]) / np.var(wanted), relative(wanted, twin(x))
    assert losses[True][0] < 1e-4 < 1e-2 < losses[False][0]
    assert losses[True][1] < 1e-2


def test_data_in_any_form():
    x = images(40)
    expected = plain(1)
    tflrecover.calibrate(expected, x)
    for data in (
        tf.data.Dataset.from_tensor_slices((x, np.zeros(40))).batch(16),
        (x[start : start + 7] for start in range(0, 40, 7)),
        {"image": x},
    ):
        model = plain(1)
        tflrecover.calibrate(model, data)
        for a, b in zip(expected.variables, model.variables, strict=True):
            assert np.allclose(a, b, rtol=1e-4, atol=1e-5)


class ByBatch(L.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm = L.BatchNormalization(name="norm")

    def build(self, shape):
        self.norm.build(shape)

    def call(self, x):
        return self.norm(x, training=True)


def test_layers_that_must_stay_are_left_and_named():
    inputs = keras.Input((12, 12, 3))
    x = L.BatchNormalization(scale=False, name="no_gamma")(L.Conv2D(4, 3)(inputs))
    x = L.BatchNormalization(center=False, name="no_beta")(L.Conv2D(4, 3)(L.ReLU()(x)))
    x = ByBatch(name="by_batch")(L.Conv2D(4, 3)(L.ReLU()(x)))
    model = zoo.randomize(keras.Model(inputs, L.BatchNormalization(name="good")(x)), 1)
    held = {layer.name: [np.asarray(v) for v in layer.variables] for layer in model.layers}
    wanted = np.asarray(model(images(), training=False))
    found = tflrecover.calibrate(model, images())
    assert found.layers == ("good",)
    assert set(found.left) == {"no_gamma", "no_beta", "norm"}
    assert "no gamma" in found.left["no_gamma"]
    assert "training=True" in str(found)
    assert relative(wanted, model(images(), training=False)) < 1e-5
    for name, old in held.items():
        now = model.get_layer(name).variables
        # What normalizes by its batch moves its statistics whenever it is called.
        is_same = [np.array_equal(a, b) for a, b in zip(old, now, strict=True)][: 2 if name == "by_batch" else None]
        assert all(is_same) == (name != "good"), name


def test_masked_steps_do_not_count():
    inputs = keras.Input((6, 3))
    x = L.BatchNormalization(name="bn")(L.Masking()(inputs))
    model = zoo.randomize(keras.Model(inputs, x), 1)
    x = np.random.default_rng(0).normal(3, 1, (8, 6, 3)).astype("float32")
    x[:, 4:] = 0
    tflrecover.calibrate(model, x)
    assert np.allclose(model.get_layer("bn").moving_mean, x[:, :4].mean((0, 1)), rtol=1e-5)
    assert np.allclose(model.get_layer("bn").moving_variance, x[:, :4].var((0, 1)), rtol=1e-4)


@pytest.mark.parametrize(
    ("data", "error", "told"),
    [
        (np.zeros((0, 12, 12, 3)), tflrecover.EvaluationError, "no data"),
        (np.zeros((2, 12, 12, 5), "float32"), tflrecover.InputMismatch, "cannot be called on the data"),
        (np.full((2, 12, 12, 3), np.nan, "float32"), tflrecover.EvaluationError, "'bn'.*not finite"),
    ],
    ids=["empty", "shape", "nan"],
)
def test_bad_data_leaves_the_model(data, error, told):
    model = plain(1)
    before = [np.asarray(v) for v in model.variables]
    with pytest.raises(error, match=told):
        tflrecover.calibrate(model, data)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.variables, strict=True))


def test_what_is_no_model():
    with pytest.raises(tflrecover.InvalidModel, match="expected a Keras model"):
        tflrecover.calibrate("model", images())
