"""Recurrent layers in the forms that files hold: ported into a twin with other weights, without names, and run."""

import keras
import keras_models as zoo
import numpy as np
import pytest
import recurrent_models as recurrent

import tflrecover
from tests.core.test_blazepalm import stripped
from tflrecover import tolerances


def assert_same(original, twin):
    inputs = recurrent.example_inputs(original)
    given = inputs if len(inputs) > 1 else inputs[0]
    wanted, got = (keras.tree.flatten(m(given)) for m in (original, twin))
    for a, b in zip(wanted, got, strict=True):
        assert np.abs(np.asarray(a) - np.asarray(b)).max() <= tolerances.OUTPUT * np.abs(np.asarray(a)).max()


def assert_ported(make, form, batch, make_twin=None):
    keras.utils.clear_session()
    original, twin = zoo.randomize(make(batch), 1), zoo.randomize((make_twin or make)(batch), 2)
    assert tflrecover.port(stripped(recurrent.convert(original, form)), twin).ok
    assert_same(original, twin)


@pytest.mark.parametrize("name", sorted(recurrent.MODELS))
def test_loop_with_lists(name):
    assert_ported(recurrent.MODELS[name], "flex", None)


@pytest.mark.parametrize("name", sorted(recurrent.MODELS))
def test_loop_of_builtin_operators(name):
    assert_ported(recurrent.MODELS[name], "builtin", 2)
