"""Small models with recurrent layers, and the forms in which files hold them."""

import contextlib
import io

import keras
import numpy as np
from keras import layers as L

STEPS, FRAMES, STRIP = (5, 6), (3, 5, 5, 2), (3, 6, 2)


def model(function, *shapes, batch=None):
    inputs = [keras.Input(shape, batch_size=batch) for shape in shapes]
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], function(*inputs))


def steps(function, shape=STEPS):
    return lambda batch: model(function, shape, batch=batch)


def stacked_cells(x):
    return L.RNN([L.LSTMCell(4), L.GRUCell(3)], return_sequences=True)(x)


def given_states(x, h, c):
    return L.LSTM(4, return_sequences=True)(x, initial_state=[h, c])


def encoder_decoder(x, y):
    _, h, c = L.LSTM(4, return_state=True)(x)
    return L.Dense(3)(L.LSTM(4, return_sequences=True)(y, initial_state=[h, c]))


def deep(x):
    x = L.Bidirectional(L.LSTM(4, return_sequences=True))(x)
    x = L.GRU(3, return_sequences=True)(x)
    return L.Dense(2)(L.SimpleRNN(4)(x))


class Leaky(keras.layers.Layer):
    """A cell of one's own."""

    def __init__(self, units):
        super().__init__()
        self.units = self.state_size = units

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")
        self.decay = self.add_weight(shape=(self.units,), name="decay")
        self.built = True

    def call(self, inputs, states):
        state = keras.ops.tanh(keras.ops.matmul(inputs, self.kernel)) + self.decay * states[0]
        return state, [state]


MODELS = {
    "lstm": steps(lambda x: L.LSTM(4)(x)),
    "lstm_sequences": steps(lambda x: L.LSTM(4, return_sequences=True)(x)),
    "lstm_all": steps(lambda x: L.LSTM(4, return_sequences=True, return_state=True)(x)),
    "lstm_activations": steps(lambda x: L.LSTM(4, activation="relu", recurrent_activation="hard_sigmoid")(x)),
    "gru": steps(lambda x: L.GRU(4)(x)),
    "gru_reset_before": steps(lambda x: L.GRU(4, reset_after=False, return_sequences=True)(x)),
    "simple": steps(lambda x: L.SimpleRNN(4)(x)),
    "backwards": steps(lambda x: L.GRU(4, go_backwards=True, return_sequences=True)(x)),
    "bidirectional": steps(lambda x: L.Bidirectional(L.LSTM(4, return_sequences=True))(x)),
    "bidirectional_mul": steps(lambda x: L.Bidirectional(L.SimpleRNN(4), merge_mode="mul")(x)),
    "bidirectional_none": steps(lambda x: L.Bidirectional(L.GRU(4), merge_mode=None)(x)),
    "two": steps(lambda x: L.Dense(3)(L.LSTM(4)(L.LSTM(5, return_sequences=True)(x)))),
    "deep": steps(deep),
    "cells": steps(stacked_cells),
    "own_cell": steps(lambda x: L.RNN(Leaky(4))(x)),
    "given_states": lambda batch: model(given_states, STEPS, (4,), (4,), batch=batch),
    "encoder_decoder": lambda batch: model(encoder_decoder, STEPS, (3, 2), batch=batch),
    "masked": steps(lambda x: L.LSTM(4)(L.Masking()(x))),
    "masked_gru": steps(lambda x: L.GRU(4, return_sequences=True)(L.Masking(0.5)(x))),
    "conv_lstm_1d": steps(lambda x: L.ConvLSTM1D(3, 3, padding="same", return_sequences=True)(x), STRIP),
    "conv_lstm_2d": steps(lambda x: L.ConvLSTM2D(3, 3)(x), FRAMES),
    "time_distributed": steps(lambda x: L.LSTM(3)(L.TimeDistributed(L.Dense(4, activation="relu"))(x))),
    "any_length": steps(lambda x: L.LSTM(4, return_sequences=True)(x), (None, 6)),
}


def keras_kind(unroll, kind, **arguments):
    """A model with one layer; layers that cannot be unrolled do not belong here."""
    make = {"lstm": L.LSTM, "gru": L.GRU, "simple": L.SimpleRNN}[kind]
    return steps(lambda x: make(4, unroll=unroll, **arguments)(x))


def bidirectional(unroll):
    return steps(lambda x: L.Dense(3)(L.Bidirectional(L.LSTM(4, return_sequences=True, unroll=unroll))(x)))


def two_layers(unroll):
    return steps(lambda x: L.GRU(3, unroll=unroll)(L.LSTM(4, unroll=unroll, return_sequences=True)(x)))


def masked(unroll):
    return steps(lambda x: L.LSTM(4, unroll=unroll)(L.Masking()(x)))


def conv(unroll):
    return steps(lambda x: L.ConvLSTM1D(3, 3, unroll=unroll)(x), STRIP)


# Each takes whether its layers are unrolled.
EITHER = {
    "lstm": lambda unroll: keras_kind(unroll, "lstm"),
    "lstm_sequences": lambda unroll: keras_kind(unroll, "lstm", return_sequences=True),
    "lstm_state": lambda unroll: keras_kind(unroll, "lstm", return_state=True),
    "gru": lambda unroll: keras_kind(unroll, "gru"),
    "gru_reset_before": lambda unroll: keras_kind(unroll, "gru", reset_after=False, return_sequences=True),
    "simple": lambda unroll: keras_kind(unroll, "simple"),
    "backwards": lambda unroll: keras_kind(unroll, "gru", go_backwards=True, return_sequences=True),
    "bidirectional": bidirectional,
    "two": two_layers,
    "masked": masked,
    "conv_lstm_1d": conv,
}


def example_inputs(built):
    rng = np.random.default_rng(5)
    shapes = [tuple(n or 3 for n in (i.shape[0] or 1, *i.shape[1:])) for i in built.inputs]
    return [rng.uniform(-1, 1, shape).astype("float32") for shape in shapes]


def convert(built, form, quantize=None):
    """A file whose lists are TensorFlow's (``flex``) or tensors of builtin operators (``builtin``)."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(built)
    if form == "flex":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
        converter._experimental_lower_tensor_list_ops = False
    if quantize is not None:
        quantize(converter, example_inputs(built))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return converter.convert()


def randomize(built, seed):
    """Random weights for models of Keras 3 and of tf_keras."""
    rng = np.random.default_rng(seed)
    for variable in built.variables:
        variable.assign(rng.uniform(-0.5, 0.5, tuple(variable.shape)).astype("float32"))
    return built
