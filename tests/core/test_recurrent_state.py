"""What a file keeps between calls: ported into stateful twins, told where one side alone keeps it."""

import keras
import numpy as np
import pytest
import recurrent_models as recurrent
from ai_edge_litert.interpreter import Interpreter
from keras import layers as L

import tflrecover
from tests.core.lite import stripped
from tests.core.test_rewrite import Build
from tflrecover import tolerances
from tflrecover.errors import WeightlessFile
from tflrecover.ir import Graph, Op, Value
from tflrecover.ops import tflite_reader
from tflrecover.rewrite import canonicalize
from tflrecover.rewrite.contents import Contents
from tflrecover.rewrite.lower import lower
from tflrecover.tflite import flattened
from tflrecover.tflite.model import TFLiteModel

SHAPE = (2, 5, 6)


def batches(count):
    return np.random.default_rng(9).uniform(-1, 1, (count, *SHAPE)).astype("float32")


def build(layer, seed):
    keras.utils.clear_session()
    inputs = keras.Input(SHAPE[1:], batch_size=SHAPE[0])
    return recurrent.randomize(keras.Model(inputs, layer()(inputs)), seed)


def one(kind, stateful=True, unroll=False):
    return lambda: getattr(L, kind)(4, stateful=stateful, unroll=unroll, name="memory")


def both(unroll):
    return lambda: L.Bidirectional(L.GRU(4, stateful=True, unroll=unroll))


def file_of(model, is_used=True):
    """The file of a model that has been called before, so that its states are not zeros."""
    if is_used:
        model(batches(1)[0])
    return stripped(recurrent.convert(model, "builtin"))


def calls(content, inputs):
    """What LiteRT answers to one call after the other."""
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    answers = []
    for x in inputs:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        answers.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).copy())
    return answers


def assert_same_calls(content, twin):
    inputs = batches(3)
    for wanted, x in zip(calls(content, inputs), inputs, strict=True):
        assert np.abs(wanted - np.asarray(twin(x))).max() <= tolerances.OUTPUT * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("make", "make_twin"),
    [
        (one("LSTM"), one("LSTM")),
        (one("SimpleRNN"), one("SimpleRNN", unroll=True)),
        (one("GRU", unroll=True), one("GRU")),
        (one("LSTM", unroll=True), one("LSTM", unroll=True)),
        (both(False), both(False)),
    ],
)
def test_one_call_goes_on_where_the_last_ended(make, make_twin):
    content, twin = file_of(build(make, 1)), build(make_twin, 2)
    report = tflrecover.port(content, twin)
    assert report.ok
    states = [a for a in report.assignments if "rnn_state" in a.variable]
    assert states
    assert all(a.state == "assigned" and a.value.any() for a in states)
    assert_same_calls(content, twin)


def test_tf_keras():
    import tf_keras

    def make(seed):
        inputs = tf_keras.Input(SHAPE[1:], batch_size=SHAPE[0])
        return recurrent.randomize(tf_keras.Model(inputs, tf_keras.layers.LSTM(4, stateful=True)(inputs)), seed)

    content, twin = file_of(make(1)), make(2)
    assert tflrecover.port(content, twin).ok
    assert_same_calls(content, twin)


@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("stateful", [False, True])
def test_states_on_one_side_alone(stateful, unroll):
    content = file_of(build(one("LSTM", stateful), 1), is_used=False)
    twin = build(one("LSTM", not stateful, unroll), 2)
    before = [np.asarray(v) for v in twin.variables]
    with pytest.raises(tflrecover.PortError, match=f"set `stateful={stateful}` on layer 'memory'") as refused:
        tflrecover.port(content, twin)
    (difference,) = refused.value.report.differences
    assert (difference.kind, difference.tflite_value, difference.keras_value) == ("attribute", stateful, not stateful)
    assert all(np.array_equal(a, np.asarray(b)) for a, b in zip(before, twin.variables, strict=True))
    wanted = {"tflrecover": 1, "accept": [{"layer": "memory", "attribute": "stateful"}]}
    assert tflrecover.port(content, twin, wanted).ok
    assert np.allclose(calls(content, batches(1))[0], twin(batches(1)[0]), atol=1e-6)


def test_first_call_from_other_numbers_than_zeros_is_told():
    content, twin = file_of(build(one("GRU"), 1)), build(one("GRU", stateful=False), 2)
    with pytest.raises(tflrecover.PortError, match="first call begins with other numbers than zeros"):
        tflrecover.port(content, twin)


class Drift(keras.layers.Layer):
    """A state of one's own, and a count that nothing depends on."""

    def build(self, shape):
        self.sum = self.add_weight(shape=(shape[-1],), trainable=False, name="sum")
        self.count = self.add_weight(shape=(), trainable=False, name="count")
        self.built = True

    def call(self, x):
        self.count.assign_add(1.0)
        self.sum.assign_add(keras.ops.mean(x, axis=(0, 1)))
        return x * self.sum


