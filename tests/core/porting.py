"""The one thing that every kind of model is held against."""

import keras
import keras_models as zoo
import numpy as np
import pytest
from layer_models import example_inputs

import tflrecover
from tests.core.lite import stripped
from tflrecover import tolerances


def built(make, seed):
    keras.utils.clear_session()
    return zoo.randomize(make(), seed)


def file_without_names(make):
    return stripped(zoo.convert(built(make, 1)))


def numbers(value):
    return np.asarray(value).astype("float32")


def assert_ports(make, other=None, inputs=None):
    """From a file without names into a twin with other weights (or another model), and the same answers."""
    original, twin = built(make, 1), built(other or make, 2)
    report = tflrecover.port(stripped(zoo.convert(original)), twin)
    assert report.ok
    inputs = example_inputs(original) if inputs is None else inputs
    given = inputs if len(inputs) > 1 else inputs[0]
    wanted, got = (keras.tree.flatten(m(given, training=False)) for m in (original, twin))
    for a, b in zip(map(numbers, wanted), map(numbers, got), strict=True):
        assert np.abs(a - b).max() <= tolerances.OUTPUT * np.abs(a).max()


def assert_refused(make, other=None):
    """Not ported, and nothing changed."""
    content, twin = file_without_names(make), built(other or make, 2)
    before = [np.asarray(v).copy() for v in twin.variables]
    with pytest.raises(tflrecover.PortError):
        tflrecover.port(content, twin)
    assert all(np.array_equal(a, b) for a, b in zip(before, twin.variables, strict=True))


def differences(right, wrong):
    """``(layer, attribute, file's value, model's value)`` of every difference of a model from another's file."""
    report = tflrecover.diff(file_without_names(right), built(wrong, 2))
    assert not report.ok
    return [(d.keras_layer, d.attribute, d.tflite_value, d.keras_value) for d in report.differences]
