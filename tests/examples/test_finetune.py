"""A file's network is trained further and becomes a file again."""

import keras
import pytest

from examples.finetune.train import finetune
from tests.core.keras_models import convert, randomize


@pytest.fixture
def file(tmp_path):
    layers = keras.layers
    stages = [layers.Conv2D(8, 3, strides=2), layers.BatchNormalization(), layers.ReLU(6.0), layers.DepthwiseConv2D(3)]
    head = [layers.Conv2D(16, 1, activation="relu"), layers.GlobalMaxPooling2D(), layers.Dense(10)]
    model = randomize(keras.Sequential([keras.Input((24, 24, 3)), *stages, *head]), 0)
    path = tmp_path / "backbone.tflite"
    path.write_bytes(convert(model))
    return path


@pytest.mark.parametrize("trained", [[], ["conv2d*"]], ids=["head", "layers of the file too"])
def test_a_new_head_is_trained_and_exported(file, tmp_path, trained):
    outcome = finetune(file, tmp_path, trained=trained, epochs=4 if not trained else 12)
    assert outcome.losses[-1] < 0.9 * outcome.losses[0]
    assert outcome.error < 1e-4
    assert outcome.file.is_file()
