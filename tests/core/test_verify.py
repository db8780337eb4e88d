"""Verifying: no false alarm on right models, and every fault found where it is, at any quantization."""

import functools

import keras
import keras_models as zoo
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from keras import layers as L

import tflrecover
from tests.core.test_quantized import MODES, convert, converted, quantize
from tflrecover import tolerances
from tflrecover.ir import Graph, Op, Quantization, Value
from tflrecover.tracing import trace_model
from tflrecover.verification.allowance import allowance, clipped, rounded
from tflrecover.verification.both import largest
from tflrecover.verification.check import errors
from tflrecover.verification.keras import KerasRun
from tflrecover.verification.sites import independent, lone, regions, repeats

# float32 and every quantization.
FORMS = ("fp32", *MODES)


def net(seed, pool_size=2):
    """A residual network with folded batch norms, one that stands alone, and kernels large enough to round."""
    inputs = keras.Input((16, 16, 3), batch_size=2)
    x = L.Conv2D(32, 3, padding="same", use_bias=False, name="stem")(inputs)
    x = L.ReLU(6, name="stem_relu")(L.BatchNormalization(name="stem_bn")(x))
    x = skipped = L.MaxPooling2D(pool_size, strides=2, padding="same", name="pool")(x)
    x = L.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = L.ReLU(6, name="depthwise_relu")(L.BatchNormalization(name="depthwise_bn")(x))
    x = L.Conv2D(32, 1, name="project")(x)
    x = L.Add(name="add")([x, skipped])
    x = L.Activation("swish", name="swish")(L.BatchNormalization(name="alone")(x))
    x = L.GlobalAveragePooling2D(name="average")(L.Conv2D(48, 3, padding="same", name="last")(x))
    model = keras.Model(inputs, L.Dense(40, name="head")(x))
    rng = np.random.default_rng(seed)
    for v in model.variables:
        fan = np.prod(v.shape[:-1]) if len(v.shape) > 1 else 1
        kernel = rng.normal(0, (2 / fan) ** 0.5, v.shape)
        is_positive = v.name in ("gamma", "moving_variance")
        v.assign(kernel if len(v.shape) > 1 else rng.uniform(0.5, 1.5, v.shape) - (not is_positive))
    return model


@functools.cache
def file_of(form):
    return zoo.convert(net(1)) if form == "fp32" else convert(net(1), form)


def ported(form):
    twin = net(2)
    tflrecover.port(file_of(form), twin)
    return twin


@pytest.mark.parametrize("form", FORMS)
def test_right_models_agree(form):
    for model in (ported(form), net(1)):
        report = tflrecover.verify(file_of(form), model)
        assert report.ok
        assert report.first_divergence is None
        assert max(check.tolerance for check in report.checks) < 0.08
        assert [check.output for check in report.checks if check.output] == ["output_0"]
        assert str(report).splitlines()[0].endswith(": the numbers agree")


def coarse():
    """A network whose values are as large as its inputs."""
    inputs = keras.Input((8, 8, 3))
    x = L.LeakyReLU(0.1, name="leaky")(L.Conv2D(8, 3, name="stem")(inputs))
    model = keras.Model(inputs, L.Dense(4, name="head")(L.Flatten()(x)))
    rng = np.random.default_rng(3)
    for variable in model.variables:
        # A bias is as large on any input: it must not hide how small the rest becomes.
        variable.assign(rng.normal(0, 0.002 if variable.name == "bias" else 0.3, variable.shape))
    return model


def test_what_rounding_explains_altogether_is_not_called_checked():
    model = coarse()
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    rng = np.random.default_rng(4)
    converter.representative_dataset = lambda: ([rng.normal(0, 1, (1, 8, 8, 3)).astype("float32")] for _ in range(8))
    content = converter.convert()
    # A hundredth of what the file was calibrated on: about a step of every scale of an activation.
    small = rng.normal(0, 0.01, (1, 8, 8, 3)).astype("float32")
    report = tflrecover.verify(content, model, inputs=small)
    assert report.first_divergence is None
    assert report.unchecked
    assert all(check.tolerance > tolerances.MOST_CHECKED for check in report.unchecked)
    assert "the numbers agree" not in report.to_text(full=True)
    usual = tflrecover.verify(content, model, inputs=100 * small)
    assert usual.ok
    assert not usual.unchecked
    assert max(check.tolerance for check in usual.checks) < tolerances.MOST_CHECKED


