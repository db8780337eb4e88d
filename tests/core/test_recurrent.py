"""Recurrent layers in the forms that files hold: ported into a twin with other weights, without names, and run."""

import keras
import keras_models as zoo
import numpy as np
import pytest
import recurrent_models as recurrent

import tflrecover
from tests.core.lite import stripped
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


# Every layer once with each kind of lists, what is particular to a form in that form.
BUILTIN = ["any_length", "bidirectional_none", "cells", "conv_lstm_1d", "deep", "encoder_decoder", "lstm_all", "masked"]
BOTH_UNROLLED = ["backwards", "bidirectional", "gru", "lstm_state", "masked", "two"]
ACROSS = ["backwards", "conv_lstm_1d", "gru_reset_before", "lstm_sequences", "two"]


@pytest.mark.parametrize("name", sorted(recurrent.MODELS))
def test_loop_with_lists(name):
    assert_ported(recurrent.MODELS[name], "flex", None)


@pytest.mark.parametrize("name", BUILTIN)
def test_loop_of_builtin_operators(name):
    assert_ported(recurrent.MODELS[name], "builtin", 2)


@pytest.mark.parametrize("batch", [None, 2])
@pytest.mark.parametrize("name", BOTH_UNROLLED)
def test_unrolled(name, batch):
    assert_ported(recurrent.EITHER[name](True), "builtin", batch)


@pytest.mark.parametrize("name", ACROSS)
def test_loop_into_unrolled(name):
    make, make_twin = (recurrent.EITHER[name](unroll) for unroll in (False, True))
    assert_ported(make, "builtin", 2, make_twin)


@pytest.mark.parametrize("name", ACROSS)
def test_unrolled_into_loop(name):
    make, make_twin = (recurrent.EITHER[name](unroll) for unroll in (True, False))
    assert_ported(make, "builtin", 1, make_twin)


def test_what_litert_cannot_run_is_told():
    model = zoo.randomize(recurrent.MODELS["two"](None), 1)
    with pytest.raises(
        tflrecover.EvaluationError, match=r"TensorFlow's own, which this LiteRT lacks; diff and port work"
    ):
        tflrecover.verify(recurrent.convert(model, "flex"), model)
