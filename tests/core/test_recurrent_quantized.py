"""Quantized recurrent layers, unrolled and fused: the port is at least as close to the original as the file is.

There are no full-integer files with loops: the converter's calibrator dies on WHILE (measured with TensorFlow 2.21).
"""

import keras
import numpy as np
import pytest
import recurrent_models as recurrent
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import layers as L

import tflrecover
from tests.core.file_builders import run
from tests.core.lite import converted, quantize, stripped
from tests.core.test_quantized import signal_to_noise
from tflrecover.ir import Quantization
from tflrecover.ops.quantize import dequantized
from tflrecover.transfer.equations import Equation, System
from tflrecover.transfer.plan import Variable, plan
from tflrecover.weight import Leaf, evaluate

# Smaller kernels are not quantized in the dynamic range mode.
STEPS, SIZE, UNITS, BATCH = 5, 32, 32, 2
# Where activations have sixteen bits the file has no error but that of its weights, which the port has too.
SLACK = 1.0


def samples(count, seed):
    return np.random.default_rng(seed).uniform(-1, 1, (count, BATCH, STEPS, SIZE)).astype("float32")


def model(function, seed):
    keras.utils.clear_session()
    inputs = keras.Input((STEPS, SIZE), batch_size=BATCH)
    return recurrent.randomize(keras.Model(inputs, function(inputs)), seed)


def of_tf_keras(function, seed):
    import tf_keras

    inputs = tf_keras.Input((STEPS, SIZE), batch_size=BATCH)
    return recurrent.randomize(tf_keras.Model(inputs, function(inputs, tf_keras.layers)), seed)


def convert(built, mode):
    converter = tf.lite.TFLiteConverter.from_keras_model(built)
    quantize(converter, mode, lambda: ([x] for x in samples(8, 1)))
    return stripped(converted(converter))


def assert_as_close(original, content, twin):
    report = tflrecover.port(content, twin)
    assert report.ok
    assert any("quantized" in note for note in report.notes)
    given = samples(8, 100)
    wanted, ported = (np.array([np.asarray(m(x)) for x in given], "float64") for m in (original, twin))
    file = np.array([run(content, x, delegates=True)[0] for x in given])
    assert signal_to_noise(wanted, ported) >= signal_to_noise(wanted, file) - SLACK


def lstm(unroll):
    return lambda x: L.LSTM(UNITS, unroll=unroll)(x)


def simple_both(unroll):
    return lambda x: L.Bidirectional(L.SimpleRNN(UNITS, return_sequences=True, unroll=unroll))(x)


def two(unroll):
    """The second layer's bias is in the file once as int8, with the first step's product of zeros, and as int32."""
    return lambda x: L.GRU(20, unroll=unroll)(L.LSTM(UNITS, unroll=unroll, return_sequences=True)(x))


@pytest.mark.parametrize(
    ("make", "unroll_twin", "mode"),
    [(lstm, False, "int8"), (two, True, "int8"), (two, False, "int16x8"), (simple_both, False, "int8")],
)
def test_unrolled(make, unroll_twin, mode):
    original, twin = model(make(True), 1), model(make(unroll_twin), 2)
    assert_as_close(original, convert(original, mode), twin)


@pytest.mark.parametrize("mode", ["fp16", "dynamic", "int8"])
def test_fused(mode):
    original = of_tf_keras(lambda x, layers: layers.LSTM(UNITS)(x), 1)
    content = convert(original, mode)
    assert any(op.type == "UNIDIRECTIONAL_SEQUENCE_LSTM" for op in tflrecover.read(content).graph.ops())
    assert_as_close(original, content, model(lstm(False), 2))


def test_state_between_calls():
    """Each call but the first begins where the last one ended, in the file with eight bits."""
    original = model(lambda x: L.GRU(UNITS, stateful=True, unroll=True)(x), 1)
    twin = model(lambda x: L.GRU(UNITS, stateful=True)(x), 2)
    content = convert(original, "int8")
    assert tflrecover.port(content, twin).ok
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    given, file = samples(6, 100), []
    for x in given:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        file.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).copy())
    wanted, ported = (np.array([np.asarray(m(x)) for x in given], "float64") for m in (original, twin))
    assert signal_to_noise(wanted, ported) >= signal_to_noise(wanted, np.array(file)) - SLACK


def stored(key, array, step, dtype):
    """A tensor that holds an array in whole steps, and the expression that it is."""
    leaf = Leaf(array.shape, dtype, key)
    return np.round(array / step).astype(dtype), dequantized(
        leaf, Quantization(np.array([step], np.float32), np.zeros(1, np.int64))
    )


@pytest.mark.parametrize("error", [0.4, 1.5])
def test_finest_statement_wins_and_the_coarser_is_checked(error):
    """The coarser one comes first, as a scaling on an edge; it may be off by half of its own step."""
    bias = np.random.default_rng(4).uniform(-1, 1, 6).astype("float32")
    step = np.float32(np.abs(bias).max() / 127)
    off = np.round(bias / step) * step
    off[0] += np.sign(error) * step * np.round(error)
    fine, coarse = stored(0, bias, np.float32(1e-5), "int32"), stored(1, off, step, "int8")
    keras_bias = Leaf(bias.shape, "float32", "bias", "bias")
    system = System(
        edges=(Equation(coarse[1], keras_bias, "offset", 1, 1),),
        weights=(Equation(fine[1], keras_bias, "bias", 0, 0),),
    )
    env = {0: fine[0], 1: coarse[0]}
    outcome = plan(system, {"bias": Variable(bias.shape, "float32")}, {"bias"}, env, {})
    if error > 1:
        assert [failure.equation.role for failure in outcome.failed] == ["offset"]
        return
    assert not outcome.failed
    (assignment,) = outcome.assignments
    assert np.array_equal(assignment.value, evaluate(fine[1], env))
