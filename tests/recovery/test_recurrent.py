"""Recurrent layers come back as layers, from every form in which files hold them."""

import keras
import numpy as np
import pytest
import recurrent_models as recurrent
from ai_edge_litert import schema_py_generated as schema
from fused_files import (
    bidirectional_lstm,
    bidirectional_rnn,
    full_lstm,
    run,
    run_both,
    unidirectional_lstm,
    unidirectional_rnn,
)
from keras import layers as L

import tflrecover
from tests.core import file_builders
from tests.core.lite import converted, stripped
from tests.recovery.recovering import kinds, recovered
from tflrecover import tolerances

STEPS, SIZE, UNITS = 5, 3, 4


def file_of(built):
    return stripped(recurrent.convert(recurrent.randomize(built, 1), "builtin"))


def steps(function, batch=1):
    return recurrent.model(function, (STEPS, SIZE), batch=batch)


def assert_ported(content, model):
    """The model takes the file's weights back, whatever it has learned."""
    assert tflrecover.port(content, recurrent.randomize(model, 5)).ok
    wanted = tflrecover.recover(content).get_weights()
    for mine, theirs in zip(model.get_weights(), wanted, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=tolerances.WEIGHT * np.abs(theirs).max())


def example(lead):
    return np.random.default_rng(3).uniform(-1, 1, (*lead, SIZE)).astype("float32")


def all_kinds(x):
    """One layer of each kind behind another, with sequences and without, and a mask."""
    x = L.Bidirectional(L.LSTM(UNITS, return_sequences=True))(L.Masking(0.5)(x))
    x = L.GRU(UNITS, return_sequences=True, go_backwards=True, reset_after=False)(x)
    x = L.GRU(UNITS, return_sequences=True, activation="relu", recurrent_activation="hard_sigmoid")(x)
    return L.Bidirectional(L.SimpleRNN(UNITS, use_bias=False), merge_mode="ave")(x)


def test_each_layer_is_one_again():
    built = steps(all_kinds)
    content = file_of(built)
    model = recovered(content)
    made = [layer for layer in model.layers if isinstance(layer, (L.RNN, L.Bidirectional))]
    wanted = [layer for layer in built.layers if isinstance(layer, (L.RNN, L.Bidirectional))]
    assert [type(layer) for layer in made] == [type(layer) for layer in wanted]
    for mine, theirs in zip(made, wanted, strict=True):
        for name in ("return_sequences", "go_backwards", "reset_after", "merge_mode"):
            assert getattr(mine, name, None) == getattr(theirs, name, None)
        assert all(map(np.array_equal, mine.get_weights(), theirs.get_weights()))
    assert made[1].recurrent_activation is keras.activations.sigmoid
    assert made[2].recurrent_activation is keras.activations.hard_sigmoid
    assert not made[3].forward_layer.cell.use_bias
    assert model.inputs[0].shape[0] is None
    assert_ported(content, model)


def test_states_are_asked_for_and_given():
    def function(x, y):
        _, h, c = L.LSTM(UNITS, return_state=True)(x)
        return L.LSTM(UNITS, return_sequences=True)(y, initial_state=[h, c])

    model = recovered(file_of(recurrent.model(function, (STEPS, SIZE), (2, SIZE), batch=1)))
    assert kinds(model) == ["InputLayer", "InputLayer", "LSTM", "LSTM"]


def test_dynamic_range_quantization_is_seen_through():
    def quantize(converter, _):
        import tensorflow as tf

        converter.optimizations = [tf.lite.Optimize.DEFAULT]

    built = recurrent.randomize(recurrent.model(L.LSTM(64), (STEPS, 64), batch=1), 1)
    model = tflrecover.recover(recurrent.convert(built, "builtin", quantize))
    assert kinds(model) == ["InputLayer", "LSTM"]
    for mine, theirs in zip(model.get_weights(), built.get_weights(), strict=True):
        assert np.abs(mine - theirs).max() <= tolerances.HALF_STEP["int8"] * 1.001 * np.abs(theirs).max()


@pytest.mark.parametrize("is_time_major", [False, True])
@pytest.mark.parametrize(("make", "kind"), [(unidirectional_lstm, "LSTM"), (unidirectional_rnn, "SimpleRNN")])
def test_fused_operator(make, kind, is_time_major):
    content = make(2, STEPS, SIZE, UNITS, is_time_major)
    model = tflrecover.recover(content)
    assert kinds(model).count(kind) == 1
    assert model.inputs[0].shape[0] == (STEPS if is_time_major else None)
    (wanted,) = run(content, given := example((STEPS, 2) if is_time_major else (2, STEPS)))
    np.testing.assert_allclose(model(given), wanted, rtol=0, atol=tolerances.OUTPUT * np.abs(wanted).max())


