"""Quantized files: the port is at least as close to the original as the file is, and the report says what it was."""

import functools

import keras
import keras_models as zoo
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L

import tflrecover
from tests.core.file_builders import FUSED, File, quantization, run
from tests.core.lite import converted, quantize, stripped

SHAPE = (2, 16, 16, 3)
MODES = {"fp16": "float16", "dynamic": "dynamic range", "int8": "full integer", "int16x8": "int16x8"}


def normed(x, filters, size=3, activation="relu"):
    x = L.BatchNormalization()(L.Conv2D(filters, size, padding="same", use_bias=False)(x))
    return L.Activation(activation)(x) if activation else x


def inverted(x):
    """As in MobileNetV2. The dynamic range mode leaves kernels of fewer than 1,024 numbers alone."""
    x = normed(x, 48, activation="relu6")
    y = normed(x, 64, 1, "relu6")
    y = L.ReLU(6)(L.BatchNormalization()(L.DepthwiseConv2D(3, padding="same", use_bias=False)(y)))
    return L.Dense(10)(L.GlobalAveragePooling2D()(L.Add()([x, normed(y, 48, 1, None)])))


def preactivated(x):
    x = L.Conv2D(40, 3, padding="same")(x)
    y = L.Conv2D(40, 3, padding="same")(L.ReLU()(L.BatchNormalization()(x)))
    return L.Dense(10)(L.GlobalAveragePooling2D()(L.ReLU()(L.BatchNormalization()(L.Add()([x, y])))))


def dense(x):
    """A layer whose result is taken with an activation and without is two in integers, each with its own bias."""
    x = L.Dense(48)(L.Dense(64, activation="relu")(L.Flatten()(x)))
    return L.Dense(10)(L.Add()([L.ReLU()(x), L.Activation("tanh")(x)]))


NETS = {f.__name__: f for f in (inverted, preactivated, dense)}


def build(name, seed):
    inputs = keras.Input(SHAPE[1:], batch_size=SHAPE[0])
    return zoo.randomize(keras.Model(inputs, NETS[name](inputs)), seed)


def images(seed):
    return np.random.default_rng(seed).uniform(0, 1, SHAPE).astype("float32")


def convert(model, mode):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    quantize(converter, mode, lambda: ([images(seed)] for seed in range(8)))
    return converted(converter)


@functools.cache
def file_of(name, mode):
    return stripped(convert(build(name, 1), mode))


def signal_to_noise(wanted, got):
    """In decibels, over all inputs together: on a single one the file's two errors may happen to cancel."""
    return 10 * np.log10(np.square(wanted).mean() / np.square(wanted - got).mean())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NETS)
def test_port_is_as_close_to_the_original_as_the_file(name, mode):
    original, twin, content = build(name, 1), build(name, 2), file_of(name, mode)
    report = tflrecover.port(content, twin)
    assert report.ok
    assert any(f"quantized ({MODES[mode]})" in note for note in report.notes)
    given = [images(100 + seed) for seed in range(8)]
    wanted, ported = (np.array([model(x) for x in given], "float64") for model in (original, twin))
    file = np.array([run(content, x, delegates=True)[0] for x in given])
    assert signal_to_noise(wanted, ported) >= signal_to_noise(wanted, file) - 0.5


def test_report_counts_what_is_quantized():
    report = tflrecover.diff(file_of("dense", "int8"), build("dense", 2))
    assert report.notes[-1].startswith("The file is quantized (full integer): 3 int8 weights and 8 int8 activations. ")
    report = tflrecover.diff(file_of("dense", "dynamic"), build("dense", 2))
    assert report.notes[-1].startswith("The file is quantized (dynamic range): 2 int8 weights. ")
    report = tflrecover.diff(file_of("dense", "fp16"), build("dense", 2))
    assert report.notes[-1].startswith("The file is quantized (float16): 6 float16 weights. ")


def stored(array, scale, zero, dtype):
    info = np.iinfo(dtype)
    return np.clip(np.round(array / scale) + zero, info.min, info.max).astype(dtype)


