"""Quantized files: recovered as float networks, and with their rounding, within steps of the file's own scales."""

import keras
import keras.layers as L
import numpy as np
import pytest
import tensorflow as tf

import tflrecover
from tests.core.file_builders import FUSED, File, quantization, run
from tests.core.lite import converted, quantize
from tests.tflite.builders import conv_model, pack
from tflrecover.recovery import recovered
from tflrecover.tflite import read

SHAPE = (12, 12, 3)
# Steps. Kernels of 8 bits round twice; those of 16 bits also look up functions in tables.
MOST = {"int8": 2, "int16x8": 4}


def scaled(x):
    """A batch norm that stands behind a branch stays two operators with constants."""
    y = L.MaxPooling2D(2)(L.Conv2D(8, 3, padding="same", activation="relu")(x))
    return L.Conv2D(4, 1)(L.ReLU()(L.BatchNormalization()(y)))


def residual(x):
    x = y = L.Conv2D(8, 3, activation="relu6")(x)
    y = L.DepthwiseConv2D(3, padding="same", activation="relu")(y)
    return L.AveragePooling2D(2)(L.Add()([x, L.Conv2D(8, 1)(y)]))


def classifier(x):
    x = L.Conv2D(6, 3, strides=2, activation="sigmoid")(x)
    x = L.Dense(12, activation="relu")(L.Flatten()(x))
    return L.Softmax()(L.Dense(5)(x))


def gated(x):
    y = L.Conv2D(4, 3, padding="same", activation="relu")(x)
    y = L.Concatenate()([y, L.LeakyReLU(0.2)(L.Conv2D(4, 1)(y))])
    gate = L.Conv2D(8, 1, activation="sigmoid")(L.GlobalAveragePooling2D(keepdims=True)(y))
    return L.UpSampling2D(2)(L.Multiply()([y, gate]))


NETS = (scaled, residual, classifier, gated)


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(11)


def file_of(net, form, rng):
    inputs = keras.Input(SHAPE, batch_size=1)
    model = keras.Model(inputs, net(inputs))
    for variable in model.variables:
        fan = np.prod(variable.shape[:-1]) if len(variable.shape) > 1 else 4
        is_positive = variable.name in ("gamma", "moving_variance")
        numbers = rng.uniform(0.5, 1.5, variable.shape) if is_positive else rng.normal(0, fan**-0.5, variable.shape)
        variable.assign(numbers)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    quantize(converter, form, lambda: ([rng.normal(size=(1, *SHAPE)).astype("float32")] for _ in range(16)))
    converter.inference_input_type = converter.inference_output_type = tf.int8 if form == "int8" else tf.int16
    return converted(converter)


def grid(value):
    return float(value.quantization.scale[0]), int(value.quantization.zero_point[0])


def steps_apart(model, content, rng):
    """The largest distance to LiteRT's outputs, in steps of these, over several inputs."""
    file = read(content)
    (given, made), worst = (file.graph.values[v] for v in (*file.graph.inputs, *file.graph.outputs)), 0.0
    (scale, zero), limits = grid(given), np.iinfo(given.dtype)
    for _ in range(8):
        x = rng.normal(size=(1, *SHAPE)).astype("float32")
        stored = np.clip(np.round(x / scale) + zero, limits.min, limits.max).astype(given.dtype)
        (wanted,) = run(content, stored, delegates=True)
        got = np.asarray(model(x)) / grid(made)[0] + grid(made)[1]
        worst = max(worst, float(np.abs(got - wanted).max()))
    return worst


# Kernels that round in a way of their own, right behind integers.
ALONE = {
    "average": L.AveragePooling2D(2),
    "average beside a border": L.AveragePooling2D(3, strides=1, padding="same"),
    "mean": L.GlobalAveragePooling2D(),
    "interpolation": L.UpSampling2D(2, interpolation="bilinear"),
    "root": lambda x: keras.ops.sqrt(keras.ops.relu(x)),
}