@pytest.mark.parametrize(
    ("has", "more"),
    [
        ("coupled peephole", {}),
        ("normalization peephole", {"projected": 2, "cellClip": 0.3, "projClip": 0.1}),
        ("diagonal", {}),
    ],
)
def test_fused_operator_with_what_no_layer_has_is_a_loop(has, more):
    content = full_lstm(STEPS, SIZE, UNITS, has, **more)
    model = tflrecover.recover(content)
    assert kinds(model).count("WhileLoop") == 1
    assert model.inputs[0].shape[0] is None
    (wanted,) = run(content, given := example((1, STEPS)))
    np.testing.assert_allclose(model(given), wanted, rtol=0, atol=tolerances.OUTPUT * np.abs(wanted).max())
    assert_ported(content, model)


def test_one_step_with_its_states_as_operands():
    generator = np.random.default_rng(3)
    kernel, bias = (generator.normal(size=n).astype("float32") for n in ((4 * UNITS, SIZE + UNITS), 4 * UNITS))
    file = file_builders.File()
    x, h, c = (file.input((2, n)) for n in (SIZE, UNITS, UNITS))
    fields = {"kernelType": schema.LSTMKernelType.BASIC, "fusedActivationFunction": file_builders.FUSED.TANH}
    operands = [x, h, file.const(kernel), file.const(bias), c]
    result = file.op("LSTM", operands, (2, UNITS), options="LSTMOptions", version=2, **fields)
    others = [file.tensor((2, n)) for n in (UNITS, SIZE + UNITS, 4 * UNITS)]
    file.operators[-1].outputs = [result, *others]
    content = file.content(result, others[0])
    given = [generator.uniform(-1, 1, (2, n)).astype("float32") for n in (SIZE, UNITS, UNITS)]
    for mine, wanted in zip(tflrecover.recover(content)(given), file_builders.run(content, *given), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=0, atol=tolerances.OUTPUT * np.abs(wanted).max())


@pytest.mark.parametrize(
    ("make", "one"), [(bidirectional_lstm, unidirectional_lstm), (bidirectional_rnn, unidirectional_rnn)]
)
def test_fused_operator_of_both_directions(make, one):
    model = tflrecover.recover(make(2, STEPS, SIZE, UNITS))
    assert kinds(model) == ["InputLayer", "Bidirectional"]
    given = example((2, STEPS))
    wanted = np.concatenate(run_both(one, given, UNITS), -1)
    np.testing.assert_allclose(model(given), wanted, rtol=0, atol=tolerances.OUTPUT * np.abs(wanted).max())


def test_cell_of_ones_own_stays_a_loop_that_learns(tmp_path):
    content = file_of(steps(lambda x: L.RNN(recurrent.Leaky(UNITS), return_sequences=True)(x)))
    model = recovered(content)
    assert kinds(model).count("WhileLoop") == 1
    assert model.inputs[0].shape[0] is None
    generator = np.random.default_rng(3)
    x, y = (generator.uniform(-1, 1, (8, STEPS, n)).astype("float32") for n in (SIZE, UNITS))
    model.compile("adam", "mse")
    losses = model.fit(x, y, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert np.array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert_ported(content, loaded)


def test_what_is_nearly_a_layer_stays_a_loop():
    """An LSTM whose forget gate multiplies what is added."""
    import tensorflow as tf

    kernel, recurrent_kernel = (
        tf.constant(np.random.default_rng(i).normal(size=(n, 16)), tf.float32) for i, n in ((1, SIZE), (2, UNITS))
    )

    def cell(t, h, c, xs):
        i, f, g, o = tf.split(tf.gather(xs, t) @ kernel + h @ recurrent_kernel, 4, -1)
        c = tf.sigmoid(f) * (c + tf.sigmoid(i) * tf.tanh(g))
        return t + 1, tf.sigmoid(o) * tf.tanh(c), c, xs

    @tf.function(input_signature=[tf.TensorSpec((STEPS, 1, SIZE))])
    def network(xs):
        zeros = tf.zeros((1, UNITS))
        return tf.while_loop(lambda t, *_: t < STEPS, cell, (0, zeros, zeros, xs))[1]

    converter = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()])
    assert kinds(recovered(converted(converter))).count("WhileLoop") == 1
