"""Conditions, loops and variables of files as layers that call models."""

import keras
import numpy as np
import pytest
import recurrent_models as recurrent
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from fused_files import File, options
from keras import layers as L

import tflrecover
from tests.core import file_builders
from tests.core.lite import converted
from tests.recovery.loops import ONE, OTHER, choice_in_loop_in_loop, each_by_itself, list_that_ends_early, until_large
from tests.recovery.recovering import kinds
from tflrecover import tolerances


def choice(x):
    return tf.cond(tf.reduce_sum(x) > 0, lambda: tf.nn.relu(x @ ONE) + 1.0, lambda: tf.constant(OTHER[:2]))


def listed(made):
    return [np.asarray(one) for one in (made if isinstance(made, (list, tuple)) else [made])]


def answers(interpreter, x):
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]).copy() for detail in interpreter.get_output_details()]


@pytest.mark.parametrize(
    "function", [choice, until_large, choice_in_loop_in_loop, list_that_ends_early, each_by_itself]
)
def test_other_way_on_other_numbers(function, tmp_path):
    network = tf.function(function, input_signature=[tf.TensorSpec((2, 4))]).get_concrete_function()
    content = converted(tf.lite.TFLiteConverter.from_concrete_functions([network]))
    tflrecover.recover(content).save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    assert {"WhileLoop", "Conditional"}.intersection(kinds(model))
    assert model.trainable_weights
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    for sign in (-1, 1):
        x = np.float32(sign * np.random.default_rng(5).uniform(0, 1, (2, 4)))
        for mine, wanted in zip(listed(model(x)), answers(interpreter, x), strict=True):
            assert mine.shape == wanted.shape
            np.testing.assert_allclose(mine, wanted, rtol=0, atol=tolerances.OUTPUT * np.abs(wanted).max())


def test_composite_is_its_decomposition():
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import flexbuffers

    inner, file = file_builders.File(), file_builders.File()
    inner_model = inner.model(inner.op("NEG", [inner.input((2, 3))], (2, 3)))
    called = file.op("STABLEHLO_COMPOSITE", [file.input((2, 3))], (2, 3))
    table = schema.StableHLOCompositeOptionsT()
    table.name, table.decompositionSubgraphIndex = "mine.negative", 1
    table.compositeAttributes = list(flexbuffers.Dumps({}))
    (operator,) = file.operators
    operator.builtinOptions2, operator.builtinOptions2Type = table, schema.BuiltinOptions2.StableHLOCompositeOptions
    content = file_builders.with_subgraph(file.model(called), inner_model)
    fed = np.float32([[0, 0.25, -1.5], [3, 7.25, 2]])
    (wanted,) = file_builders.run(content, fed)
    assert np.array_equal(tflrecover.recover(content)(fed), wanted)


def svdf(rank, steps):
    """One SVDF of three units on batches of two, five features each."""
    from ai_edge_litert import schema_py_generated as schema

    generator = np.random.default_rng(8)
    shapes = (3 * rank, 5), (3 * rank, steps), (3,)
    weights = [generator.normal(size=shape).astype("float32") for shape in shapes]
    made = options("SVDF", rank=rank, fusedActivationFunction=schema.ActivationFunctionType.RELU)
    return File((2, 5)).write("SVDF", made, [*weights, (2, 3 * rank * steps)], (2, 3))


def step():
    """One step of a simple recurrent cell."""
    generator = np.random.default_rng(8)
    weights = [generator.normal(size=shape).astype("float32") for shape in ((3, 5), (3, 3), (3,))]
    return File((2, 5)).write("RNN", options("RNN"), [*weights, (2, 3)], (2, 3))


@pytest.mark.parametrize("content", [svdf(1, 1), svdf(2, 3), step()])
def test_operator_that_remembers(content):
    model = tflrecover.recover(content)
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.reset_all_variables()
    for x in np.random.default_rng(6).uniform(-1, 1, (4, 2, 5)).astype("float32"):
        (wanted,) = answers(interpreter, x)
        np.testing.assert_allclose(model(x), wanted, rtol=0, atol=tolerances.OUTPUT * np.abs(wanted).max())


@pytest.mark.parametrize("layer", [L.LSTM(4, stateful=True), L.GRU(4, stateful=True, unroll=True)])
def test_what_a_call_leaves_is_there_in_the_next(layer, tmp_path):
    inputs = keras.Input((5, 6), batch_size=2)
    built = recurrent.randomize(keras.Model(inputs, layer(inputs)), 1)
    content = recurrent.convert(built, "builtin")
    tflrecover.recover(content).save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    assert model.inputs[0].shape[0] == 2
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    for x in np.random.default_rng(6).uniform(-1, 1, (3, 2, 5, 6)).astype("float32"):
        (wanted,) = answers(interpreter, x)
        np.testing.assert_allclose(model.predict(x, verbose=0), wanted, atol=tolerances.OUTPUT * np.abs(wanted).max())
