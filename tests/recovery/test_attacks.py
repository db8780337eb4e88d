"""What files that nobody expected, and settings of the user's, must not do."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import tflrecover
from tests.core.keras_models import file_of
from tflrecover.recovery.layers import tensorflow_function


def file(function, *shapes):
    """A file of a function of tensors; None is an open size."""
    signature = [tf.TensorSpec(shape, name=f"x{i or ''}") for i, shape in enumerate(shapes)]
    module = tf.Module()
    module.f = tf.function(function, input_signature=signature)
    return tf.lite.TFLiteConverter.from_concrete_functions([module.f.get_concrete_function()], module).convert()


def run(content, x):
    interpreter = Interpreter(model_content=content)
    detail = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(detail["index"], x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(detail["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (lambda x: x / tf.cast(tf.shape(x)[0], tf.float32), (None, 3)),
        (lambda x: tf.where(tf.shape(x)[0] > 2, x * 2.0, x * 3.0), (None, 3)),
        (lambda x: tf.where(tf.shape(x)[1] > 12, x * 2.0, x * 3.0), (1, None, 3)),
        (lambda x: x - tf.reduce_mean(x, 0, keepdims=True), (None, 3)),
    ],
)
def test_what_is_free_is_as_in_the_file(function, shape):
    content = file(function, shape)
    model = tflrecover.recover(content)
    x = np.random.default_rng(0).normal(size=[5 if n is None else n for n in shape]).astype("float32")
    if all(mine in (None, n) for mine, n in zip(model.inputs[0].shape, x.shape, strict=True)):
        np.testing.assert_allclose(model(x), run(content, x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x - tf.nn.relu(tf.reduce_max(x, 0, keepdims=True) - 1.5),
        lambda x: x[:2] * 2.0,
        lambda x: x[2:] * 2.0,
        lambda x: tf.math.log(x - 3.0) + tf.reduce_mean(x, 0, keepdims=True),
    ],
)
def test_a_batch_that_is_mixed_or_cut_is_fixed(function):
    assert tflrecover.recover(file(function, (4, 4))).inputs[0].shape[0] == 4


@pytest.mark.parametrize("setting", ["channels_first", "mixed_float16"])
def test_settings_of_the_user_are_not_the_files(setting):
    before = keras.config.image_data_format(), keras.config.dtype_policy()
    wanted = tflrecover.recover(file_of("plain"))
    try:
        if setting == "channels_first":
            keras.config.set_image_data_format(setting)
        else:
            keras.config.set_dtype_policy(setting)
        model = tflrecover.recover(file_of("plain"))
        assert (keras.config.image_data_format() == "channels_first") == (setting == "channels_first")
    finally:
        keras.config.set_image_data_format(before[0])
        keras.config.set_dtype_policy(before[1])
    x = np.random.default_rng(0).uniform(size=(2, *model.inputs[0].shape[1:])).astype("float32")
    assert model.outputs[0].dtype == "float32"
    np.testing.assert_array_equal(model(x), wanted(x))


@pytest.mark.parametrize(
    "name", ["_os.system", "io.gfile.makedirs", "load_op_library", "raw_ops.ReadFile", "print", "py_function"]
)
def test_only_what_computes_is_called(name):
    with pytest.raises(ValueError, match="only computes"):
        tensorflow_function(name)


def test_an_output_may_be_called_as_an_input():
    assert tflrecover.recover(file(lambda x: {"x": x * 2.0 + 1.0}, (1, 4))).inputs[0].name == "x"


def test_operands_may_have_other_batches():
    content = file(lambda x: x - tf.reduce_mean(x, 0, keepdims=True), (4, 4))
    x = np.random.default_rng(0).normal(size=(4, 4)).astype("float32")
    np.testing.assert_allclose(tflrecover.recover(content)(x), run(content, x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("method", ["bilinear", "nearest"])
def test_a_resize_by_no_whole_factor_is_keras_own(method):
    content = file(lambda x: tf.image.resize(x, (8, 7), method), (1, 5, 6, 2))
    model = tflrecover.recover(content)
    assert [type(layer).__name__ for layer in model.layers] == ["InputLayer", "Resizing"]
    x = np.random.default_rng(0).normal(size=(1, 5, 6, 2)).astype("float32")
    np.testing.assert_allclose(model(x), run(content, x), rtol=0, atol=1e-6)
    assert tflrecover.port(content, model).ok


def test_outputs_are_called_in_the_source_as_in_the_file(tmp_path):
    """Whether a layer makes them or a function."""

    def heads(x):
        largest, places = tf.nn.top_k(x, 2)
        return {"output_0": largest, "output_1": places, "output_2": tf.nn.relu(x)}

    source, *_ = tflrecover.generate(file(heads, (1, 6)), tmp_path / "made.py")
    lines = [line.split(" = ") for line in source.read_text().splitlines() if 'name="output_' in line]
    assert len(lines) == 3
    assert all(f'name="{variable.strip()}"' in made for variable, made in lines)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: {"classificationheadscores": x * 2.0, "other": tf.nn.softmax(x)},
        lambda x: x[1:] * 2.0,
    ],
)
def test_sources_of_odd_names_and_parts(tmp_path, function):
    assert len(tflrecover.generate(file(function, (2, 4)), tmp_path / "made.py")) >= 1


def test_a_network_that_keras_does_not_take_is_one_error():
    with pytest.raises(tflrecover.TFLRecoverError):
        tflrecover.recover(damaged())


def damaged():
    """A reshape to a negative size."""
    sizes, others = (np.array([1, 2, n, 3], np.int32).tobytes() for n in (2, -2))
    return file(lambda x: tf.reshape(x, [1, 2, 2, 3]), (1, 4, 3)).replace(sizes, others)