FAULTS = {
    "stem": ("kernel", 1.3, {"stem", "stem_bn", "stem_relu"}),
    "project": ("kernel", 1.1, {"project"}),
    "head": ("kernel", 1.1, {"head"}),
    "depthwise_bn": ("beta", 0.5, {"depthwise", "depthwise_bn", "depthwise_relu"}),
    "last": ("bias", 0.5, {"last"}),
    "alone": ("gamma", 1.3, {"alone"}),
}


@pytest.mark.parametrize("form", FORMS)
def test_faults_are_found_where_they_are(form):
    model = ported(form)
    for layer, (name, change, places) in FAULTS.items():
        variable = next(v for v in model.get_layer(layer).variables if v.name == name)
        old = np.asarray(variable)
        variable.assign(old * change if name in ("kernel", "gamma") else old + change)
        report = tflrecover.verify(file_of(form), model)
        variable.assign(old)
        bad = [check for check in report.checks if not check.ok]
        assert not report.ok
        assert [check.keras_layer in places for check in bad] == [True], layer
        assert report.first_divergence is bad[0]
        assert f"checked: {len(report.checks) - 1} of {len(report.checks)} operators" in str(report)


@pytest.mark.parametrize("form", FORMS)
def test_wrong_pool_size_is_found(form):
    model = net(2, pool_size=3)
    tflrecover.port(file_of(form), model, strict=False)
    report = tflrecover.verify(file_of(form), model)
    assert [check.keras_layer for check in report.checks if not check.ok] == ["pool"]
    assert "the numbers do NOT agree" in str(report)