def grid(array, dtype, axis=None):
    """Scale and zero point that cover an array, per tensor or symmetric per slice of an axis."""
    if axis is None:
        low, high = min(array.min(), 0), max(array.max(), 0)
        scale = np.float32((high - low) / (2 ** (8 * np.dtype(dtype).itemsize) - 1))
        return scale, int(np.round(np.iinfo(dtype).min - low / scale))
    rest = tuple(i for i in range(array.ndim) if i != axis)
    return np.abs(array).max(axis=rest).astype("float32") / np.iinfo(dtype).max, 0


def toco_uint8(model, x):
    """Conv with a fused RELU6, a dense layer: asymmetric per tensor, int32 biases, as TensorFlow 1 made them."""
    file, values = File(), {}

    def activation(name, array):
        values[name] = grid(array, "uint8")
        return {"quantization": quantization(*values[name])}

    def weight(array):
        scale, zero = grid(array, "uint8")
        return scale, file.const(stored(array, scale, zero, "uint8"), quantization=quantization(scale, zero))

    def bias(array, scale):
        return file.const(np.round(array / scale).astype("int32"), quantization=quantization(scale))

    conv, last = model.get_layer("c"), model.get_layer("d")
    inner = keras.Model(model.inputs, conv.output)(x).numpy()
    image = file.input(x.shape, "uint8", **activation("x", x))
    scale, kernel = weight(np.moveaxis(np.asarray(conv.kernel), -1, 0))
    c = file.op(
        "CONV_2D",
        (image, kernel, bias(np.asarray(conv.bias), scale * values["x"][0])),
        inner.shape,
        "uint8",
        "Conv2DOptions",
        result=activation("c", inner),
        strideW=1,
        strideH=1,
        fusedActivationFunction=FUSED.RELU6,
    )
    outer = np.asarray(model(x))
    scale, kernel = weight(np.asarray(last.kernel).T)
    d = file.op(
        "FULLY_CONNECTED",
        (c, kernel, bias(np.asarray(last.bias), scale * values["c"][0])),
        outer.shape,
        "uint8",
        "FullyConnectedOptions",
        result=activation("d", outer),
    )
    return file.content(d), values


def two_layers(seed):
    inputs = keras.Input((6, 6, 4), batch_size=2)
    x = L.Conv2D(5, 3, padding="same", activation="relu6", name="c")(inputs)
    return zoo.randomize(keras.Model(inputs, L.Dense(7, name="d")(L.Flatten()(x))), seed)


def test_uint8_of_tensorflow_1():
    original, twin = two_layers(1), two_layers(2)
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 4)).astype("float32")
    content, scales = toco_uint8(original, x)
    wanted = np.asarray(original(x))
    scale, zero = scales["d"]
    lite = (run(content, stored(x, *scales["x"], "uint8"))[0].astype("float32") - zero) * scale
    report = tflrecover.port(content, twin)
    assert report.ok
    assert "full integer): 2 uint8 weights and 3 uint8 activations" in report.notes[-1]
    assert signal_to_noise(wanted, lite) > 20
    assert signal_to_noise(wanted, np.asarray(twin(x))) >= signal_to_noise(wanted, lite)


@pytest.mark.parametrize("asymmetric", [False, True])
def test_hybrid_kernels(asymmetric):
    """Integer weights, float activations that LiteRT rounds while it runs."""
    original, twin = two_layers(1), two_layers(2)
    file, conv, last = File(), original.get_layer("c"), original.get_layer("d")
    kernel, matrix = np.moveaxis(np.asarray(conv.kernel), -1, 0), np.asarray(last.kernel).T
    rows, whole = grid(kernel, "int8", 0), grid(matrix, "int8", 0)[0].max()
    x = file.input((2, 6, 6, 4))
    k = file.const(stored(kernel, rows[0][:, None, None, None], 0, "int8"), quantization=quantization(rows[0], 0, 0))
    c = file.op(
        "CONV_2D",
        (x, k, file.const(np.asarray(conv.bias))),
        (2, 6, 6, 5),
        options="Conv2DOptions",
        strideW=1,
        strideH=1,
        fusedActivationFunction=FUSED.RELU6,
    )
    m = file.const(stored(matrix, whole, 0, "int8"), quantization=quantization(whole))
    operands = (c, m, file.const(np.asarray(last.bias)))
    content = file.content(
        file.op(
            "FULLY_CONNECTED",
            operands,
            (2, 7),
            options="FullyConnectedOptions",
            asymmetricQuantizeInputs=asymmetric,
            version=9,
        )
    )
    report = tflrecover.port(content, twin)
    assert report.ok
    assert "dynamic range): 2 int8 weights" in report.notes[-1]
    given = np.random.default_rng(0).normal(size=(2, 6, 6, 4)).astype("float32")
    wanted, lite = np.asarray(original(given)), run(content, given)[0]
    assert signal_to_noise(wanted, np.asarray(twin(given))) >= signal_to_noise(wanted, lite) - 1


