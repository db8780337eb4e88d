"""Sizes that a file leaves open stay open where that is proved."""

from functools import reduce

import keras
import keras_models
import numpy as np
import pytest
import recurrent_models as recurrent
from ai_edge_litert.interpreter import Interpreter
from keras import layers as L

import tflrecover
from tests.core import file_builders
from tests.core.lite import converted
from tests.recovery.recovering import recovered
from tests.recovery.round_trip import assert_exact
from tflrecover import tolerances

IMAGE, SEQUENCE = (None, None, 3), (None, 6)
NETWORKS = {
    "image": (lambda x: L.Conv2DTranspose(2, 2, strides=2)(L.Conv2D(4, 3, strides=2, padding="same")(x)), IMAGE),
    "classifier": (lambda x: L.Dense(2)(L.GlobalAveragePooling2D()(L.Conv2D(4, 3)(x))), IMAGE),
    "rows": (lambda x: L.LayerNormalization()(L.Dense(4)(x)), SEQUENCE),
    "attention": (lambda x: L.MultiHeadAttention(2, 3)(x, x), SEQUENCE),
    # On the size that is looked at first this is an upsampling.
    "one size": (lambda x: L.Conv2D(2, 3)(L.Resizing(48, 48)(x)), IMAGE),
    # And of this nothing is left.
    "large": (lambda x: reduce(lambda x, _: L.Conv2D(3, 3, strides=2)(x), range(4), x), IMAGE),
    "recurrent": (lambda x: L.Bidirectional(L.GRU(3, return_sequences=True))(x), SEQUENCE),
}


def file_of(function, shape):
    return recurrent.convert(recurrent.randomize(recurrent.model(function, shape, batch=1), 1), "builtin")


@pytest.mark.parametrize("name", NETWORKS)
def test_any_size(name):
    function, shape = NETWORKS[name]
    content = file_of(function, shape)
    model = tflrecover.recover(content)
    assert model.inputs[0].shape == (None, *shape)
    given = np.random.default_rng(2).uniform(-1, 1, [1, *(33 + i if n is None else n for i, n in enumerate(shape))])
    interpreter = Interpreter(model_content=content)
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], given.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], given.astype("float32"))
    interpreter.invoke()
    wanted = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(model(given), wanted, rtol=0, atol=tolerances.OUTPUT * np.abs(wanted).max())


def test_size_that_is_a_number_in_what_is_computed_stays():
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((1, None, 6))])
    def network(x):
        return x * tf.cast(tf.shape(x)[1], tf.float32)

    converter = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()])
    model = tflrecover.recover(converted(converter))
    assert model.inputs[0].shape == (None, 16, 6)
    assert np.array_equal(model(np.ones((2, 16, 6))), np.full((2, 16, 6), 16.0))


def test_spectrum_of_a_free_batch():
    """The file tells no sizes behind an operator of complex numbers: they follow from its operands."""
    import tensorflow as tf

    def magnitudes(x):
        return tf.reduce_mean(tf.abs(tf.signal.stft(x, 16, 8)), 1)

    function = tf.function(magnitudes, input_signature=[tf.TensorSpec([None, 64], tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    assert recovered(converter.convert()).inputs[0].shape == (None, 64)


def test_complex_constant_is_saved(tmp_path):
    file = file_builders.File()
    x, length = file.input((1, 4, 8)), file.const(np.int32([4, 8]))
    y = file.op("RFFT2D", [x, length], (1, 4, 5), "complex64", options="Rfft2dOptions")
    y = file.op("MUL", [y, file.const(np.complex64(1 + 2j))], (1, 4, 5), "complex64", options="MulOptions")
    model = tflrecover.recover(file.content(file.op("COMPLEX_ABS", [y], (1, 4, 5))))
    given = np.random.default_rng(1).normal(size=(1, 4, 8)).astype("float32")
    wanted = np.abs(np.fft.rfft2(given) * (1 + 2j))
    np.testing.assert_allclose(model(given), wanted, rtol=0, atol=tolerances.OUTPUT * wanted.max())
    model.save(tmp_path / "model.keras")
    assert np.array_equal(keras.models.load_model(tmp_path / "model.keras")(given), model(given))


def routed(x):
    """A mixture of experts: rows of two axes at once, of which the file tells no sizes."""
    rows = keras.ops.reshape(L.Dense(4)(x), (-1, 4))
    weights, experts = keras.ops.top_k(rows, 2)
    return L.Dense(3)(keras.ops.sum(keras.ops.one_hot(experts, 4) * weights[..., None], axis=1))


def test_all_results_of_an_operator_have_the_sizes_of_its_operand():
    inputs = keras.Input((5, 6))
    model = keras_models.randomize(keras.Model(inputs, routed(inputs)), 1)
    assert_exact(keras_models.convert(model))
