"""What a quantized file cuts off between two places is no fault of the model; what is wrong beside it still is."""

import keras
import keras_models as zoo
import numpy as np
import pytest
from keras import layers as L

import tflrecover
from tests.core.lite import converted, quantize


def network(seed):
    """A sum behind an activation of a convolution over steps, which a file has between reshapes."""
    tokens = keras.Input((6,), batch_size=1, dtype="int32")
    x = keras.ops.gelu(L.Conv1D(8, 3, padding="same", name="conv")(L.Embedding(12, 8, name="table")(tokens)))
    x = L.LayerNormalization(name="norm")(x + np.linspace(-0.2, 0.2, 48, dtype="float32").reshape(6, 8))
    return zoo.randomize(keras.Model(tokens, L.Dense(3, name="head")(x)), seed)


@pytest.fixture(scope="module")
def content():
    """Calibrated on few of the tokens, so that those of the others are beyond the ends of its integers."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(network(1))
    rng = np.random.default_rng(3)
    quantize(
        converter, "int8", lambda: ([rng.integers(0, 2, (1, 6)).astype("int32")] for _ in range(8)), falls_back=True
    )
    return converted(converter)


TOKENS = np.random.default_rng(0).integers(0, 12, (1, 6)).astype("int32")


def test_what_saturates_on_the_way_is_no_divergence(content):
    twin = network(2)
    tflrecover.port(content, twin)
    report = tflrecover.verify(content, twin, inputs=[TOKENS])
    assert report.ok
    assert report.checks


@pytest.mark.parametrize("layer", ["conv", "norm", "head"])
def test_a_weight_that_is_off_still_diverges(content, layer):
    twin = network(2)
    tflrecover.port(content, twin)
    weight = twin.get_layer(layer).trainable_variables[0]
    weight.assign(np.asarray(weight) * 1.3)
    assert not tflrecover.verify(content, twin, inputs=[TOKENS]).ok