def test_integer_inputs_and_outputs():
    converter = tf.lite.TFLiteConverter.from_keras_model(net(1))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    images = np.random.default_rng(0).uniform(-1, 3, (8, 2, 16, 16, 3)).astype("float32")
    converter.representative_dataset = lambda: ([image] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    content, twin = converter.convert(), net(2)
    tflrecover.port(content, twin)
    for inputs in (None, images[0]):
        report = tflrecover.verify(content, twin, inputs=inputs)
        assert report.ok
        assert [check.output for check in report.checks if check.output] == ["output_0"]


def test_model_that_was_never_ported():
    report = tflrecover.verify(file_of("float32"), net(2))
    text = str(report)
    assert report.unported
    assert text.splitlines()[0].endswith("the structure is equal, but the model does not hold the file's weights")
    assert "variables with the file's own numbers: 0 of " in text
    assert "run port first" in text
    assert "would be assigned" in str(tflrecover.diff(file_of("float32"), net(2)))
    assert "would be" not in str(tflrecover.port(file_of("float32"), net(2)))


def test_inputs_of_any_batch_and_a_bare_array():
    model = zoo.randomize(zoo.plain(), 1)
    image = np.random.default_rng(3).uniform(size=(4, 16, 16, 3)).astype("float32")
    for inputs in (image, {"image": tf.constant(image)}):
        report = tflrecover.verify(zoo.file_of("plain"), model, inputs=inputs)
        assert report.ok
    other = tflrecover.verify(zoo.file_of("plain"), model, inputs=[image[:1]])
    assert [c.max_abs for c in other.checks] != [c.max_abs for c in report.checks]


def test_output_without_a_counterpart_is_told():
    x = keras.Input((8, 8, 3), batch_size=1)
    y = L.Conv2D(4, 3, name="a")(x)
    two = zoo.randomize(keras.Model(x, [y, L.Conv2D(6, 3, name="b")(x)]), 1)
    one = keras.Model(x, two.get_layer("a").output)
    report = tflrecover.verify(zoo.convert(two), one)
    assert not report.ok
    assert len([check for check in report.checks if check.output]) == 1
    assert any("no counterpart" in note for note in report.notes)


def chain(*links):
    """A graph of operators ``(id, operands, result)``."""
    values = {v: Value(str(v), (1,), "float32") for _, ins, out in links for v in (*ins, out)}
    return Graph.build([Op(name, "ADD", ins, (out,)) for name, ins, out in links], values, [0], [links[-1][2]])


def test_regions_end_at_what_both_sides_show():
    graph = chain(("a", (0, 0), 1), ("b", (1, 0), 2), ("c", (2, 1), 3), ("d", (3, 2), 4))
    found = regions(graph, {0, 1, 3}, [1, 3, 4])
    assert {target: set(region.operands) for target, region in found.items()} == {1: {0}, 3: {0, 1}, 4: {0, 1, 3}}
    assert {op.id for op in found[4].ops} == {"d", "b"}
    groups = independent(found)
    assert sorted(target for group in groups for target in group) == [1, 3, 4]
    assert all(not set(found[t].operands) & set(group) for group in groups for t in group)


def test_what_repeats_another_has_its_tensor():
    graph = chain(("a", (0, 0), 1), ("b", (0, 0), 2), ("c", (1, 0), 3), ("d", (2, 0), 4), ("e", (0, 1), 5))
    assert repeats(graph) == {2: 1, 4: 3}


def test_parts_of_one_operator_are_not_given_apart():
    values = {v: Value(str(v), (1,), "float32") for v in range(5)}
    split, relu, twice = Op("s", "SPLIT", (0,), (1, 2)), Op("r", "RELU", (1,), (3,)), Op("a", "ADD", (3, 2), (4,))
    assert lone(Graph.build([split, relu, twice], values, [0], [4])) == {0, 3, 4}

    inputs = keras.Input((8, 8, 6))
    parts = keras.ops.split(L.Conv2D(6, 3)(inputs), 3, axis=-1)
    outputs = [L.Conv2D(4, 1)(parts[0]), L.ReLU()(parts[1]), parts[2]]
    model = zoo.randomize(keras.Model(inputs, outputs), 1)
    report = tflrecover.verify(zoo.convert(model), model)
    assert report.ok
    assert sum(check.output is not None for check in report.checks) == 3


def test_branches_that_repeat_a_layer():
    """The converter merges the two activations; what each makes is compared on the file's own values all the same."""

    def make():
        inputs = keras.Input((8, 8, 16), batch_size=2)
        x = L.Conv2D(32, 3, padding="same")(inputs)
        branches = [L.DepthwiseConv2D(size, padding="same", name=f"by_{size}")(L.ReLU()(x)) for size in (3, 5)]
        return zoo.randomize(keras.Model(inputs, L.Add()(branches)), 1)

    converter = tf.lite.TFLiteConverter.from_keras_model(make())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    shape = (2, 8, 8, 16)
    converter.representative_dataset = lambda: (
        [np.random.default_rng(seed).uniform(size=shape).astype("float32")] for seed in range(4)
    )
    report = tflrecover.verify(converter.convert(), make())
    assert report.ok
    found = {check.keras_layer: check.alone / check.tolerance for check in report.checks}
    assert max(found["by_3"], found["by_5"]) < 0.7


def test_allowance_counts_what_rounds():
    scale = Quantization(np.array([0.1], "float32"), np.array([0]))
    values = {
        0: Value("x", (4,), "float32"),
        1: Value("w", (4,), "int8", quantization=scale, data=np.zeros(4, "int8")),
        2: Value("y", (4,), "int8", quantization=scale),
        3: Value("z", (4,), "int16", quantization=scale),
    }
    add, mul = Op(0, "ADD", (0, 1), (2,)), Op(1, "MUL", (2, 2), (3,))
    graph = Graph.build([add, mul], values, [0], [3])
    plain, weights = tolerances.OUTPUT, tolerances.WEIGHT_HALF_STEPS * tolerances.HALF_STEP["int8"]
    step = tolerances.STEPS * 0.1
    peak = {2: 8.0, 3: 10.0}.__getitem__
    softmax = Op(1, "SOFTMAX", (2,), (3,))
    looked_up = tolerances.TABLE["SOFTMAX", "int16"]
    assert allowance(graph, 3, [softmax], peak) == pytest.approx(10 * (plain + looked_up) + step)
    assert allowance(graph, 3, [mul], peak) == pytest.approx(10 * plain + step)
    assert allowance(graph, 2, [add], peak) == pytest.approx(8 * (plain + weights) + step)
    assert allowance(graph, 3, [add, mul], peak) == pytest.approx(
        10 * (plain + weights + tolerances.ON_THE_WAY * step / 8) + step
    )
    coarse = {2: 0.1, 3: 10.0}.__getitem__
    most = plain + weights + tolerances.MOST_ON_THE_WAY
    assert allowance(graph, 3, [add, mul], coarse) == pytest.approx(10 * most + step)


def test_input_that_the_file_rounds_is_given_as_it_rounds_it():
    """Random numbers below 1 are a step or none of a file for 0 to 255: beyond that step nothing may be allowed."""

    def image():
        inputs = keras.Input((8, 8, 3), batch_size=1)
        x = L.Rescaling(1 / 127.5, -1, name="rescaling")(inputs)
        return zoo.randomize(keras.Model(inputs, L.Conv2D(8, 3, name="conv")(x)), 1)

    converter = tf.lite.TFLiteConverter.from_keras_model(image())
    rng = np.random.default_rng(0)
    quantize(converter, "int8", lambda: ([rng.uniform(0, 255, (1, 8, 8, 3)).astype("float32")] for _ in range(4)))
    report = tflrecover.verify(converted(converter), image())
    assert report.ok
    assert max(check.tolerance for check in report.checks) < 0.1


def test_grids():
    x = np.array([-300.0, 0.26, 300.0], "float32")
    int8 = Quantization(np.array([0.5], "float32"), np.array([10]))
    assert clipped(x, Value("v", (3,), "int8", quantization=int8)).tolist() == pytest.approx([-69, 0.26, 58.5])
    assert clipped(x, Value("v", (3,), "float32")) is x
    assert rounded(np.array([12.7, 0.26], "float32")).tolist() == pytest.approx([12.7, 0.3])
    assert rounded(np.arange(3)).tolist() == [0, 1, 2]


def test_what_tensorflow_cannot_run_is_one_error():
    inputs = keras.Input((3,))
    checked = L.Lambda(lambda x: tf.debugging.check_numerics(tf.math.log(x), "not a number"))(inputs)
    trace = trace_model(keras.Model(inputs, L.Dense(2)(checked)))
    run = KerasRun(trace)
    with pytest.raises(tflrecover.EvaluationError, match=r"TensorFlow cannot run model .* not a number"):
        run.compute(trace.source.outputs, {trace.source.inputs[0]: -np.ones((1, 3), "float32")})


def assert_computes(model):
    trace = trace_model(model)
    given = np.random.default_rng(5).normal(size=(1, 3)).astype("float32")
    run = KerasRun(trace)
    for value, tensor in trace.tensors.items():
        if tensor.dtype != tf.resource:
            assert run.compute([value], {trace.source.inputs[0]: given})[0].shape == tuple(tensor.shape)
    np.testing.assert_allclose(run.compute(trace.source.outputs, {trace.source.inputs[0]: given})[0], model(given))


class Placed(L.Layer):
    """Works on a device that is not there, under names that a session gives what holds its variables."""

    def call(self, x):
        if tf.executing_eagerly():
            return tf.exp(tf.sin(x))
        with tf.compat.v1.get_default_graph().name_scope(None), tf.device("/GPU:7"):
            return tf.exp(tf.sin(x, name="VarHandleOp"), name="Placeholder")


def test_names_and_devices_of_a_network_are_its_own():
    assert_computes(keras.Sequential([keras.Input((3,)), L.Dense(4), Placed(), L.Dense(2)]))


def test_what_holds_nothing_is_told_however_it_is_read():
    inputs = tf_keras.Input((3,), dtype="int32")
    trace = trace_model(tf_keras.Model(inputs, tf_keras.layers.Embedding(7, 2, name="table")(inputs)))
    run = KerasRun(trace, {"table/embeddings": None})
    with pytest.raises(
        tflrecover.EvaluationError, match="layer 'table' gets no numbers from the file for its embeddings"
    ):
        run.compute(trace.source.outputs, {trace.source.inputs[0]: np.array([[1, 2, 3]])})
    given = np.ones((1, 3, 2), "float32")
    np.testing.assert_array_equal(run.compute(trace.source.outputs, {trace.source.outputs[0]: given})[0], given)


def overflowing(seed, pool_size=2):
    """A network whose numbers get too large: what it puts out is infinity less infinity."""
    x = inputs = keras.Input((8, 8, 3), batch_size=1)
    for name in "abc":
        x = L.Conv2D(4, 3, padding="same", use_bias=False, name=name)(keras.ops.multiply(x, 1e15))
    x = L.MaxPooling2D(pool_size, 2, padding="same", name="pool")(x)
    return zoo.randomize(keras.Model(inputs, L.Conv2D(4, 3, name="head")(x)), seed)


@pytest.mark.measured
def test_file_that_gives_no_numbers_shows_nothing():
    file = zoo.convert(overflowing(1))
    report = tflrecover.verify(file, overflowing(1))
    assert not report.ok
    assert report.checks[0].ok
    assert any("no finite numbers on these inputs" in note for note in report.notes)
    small = np.full((1, 8, 8, 3), 1e-20, "float32")
    assert tflrecover.verify(file, overflowing(1), inputs=small).ok

    (difference,) = tflrecover.diff(file, overflowing(2, pool_size=3)).differences
    assert "effect not measured: the file's outputs are no finite numbers" in str(difference.effect)


def test_what_is_infinite_in_both_is_no_error():
    want = np.array([1.0, np.inf, np.nan, 2.0])
    assert errors(want, want) == (0.0, 0.0, 0.0)
    assert errors(want, np.array([1.0, np.inf, np.nan, 2.5]))[0] == pytest.approx(0.5)
    for other in ([1.0, -np.inf, np.nan, 2.0], [1.0, np.inf, 0.0, 2.0], [np.nan, np.inf, np.nan, 2.0]):
        assert errors(want, np.array(other))[0] == np.inf
    assert largest(want) == 2.0