def test_fake_quant_of_tensorflow_1():
    """On a kernel it rounds the weights; on activations it goes, and the report says so."""
    original, twin = two_layers(1), two_layers(2)
    file, conv, last = File(), original.get_layer("c"), original.get_layer("d")
    kernel = file.const(np.moveaxis(np.asarray(conv.kernel), -1, 0))
    fake = {"options": "FakeQuantOptions", "numBits": 8}
    rounded = file.op("FAKE_QUANT", (kernel,), (5, 3, 3, 4), min=-0.4, max=0.3, **fake)
    x = file.op("FAKE_QUANT", (file.input((2, 6, 6, 4)),), (2, 6, 6, 4), min=-4.0, max=4.0, **fake)
    c = file.op(
        "CONV_2D",
        (x, rounded, file.const(np.asarray(conv.bias))),
        (2, 6, 6, 5),
        options="Conv2DOptions",
        strideW=1,
        strideH=1,
        fusedActivationFunction=FUSED.RELU6,
    )
    c = file.op("FAKE_QUANT", (c,), (2, 6, 6, 5), min=0.0, max=6.0, **fake)
    operands = (c, file.const(np.asarray(last.kernel).T), file.const(np.asarray(last.bias)))
    content = file.content(file.op("FULLY_CONNECTED", operands, (2, 7), options="FullyConnectedOptions"))
    report = tflrecover.port(content, twin)
    assert report.ok
    assert report.notes[-1].startswith("FAKE_QUANT on 2 activations ")
    wanted = tf.quantization.fake_quant_with_min_max_args(conv.kernel, -0.4, 0.3)
    assert np.allclose(twin.get_layer("c").kernel, wanted, atol=1e-6)
    given = np.random.default_rng(0).uniform(-2, 2, (2, 6, 6, 4)).astype("float32")
    lite = run(content, given)[0]
    assert signal_to_noise(lite, np.asarray(twin(given))) > signal_to_noise(lite, np.asarray(original(given)))


def test_constant_that_the_file_quantizes_as_it_runs():
    """QUANTIZE and DEQUANTIZE around a float kernel: its numbers are those of the grid."""
    twin = two_layers(2)
    file, conv, last = File(), twin.get_layer("c"), twin.get_layer("d")
    kernel = np.random.default_rng(0).uniform(-1, 1, (5, 3, 3, 4)).astype("float32")
    scales = np.abs(kernel).max(axis=(1, 2, 3)) / 127
    q = file.op(
        "QUANTIZE", (file.const(kernel),), kernel.shape, "int8", result={"quantization": quantization(scales, 0, 0)}
    )
    real = file.op("DEQUANTIZE", (q,), kernel.shape)
    c = file.op(
        "CONV_2D",
        (file.input((2, 6, 6, 4)), real, file.const(np.asarray(conv.bias))),
        (2, 6, 6, 5),
        options="Conv2DOptions",
        strideW=1,
        strideH=1,
        fusedActivationFunction=FUSED.RELU6,
    )
    operands = (c, file.const(np.asarray(last.kernel).T), file.const(np.asarray(last.bias)))
    content = file.content(file.op("FULLY_CONNECTED", operands, (2, 7), options="FullyConnectedOptions"))
    assert tflrecover.port(content, twin).ok
    x = np.random.default_rng(1).normal(size=(2, 6, 6, 4)).astype("float32")
    wanted, got = run(content, x)[0], np.asarray(twin(x))
    assert np.abs(wanted - got).max() <= 1e-5 * np.abs(wanted).max()
    assert np.abs(np.asarray(conv.kernel) - np.moveaxis(kernel, 0, -1)).max() > 1e-3