@pytest.mark.parametrize("name", ALONE)
def test_a_kernel_alone_rounds_to_the_same(name, rng):
    content = file_of(ALONE[name], "int8", rng)
    assert steps_apart(tflrecover.recover(content, quantized="simulate"), content, rng) < 0.01


@pytest.mark.parametrize("form", MOST)
@pytest.mark.parametrize("net", NETS, ids=lambda net: net.__name__)
def test_within_steps_of_the_file(net, form, rng, tmp_path):
    content = file_of(net, form, rng)
    made = recovered(read(content), quantized="simulate")
    assert steps_apart(made.model, content, rng) <= MOST[form] + 0.01
    assert made.notes[0].endswith("activations that are integers in the file are rounded to its real numbers.")
    made.model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    x = rng.normal(size=(2, *SHAPE)).astype("float32")
    np.testing.assert_array_equal(again(x), made.model(x))


def test_float_is_the_default_and_says_so(rng, caplog):
    content = file_of(residual, "int8", rng)
    with caplog.at_level("INFO", "tflrecover"):
        model = tflrecover.recover(content)
    assert not [layer for layer in model.layers if type(layer).__name__ == "FakeQuantize"]
    assert "the model computes in float and so differs from the file by quantization noise" in caplog.text
    assert steps_apart(model, content, rng) > 0.2


def test_gradients_go_through(rng):
    model = tflrecover.recover(file_of(residual, "int8", rng), quantized="simulate")
    x = tf.constant(rng.normal(size=(4, *SHAPE)), tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(x) - 1))
    gradients = tape.gradient(loss, model.trainable_variables)
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)


def test_old_converters_bytes(rng):
    """uint8 with a fused activation, and a sum of two scales."""
    file = File()
    x = file.input((1, 4, 4, 2), "uint8", quantization=quantization(0.05, 120))
    kernel = file.const(rng.integers(0, 256, (3, 3, 3, 2)).astype("uint8"), quantization=quantization(0.01, 128))
    bias = file.const(rng.integers(-500, 500, 3).astype("int32"), quantization=quantization(0.0005))
    options = {"options": "Conv2DOptions", "strideH": 1, "strideW": 1, "fusedActivationFunction": FUSED.RELU6}
    y = file.op("CONV_2D", (x, kernel, bias), (1, 4, 4, 3), "uint8", result=_grid(0.023, 0), **options)
    other = file.const(rng.integers(0, 256, (1, 1, 1, 3)).astype("uint8"), quantization=quantization(0.02, 90))
    z = file.op("ADD", (y, other), (1, 4, 4, 3), "uint8", "AddOptions", result=_grid(0.04, 30))
    content = file.content(z)
    given = rng.integers(0, 256, (1, 4, 4, 2)).astype("uint8")
    (wanted,) = run(content, given)
    got = tflrecover.recover(content, quantized="simulate")((given - np.float32(120)) * np.float32(0.05))
    assert np.abs(np.asarray(got) / 0.04 + 30 - wanted).max() < 1.01


def test_fake_quantization_is_kept(rng):
    file = File()
    x = file.input((1, 50))
    y = file.op("FAKE_QUANT", (x,), (1, 50), options="FakeQuantOptions", min=-1.1, max=2.3, numBits=4)
    content = file.content(file.op("TANH", (y,), (1, 50)))
    given = rng.uniform(-2, 3, (1, 50)).astype("float32")
    (wanted,) = run(content, given)
    model = tflrecover.recover(content, quantized="simulate")
    np.testing.assert_allclose(model(given), wanted, atol=1e-6)
    np.testing.assert_allclose(tflrecover.recover(content)(given), np.tanh(given), atol=1e-6)


def _grid(scale, zero):
    return {"quantization": quantization(scale, zero)}


def test_another_word_is_refused():
    with pytest.raises(ValueError, match="'float' or 'simulate', got 'int8'"):
        tflrecover.recover(pack(conv_model()), quantized="int8")
