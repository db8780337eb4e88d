"""Recurrent layers that are not the file's are refused, and the difference names the layer; quantized files port."""

import keras
import numpy as np
import pytest
import recurrent_models as recurrent
from keras import layers as L

import tflrecover
from tests.core.lite import stripped


def build(function):
    inputs = keras.Input(recurrent.STEPS, batch_size=1)
    return keras.Model(inputs, function(inputs))


def stacked(first, second):
    return build(lambda x: second(first(x)))


def twice(shared):
    one = L.LSTM(6, return_sequences=True, name="first")
    other = one if shared else L.LSTM(6, return_sequences=True, name="second")
    return build(lambda x: other(one(x)))


def lstm(**arguments):
    return L.LSTM(4, name="memory", **arguments)


def gru(**arguments):
    return L.GRU(4, name="memory", **arguments)


FAULTS = {
    "units": (lambda: build(lstm()), lambda: build(L.LSTM(5, name="memory")), "lstm_cell"),
    "activation": (lambda: build(lstm()), lambda: build(lstm(activation="relu")), "lstm_cell"),
    "gate_activation": (lambda: build(lstm()), lambda: build(lstm(recurrent_activation="relu")), "lstm_cell"),
    "reset_after": (lambda: build(gru()), lambda: build(gru(reset_after=False)), "gru_cell"),
    "kind": (lambda: build(lstm()), lambda: build(gru()), "memory|gru_cell"),
    "bias": (lambda: build(lstm()), lambda: build(lstm(use_bias=False)), "memory|lstm_cell"),
    "backwards": (lambda: build(lstm()), lambda: build(lstm(go_backwards=True)), "memory"),
    "sequences": (lambda: build(lstm()), lambda: build(lstm(return_sequences=True)), "."),
    "missing": (lambda: twice(False), lambda: build(L.LSTM(6, return_sequences=True, name="first")), "."),
    "shared": (lambda: twice(False), lambda: twice(True), "first|lstm_cell"),
    "unrolled": (lambda: build(lstm()), lambda: build(lstm(unroll=True, activation="relu")), "memory|lstm_cell"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_wrong_model_is_refused(name):
    make, make_twin, layer = FAULTS[name]
    keras.utils.clear_session()
    original, twin = recurrent.randomize(make(), 1), recurrent.randomize(make_twin(), 2)
    before = [np.asarray(variable) for variable in twin.variables]
    with pytest.raises(tflrecover.PortError, match=layer):
        tflrecover.port(stripped(recurrent.convert(original, "builtin")), twin)
    assert all(np.array_equal(a, np.asarray(b)) for a, b in zip(before, twin.variables, strict=True))


def dynamic_range(converter, inputs):
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]


def half(converter, inputs):
    import tensorflow as tf

    dynamic_range(converter, inputs)
    converter.target_spec.supported_types = [tf.float16]


# Relative: a step of int8 per tensor; of float16.
@pytest.mark.parametrize(("quantize", "tolerance"), [(dynamic_range, 5e-2), (half, 2e-3)])
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_quantized(name, quantize, tolerance):
    # Smaller kernels are not quantized.
    layer = {"lstm": L.LSTM, "gru": L.GRU}[name]
    keras.utils.clear_session()
    original, twin = (recurrent.randomize(build(layer(40)), seed) for seed in (1, 2))
    assert tflrecover.port(stripped(recurrent.convert(original, "builtin", quantize)), twin).ok
    (x,) = recurrent.example_inputs(original)
    wanted, got = np.asarray(original(x)), np.asarray(twin(x))
    assert 0 < np.abs(wanted - got).max() <= tolerance * np.abs(wanted).max()
