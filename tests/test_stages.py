"""What is being done is told to whoever listens, and to nobody else."""

import logging

import keras
import pytest
import tensorflow as tf

import tflrecover
from tflrecover.stages import stage


def test_stages_of_a_comparison_and_of_a_verification() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)], name="tiny")
    content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    told: list[str] = []
    with tflrecover.progress(told.append):
        assert tflrecover.verify(content, model).ok
    assert told == [
        "tracing the model 'tiny'",
        "comparing both sides",
        "running the file with LiteRT",
        "running the model, operator by operator",
    ]
    told.clear()
    tflrecover.diff(content, model)
    assert told == []


def fails(told: list[str]) -> None:
    with tflrecover.progress(told.append):
        stage("one")
        raise ZeroDivisionError


def test_the_innermost_listener_is_told_and_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    outer: list[str] = []
    inner: list[str] = []
    with tflrecover.progress(outer.append):
        with pytest.raises(ZeroDivisionError):
            fails(inner)
        stage("two")
    with caplog.at_level(logging.DEBUG, "tflrecover"):
        stage("three")
    assert (inner, outer, caplog.messages) == (["one"], ["two"], ["three"])