def test_state_of_a_layer_of_ones_own():
    content, twin = file_of(build(Drift, 1)), build(Drift, 2)
    report = tflrecover.port(content, twin)
    assert report.ok
    assert {a.variable: a.state for a in report.assignments} == {"drift/sum": "assigned", "drift/count": "kept"}
    assert_same_calls(content, twin)


def test_verify_leaves_the_states_as_they_are():
    content, twin = file_of(build(one("LSTM"), 1)), build(one("LSTM"), 2)
    tflrecover.port(content, twin)
    before = [np.asarray(state) for state in twin.get_layer("memory").states]
    report = tflrecover.verify(content, twin)
    assert report.ok
    assert len(report.checks) >= 3
    assert all(np.array_equal(a, b) for a, b in zip(before, twin.get_layer("memory").states, strict=True))


def test_weights_in_variables_that_nothing_fills():
    import tensorflow as tf

    model = build(one("LSTM"), 1)
    function = tf.function(lambda x: model(x)).get_concrete_function(tf.TensorSpec(SHAPE))
    content = tf.lite.TFLiteConverter.from_concrete_functions([function], model).convert()
    with pytest.raises(WeightlessFile, match="nothing initialises"):
        tflrecover.port(content, model)


class BuildVariables(Build):
    """A file whose variables CALL_ONCE has filled."""

    def variable(self, name, array=None):
        handle = self("VAR_HANDLE", shape=(), container="", shared_name=name)
        if array is not None:
            self.assign(handle, self.const(array), once=True)
        return handle

    def read(self, handle, shape):
        return self("READ_VARIABLE", handle, shape=shape)

    def assign(self, handle, value, **attributes):
        self.ops.append(Op(len(self.ops), "ASSIGN_VARIABLE", (handle, value), (), attributes))

    def canonical(self, *outputs):
        graph = Graph.build(self.ops, self.values, self.inputs, outputs)
        result = canonicalize(lower(graph, tflite_reader, Contents(graph))).freeze()
        return " ".join(op.type for op in result.ops()), result


START = np.array([[1, 2, 3, 4]], "float32")


def test_variable_that_is_assigned_is_a_state():
    b = BuildVariables((1, 4))
    v = b.variable("v", START)
    y = b("TANH", b("MUL", b.read(v, (1, 4)), 0, shape=(1, 4)), shape=(1, 4))
    b.assign(v, y)
    text, graph = b.canonical(b("RELU", b.read(v, (1, 4)), shape=(1, 4)))
    assert sorted(text.split()) == ["MUL", "NEXT_STATE", "RELU", "STATE", "TANH"]
    ops = {op.type: op for op in graph.ops()}
    assert ops["NEXT_STATE"].inputs == (ops["STATE"].outputs[0], ops["TANH"].outputs[0])
    # What is read after the assignment is what was assigned.
    assert ops["RELU"].inputs == ops["TANH"].outputs


def test_variable_that_nothing_assigns_is_a_constant():
    b = BuildVariables((1, 4))
    text, _ = b.canonical(b("MUL", 0, b.read(b.variable("v", START), (1, 4)), shape=(1, 4)))
    assert text == "AFFINE"


def test_state_that_no_output_depends_on_goes():
    b = BuildVariables((1, 4))
    v = b.variable("count", START)
    b.assign(v, b("ADD", b.read(v, (1, 4)), 0, shape=(1, 4)))
    assert b.canonical(b("RELU", 0, shape=(1, 4)))[0] == "RELU"


def test_state_that_begins_with_no_constant_stays_as_it_is():
    b = BuildVariables((1, 4))
    v = b.variable("v")
    b.assign(v, b("TANH", 0, shape=(1, 4)), once=True)
    y = b("MUL", b.read(v, (1, 4)), 0, shape=(1, 4))
    b.assign(v, y)
    assert "STATE (unreadable)" in [op.type for op in b.canonical(y)[1].ops()]


def test_variable_that_a_loop_assigns_stays_as_it_is():
    b = BuildVariables((1, 4))
    v = b.variable("v", START)
    index, state = (len(b.values), len(b.values) + 1)
    b.values.update({index: Value("i", (), "int32"), state: Value("s", (1, 4), "float32")})
    b.ops.append(Op(len(b.ops), "LOOP", (0,), (index, state)))
    following = b("TANH", state, shape=(1, 4))
    b.assign(v, following)
    final = b("END_LOOP", index, None, following, shape=(1, 4), trips=3)
    assert "ASSIGN_VARIABLE" in b.canonical(final)[0].split()


def test_what_runs_once_is_noted():
    values = {0: Value("v", (), "resource"), 1: Value("x", (1,), "float32")}
    main = Graph.build([Op(0, "CALL_ONCE", (), (), {"init_subgraph_index": 1})], values, (1,), (1,))
    fill = [Op(0, "VAR_HANDLE", (), (0,), {}), Op(1, "ASSIGN_VARIABLE", (0, 1), (), {})]
    found = flattened(TFLiteModel("x", memoryview(b""), 3, "", (main, Graph.build(fill, values, (), ())), (), {}))
    assert [(op.id, op.attributes.get("once")) for op in found.ops()] == [("0/0", True), ("0/1", True)]
