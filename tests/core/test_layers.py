"""Every kind of layer: ported into a twin with other weights, from a file without tensor names, and run."""

import keras
import keras_models as zoo
import numpy as np
import pytest
from layer_models import MODELS, example_inputs

import tflrecover
from tests.core.lite import stripped
from tflrecover import tolerances


@pytest.mark.parametrize("name", sorted(MODELS))
def test_port(name):
    keras.utils.clear_session()
    original, twin = zoo.randomize(MODELS[name](), 1), zoo.randomize(MODELS[name](), 2)
    report = tflrecover.port(stripped(zoo.convert(original)), twin)
    assert report.ok
    inputs = example_inputs(original)
    given = inputs if len(inputs) > 1 else inputs[0]
    wanted, got = (keras.tree.flatten(m(given)) for m in (original, twin))
    for a, b in zip(wanted, got, strict=True):
        assert np.abs(np.asarray(a) - np.asarray(b)).max() <= tolerances.OUTPUT * np.abs(np.asarray(a)).max()
