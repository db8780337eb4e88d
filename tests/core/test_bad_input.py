"""Every wrong input is one error of its own class, and the model is as it was."""

import keras
import keras_models as zoo
import numpy as np
import pytest
from keras import layers

import tflrecover


def test_not_a_model():
    with pytest.raises(tflrecover.InvalidModel, match="expected a Keras model"):
        tflrecover.diff(zoo.file_of("plain"), object())


def test_unbuilt_model():
    with pytest.raises(tflrecover.UnbuiltModel, match="not built"):
        tflrecover.diff(zoo.file_of("plain"), keras.Sequential([layers.Dense(3)]))


def test_wrong_input_count():
    a, b = keras.Input((16, 16, 3)), keras.Input((16, 16, 3))
    with pytest.raises(tflrecover.InputMismatch, match="2"):
        tflrecover.diff(zoo.file_of("plain"), keras.Model([a, b], layers.Add()([a, b])))


def test_wrong_backend(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(tflrecover.WrongBackend, match="KERAS_BACKEND=tensorflow"):
        tflrecover.diff(zoo.file_of("plain"), zoo.plain())


@pytest.mark.parametrize("content", [b"", b"short", b"\0" * 64, b"\x1c\0\0\0TFL3" + b"\xff" * 200])
def test_not_a_file(content):
    model = zoo.plain()
    before = [np.asarray(v).copy() for v in model.variables]
    with pytest.raises(tflrecover.InvalidFile):
        tflrecover.port(content, model)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.variables, strict=True))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_file(share):
    content = zoo.file_of("plain")
    with pytest.raises(tflrecover.TFLRecoverError):
        tflrecover.port(content[: int(len(content) * share)], zoo.plain())


def test_stale_mapping():
    with pytest.raises(tflrecover.StaleMapping, match="conv"):
        tflrecover.diff(zoo.file_of("plain"), zoo.plain(), {"tflrecover": 1, "skip": ["cnv"]})


def test_mapping_for_another_file():
    with pytest.raises(tflrecover.StaleMapping, match="another file"):
        tflrecover.diff(zoo.file_of("plain"), zoo.plain(), {"tflrecover": 1, "tflite": {"sha256": "0" * 64}})


def test_verify_refuses_wrong_inputs():
    with pytest.raises(tflrecover.EvaluationError, match="shape"):
        tflrecover.verify(zoo.file_of("plain"), zoo.plain(), inputs=[np.zeros((1, 2, 2, 3))])
    with pytest.raises(tflrecover.EvaluationError, match="1 inputs"):
        tflrecover.verify(zoo.file_of("plain"), zoo.plain(), inputs=[])


def test_verify_refuses_a_model_of_another_size():
    x = keras.Input((8, 8, 3))
    small = keras.Model(x, layers.GlobalAveragePooling2D()(layers.Conv2D(5, 3)(x)))
    with pytest.raises(tflrecover.InputMismatch, match=r"build the model for inputs of shape \(1, 16, 16, 3\)"):
        tflrecover.verify(zoo.file_of("plain"), small)
