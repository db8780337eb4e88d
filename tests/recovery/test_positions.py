"""The place of the largest number, which ``keras.ops`` writes in many operators, is ported back."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tflrecover
from tests.core.file_builders import File, run

TYPES = {"int32": 2, "int64": 4}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kind", ["ARG_MAX", "ARG_MIN"])
def test_places_are_ported_back(kind, dtype):
    file = File()
    x = file.input((1, 4, 6))
    options = {"options": f"{kind[:3].title()}{kind[4:].title()}Options", "outputType": TYPES[dtype]}
    content = file.content(file.op(kind, (x, file.const(np.int32([2]))), (1, 4), dtype, **options))
    model = tflrecover.recover(content)
    given = np.random.default_rng(0).normal(size=(1, 4, 6)).astype("float32")
    np.testing.assert_array_equal(model(given), run(content, given)[0])
    assert tflrecover.port(content, model).ok
    assert tflrecover.diff(content, model).differences == ()


@pytest.mark.parametrize("kind", ["argmax", "argmin"])
def test_those_of_keras_come_back_as_the_function(kind):
    """A file in which its operators are, of which one is TensorFlow's own."""
    image = keras.Input((6, 6, 2))
    made = keras.Model(image, getattr(keras.ops, kind)(keras.layers.Conv2D(4, 3)(image), axis=-1))
    converter = tf.lite.TFLiteConverter.from_keras_model(made)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    content = converter.convert()
    assert "FlexBitwiseAnd" in {op.type for op in tflrecover.read(content).graph.ops()}
    model = tflrecover.recover(content)
    assert [type(layer).__name__ for layer in model.operations] == ["InputLayer", "Conv2D", kind.title()]
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 2)).astype("float32")
    np.testing.assert_array_equal(model(x), made(x))
    assert tflrecover.port(content, model).ok
