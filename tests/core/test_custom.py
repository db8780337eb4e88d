"""Custom operators that nobody has registered: one of TensorFlow's is the same on both sides."""

import keras
import keras_models as zoo
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L

import tflrecover
from tflrecover import ops
from tflrecover.ir import Op
from tflrecover.ops.custom import attributes
from tflrecover.ops.spec import Lowered
from tflrecover.ops.window import effective_pads


class Erosion(L.Layer):
    def __init__(self, strides=1, rates=1, **kwargs):
        super().__init__(**kwargs)
        self.strides, self.rates = (1, strides, strides, 1), (1, rates, rates, 1)

    def build(self, shape):
        self.kernel = self.add_weight(name="kernel", shape=(3, 3, shape[-1]))

    def call(self, x):
        return -tf.nn.dilation2d(-x, self.kernel, self.strides, "SAME", "NHWC", self.rates)


def net(seed, **settings):
    inputs = keras.Input((16, 16, 3), batch_size=1)
    x = Erosion(name="erosion", **settings)(L.Conv2D(8, 3, name="stem")(inputs))
    return zoo.randomize(keras.Model(inputs, L.Conv2D(4, 1, name="head")(x)), seed)


@pytest.fixture(scope="module")
def file():
    converter = tf.lite.TFLiteConverter.from_keras_model(net(1, strides=2))
    converter.allow_custom_ops = True
    return converter.convert()


def test_it_is_ported(file):
    model = net(2, strides=2)
    assert tflrecover.port(file, model).ok
    image = np.random.default_rng(0).normal(size=(1, 16, 16, 3)).astype("float32")
    np.testing.assert_allclose(model(image), net(1, strides=2)(image), rtol=1e-6)


def test_what_differs_is_told(file):
    (difference,) = tflrecover.diff(file, net(2, strides=2, rates=2)).differences
    assert (difference.keras_layer, difference.attribute) == ("erosion", "rates")
    (difference,) = tflrecover.diff(file, net(2)).differences
    assert (difference.keras_layer, difference.attribute) == ("erosion", "strides")


def eroded(args, attributes):
    """Of ``-dilation2d(-x)`` the part in the middle: SAME, with strides along both axes."""
    x, kernel = args
    stride = attributes["strides"][1]
    pads = [effective_pads(size, 3, stride, 1, "same") for size in x.shape[1:3]]
    padded = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::stride, ::stride]
    return [(windows + kernel.transpose(2, 0, 1)).max(axis=(-2, -1))]


@pytest.fixture
def registered():
    """The operator with an evaluation."""

    def read(op):
        return Lowered("Dilation2D", (op.inputs[0], op.weight(1)), attributes(op))

    roles = {"roles": ("x", "kernel"), "weights": frozenset({"kernel"})}
    ops.register_op(ops.OpSpec("Dilation2D", evaluate=eroded, tflite=read, tf={"Dilation2D": read}, **roles))
    yield
    ops._SPECS.pop("Dilation2D")
    ops._TF_READERS.pop("Dilation2D")


def test_litert_lacks_it(file):
    with pytest.raises(tflrecover.EvaluationError, match="Dilation2D"):
        tflrecover.verify(file, net(1, strides=2))


@pytest.mark.measured
def test_its_evaluation_stands_in_for_litert(file, registered):
    report = tflrecover.verify(file, net(1, strides=2))
    assert report.ok
    assert {check.tflite_type: check.reference for check in report.checks}["Dilation2D"] == "evaluated"
    assert report.notes[-1].startswith("LiteRT lacks ['Dilation2D']")
    other = net(1, strides=2)
    kernel = other.get_layer("erosion").kernel
    kernel.assign(kernel + 1)
    assert tflrecover.verify(file, other).first_divergence.keras_layer == "erosion"
    # In a process of its own, too.
    (difference,) = tflrecover.diff(file, net(1, strides=2, rates=2)).differences
    assert difference.effect.relative > 0


def test_types_and_notes_are_left_out():
    types = {"T": 0, "Tidx": 2, "out_type": 3, "dtype": 1}
    told = {"Threshold": 2, "pool_type": "max", "sizes": [1, 2]}
    op = Op(0, "Mine", (0,), (1,), {"custom_options": {**types, "_XlaScope": "a", "none": [], **told}})
    assert attributes(op) == {"Threshold": 2, "pool_type": "max", "sizes": (1, 2)}
    raw = Op(0, "Mine", (0,), (1,), {"custom_options": [1, 2]})
    assert attributes(raw) == {"custom_options": (1, 2)}
