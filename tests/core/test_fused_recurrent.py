"""Fused recurrent operators: from tf_keras's converter and from the schema, into layers of either Keras in any form."""

import contextlib
import io

import fused_files as fused
import keras
import numpy as np
import pytest
import recurrent_models as recurrent
from keras import layers as L

import tflrecover
from tests.core.lite import stripped
from tflrecover import tolerances

BATCH, STEPS, SIZE, UNITS = 2, 5, 6, 4


def model(function, shape=(STEPS, SIZE)):
    inputs = keras.Input(shape, batch_size=BATCH)
    return recurrent.randomize(keras.Model(inputs, function(inputs)), 2)


def assert_same(wanted, got):
    for a, b in zip(wanted, keras.tree.flatten(got), strict=True):
        assert np.abs(a - np.asarray(b)).max() <= tolerances.OUTPUT * np.abs(a).max()


def both(layer, **arguments):
    return L.Bidirectional(layer(UNITS, return_sequences=True), **arguments)


FILES = {
    "lstm": (fused.unidirectional_lstm, lambda x, u: L.LSTM(UNITS, return_sequences=True, unroll=u)(x)),
    "bidirectional_lstm": (fused.bidirectional_lstm, lambda x, u: both(L.LSTM)(x)),
    "simple": (fused.unidirectional_rnn, lambda x, u: L.SimpleRNN(UNITS, return_sequences=True, unroll=u)(x)),
    "bidirectional_simple": (fused.bidirectional_rnn, lambda x, u: both(L.SimpleRNN)(x)),
}


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_file_from_the_schema(name, unroll):
    make, function = FILES[name]
    file, twin = make(BATCH, STEPS, SIZE, UNITS), model(lambda x: function(x, unroll))
    assert tflrecover.port(file, twin).ok
    x = np.random.default_rng(3).uniform(-1, 1, (BATCH, STEPS, SIZE)).astype("float32")
    single = {"bidirectional_lstm": fused.unidirectional_lstm, "bidirectional_simple": fused.unidirectional_rnn}
    is_both = name in single
    wanted = [np.concatenate(fused.run_both(single[name], x, UNITS), axis=-1)] if is_both else fused.run(file, x)
    assert_same(wanted, twin(x))


def test_outputs_of_both_directions_apart():
    file = fused.bidirectional_lstm(BATCH, STEPS, SIZE, UNITS, merge=False)
    twin = model(lambda x: both(L.LSTM, merge_mode=None)(x))
    assert tflrecover.port(file, twin).ok
    x = np.random.default_rng(3).uniform(-1, 1, (BATCH, STEPS, SIZE)).astype("float32")
    assert_same(fused.run_both(fused.unidirectional_lstm, x, UNITS), twin(x))


@pytest.mark.parametrize("make", [fused.unidirectional_lstm, fused.unidirectional_rnn])
def test_time_major(make):
    layer = {fused.unidirectional_lstm: L.LSTM, fused.unidirectional_rnn: L.SimpleRNN}[make]

    def function(x):
        x = keras.ops.transpose(x, (1, 0, 2))
        return keras.ops.transpose(layer(UNITS, return_sequences=True)(x), (1, 0, 2))

    file = make(BATCH, STEPS, SIZE, UNITS, time_major=True)
    inputs = keras.Input((BATCH, SIZE), batch_size=STEPS)
    twin = recurrent.randomize(keras.Model(inputs, function(inputs)), 2)
    assert tflrecover.port(file, twin).ok
    x = np.random.default_rng(3).uniform(-1, 1, (STEPS, BATCH, SIZE)).astype("float32")
    assert_same(fused.run(file, x), twin(x))


def of_tf_keras(function):
    import tf_keras

    inputs = tf_keras.Input((STEPS, SIZE), batch_size=1)
    return tf_keras.Model(inputs, function(inputs, tf_keras.layers))


TF_KERAS = {
    "lstm": lambda x, layers: layers.LSTM(4)(x),
    "gru": lambda x, layers: layers.GRU(4)(x),
    "bidirectional": lambda x, layers: layers.Dense(3)(layers.Bidirectional(layers.LSTM(4, return_sequences=True))(x)),
}


@pytest.mark.parametrize(
    ("name", "target"),
    [("lstm", "tf_keras"), ("lstm", "loop"), ("lstm", "unrolled"), ("gru", "tf_keras"), ("bidirectional", "unrolled")],
)
def test_tf_keras(name, target):
    import tensorflow as tf

    original = recurrent.randomize(of_tf_keras(TF_KERAS[name]), 1)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        file = tf.lite.TFLiteConverter.from_keras_model(original).convert()
    twin = of_tf_keras(TF_KERAS[name]) if target == "tf_keras" else recurrent.EITHER[name](target == "unrolled")(1)
    assert tflrecover.port(stripped(file), recurrent.randomize(twin, 2)).ok
    x = np.random.default_rng(3).uniform(-1, 1, (1, STEPS, SIZE)).astype("float32")
    assert_same([np.asarray(original(x))], twin(x))


def test_layer_with_other_units_is_refused():
    file = fused.unidirectional_lstm(BATCH, STEPS, SIZE, UNITS)
    twin = model(lambda x: L.LSTM(UNITS + 1, return_sequences=True, name="memory")(x))
    with pytest.raises(tflrecover.PortError, match="`units=4` on layer 'memory'"):
        tflrecover.port(file, twin)


def lstm_with(**changes):
    """The file of an LSTM with operands, or options, that no layer of Keras has."""
    operands = [*fused.lstm_direction(1, UNITS, SIZE), *[(BATCH, UNITS)] * 2]
    options = {name: value for name, value in changes.items() if not isinstance(value, np.ndarray)}
    for name in changes.keys() - options.keys():
        operands[{"peephole": 8, "projection": 15, "norm": 19}[name]] = changes[name]
    operands = [None if i == changes.get("left_out") else given for i, given in enumerate(operands)]
    options.pop("left_out", None)
    made = fused.options("UnidirectionalSequenceLSTM", timeMajor=False, **options)
    return fused.File((BATCH, STEPS, SIZE)).write("UNIDIRECTIONAL_SEQUENCE_LSTM", made, operands, (BATCH, STEPS, UNITS))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"peephole": np.ones(UNITS)}, "it has peephole weights, which no recurrent layer of Keras has"),
        ({"projection": np.ones((UNITS, UNITS))}, "it has a projection, which"),
        ({"cellClip": 1.5}, "it has a clip of 1.5 and 0, which"),
        ({"left_out": 0}, "it has a gate that is left out, which"),
    ],
)
def test_what_no_layer_has_is_refused_with_the_reason(changes, reason):
    twin = model(lambda x: L.LSTM(UNITS, return_sequences=True)(x))
    with pytest.raises(tflrecover.PortError, match=reason):
        tflrecover.port(lstm_with(**changes), twin)
