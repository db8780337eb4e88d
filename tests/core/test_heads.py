"""Heads that look alike, heads that are new, and heads that are not there."""

from dataclasses import replace

import keras
import keras_models as zoo
import numpy as np
import pytest
import yaml
from keras import layers

import tflrecover
from tests.core.lite import stripped
from tflrecover import tolerances
from tflrecover.comparison import compare
from tflrecover.comparison.file_and_model import _undecided as undecided

V = {"tflrecover": 1}


def two_heads(order, given=True):
    inputs = keras.Input((7,), name="x")
    return keras.Model(inputs, [layers.Dense(4, name=name if given else None)(inputs) for name in order])


@pytest.fixture(scope="module")
def ages():
    """A file with the equal heads ``age`` and ``sex``, and its model."""
    model = zoo.randomize(two_heads(["age", "sex"]), 1)
    return zoo.convert(model), model


def answers(model):
    x = np.random.default_rng(0).uniform(-1, 1, (1, 7)).astype("float32")
    return {name: np.asarray(y) for name, y in zip(model.output_names, model(x), strict=True)}


def same_answers(a, b):
    return all(np.allclose(y, answers(b)[name], atol=1e-6) for name, y in answers(a).items())


def test_names_that_contradict_the_order_are_an_ambiguity(ages):
    file, original = ages
    twin = zoo.randomize(two_heads(["sex", "age"]), 2)
    with pytest.raises(tflrecover.PortError) as caught:
        tflrecover.port(file, twin)
    (ambiguity,) = caught.value.report.ambiguities
    assert "by order output_0 = sex, output_1 = age, but the names in the file say output_1 = sex" in ambiguity.message
    assert ambiguity.mapping in str(caught.value).replace("\n      ", "\n")
    report = tflrecover.port(file, twin, {**V, **yaml.safe_load(ambiguity.mapping)})
    assert report.ok
    assert not report.assumptions
    assert same_answers(original, twin)


def test_order_that_nothing_bears_out_is_said(ages):
    file, original = ages
    twin = zoo.randomize(two_heads(["age", "sex"]), 2)
    report = tflrecover.port(stripped(file), twin)
    assert report.ok
    (said,) = report.assumptions
    assert said.startswith("outputs paired by order: output_0 = age, output_1 = sex.")
    assert "beyond doubt" not in str(report)
    assert same_answers(original, twin)


def test_order_of_a_signature_is_told_where_shapes_tell_which_is_which():
    """The weights are the same either way; who takes results by their number gets others."""

    def heads(sizes):
        inputs = keras.Input((7,))
        return keras.Model(inputs, [layers.Dense(size)(inputs) for size in sizes])

    file = zoo.convert(zoo.randomize(heads([4, 5]), 1))
    told = "The file's signature numbers its outputs in another order than the model's: "
    for sizes, is_told in (([4, 5], False), ([5, 4], True)):
        report = tflrecover.diff(file, heads(sizes))
        assert report.ok
        assert any(note.startswith(told) for note in report.notes) is is_told


def test_order_that_names_bear_out_is_certain(ages):
    file, original = ages
    twin = zoo.randomize(two_heads(["age", "sex"]), 2)
    report = tflrecover.port(file, twin)
    assert "beyond doubt" in str(report)
    assert same_answers(original, twin)


def test_names_that_keras_gives_say_nothing():
    file = zoo.convert(zoo.randomize(two_heads([1, 2], given=False), 1))
    report = tflrecover.port(file, two_heads([1, 2], given=False))
    assert report.ok
    assert len(report.assumptions) == 1


def test_a_matched_layer_says_more_than_a_number(ages):
    file, original = ages
    graph = tflrecover.read(file).graph
    kernels = {op.id: graph.values[op.inputs[1]].name for op in graph.ops()}
    (age,) = [index for index, name in kernels.items() if "age" in name]
    twin = zoo.randomize(two_heads(["sex", "age"]), 2)
    assert tflrecover.port(file, twin, {**V, "match": {"age": f"#{age}"}}).ok
    assert same_answers(original, twin)


def test_number_of_an_output_is_that_of_inspect(ages):
    file, original = ages
    model = tflrecover.read(file)
    names = {tensor: name for name, tensor in model.signature().outputs.items()}
    age = [names[tensor] for tensor in model.graph.outputs].index("output_0")
    twin = zoo.randomize(two_heads(["sex", "age"]), 2)
    assert tflrecover.port(file, twin, {**V, "outputs": {"age": f"#{age}"}}).ok
    assert same_answers(original, twin)


def two_inputs(names, layer_names=("alpha", "beta")):
    inputs = [keras.Input((4,), name=name) for name in names]
    branches = [layers.Dense(3, name=name)(x) for x, name in zip(inputs, layer_names, strict=True)]
    return keras.Model(inputs, layers.Add(name="sum")(branches))


def test_inputs_too():
    """A file whose signature only numbers its inputs."""
    file = zoo.convert(zoo.randomize(two_inputs(["args_0", "args_1"]), 1))
    (said,) = tflrecover.port(stripped(file), two_inputs(["left", "right"])).assumptions
    assert said.startswith("inputs paired by order: args_0 = left, args_1 = right.")
    assert not tflrecover.port(file, two_inputs(["left", "right"])).assumptions
    report = tflrecover.diff(file, two_inputs(["left", "right"], ["beta", "alpha"]))
    (ambiguity,) = report.ambiguities
    assert yaml.safe_load(ambiguity.mapping) == {"inputs": {"left": "args_1", "right": "args_0"}}
    assert not report.ok


def test_inputs_that_fit_in_two_ways_are_an_ambiguity():
    model = zoo.randomize(two_inputs(["on", "no"]), 1)
    found = compare(zoo.convert(model), model)
    other = replace(
        found, alignment=replace(found.alignment, inputs={i: 1 - j for i, j in found.alignment.inputs.items()})
    )
    (ambiguity,) = undecided([found, other]).ambiguities
    assert "fit the model in 2 ways" in ambiguity.message
    assert yaml.safe_load(ambiguity.mapping) == {"inputs": {"on": "on", "no": "no"}}


def deep_heads(names):
    x = inputs = keras.Input((4, 4, 3), name="x")
    heads = [layers.Flatten()(layers.Conv2D(2, 1, name=name)(x)) for name in names]
    return keras.Model(inputs, heads)


def test_names_that_keras_gives_never_contradict_the_order():
    keras.utils.clear_session()
    original = zoo.randomize(deep_heads([None, None]), 1)
    file = zoo.convert(original)
    keras.utils.clear_session()
    twin = zoo.randomize(deep_heads([None, None]), 2)
    report = tflrecover.port(file, twin)
    assert report.ok
    x = np.random.default_rng(0).uniform(-1, 1, (1, 4, 4, 3)).astype("float32")
    for a, b in zip(original(x), twin(x), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    with pytest.raises(tflrecover.PortError, match="but the names in the file say"):
        tflrecover.port(zoo.convert(zoo.randomize(deep_heads(["age", "sex"]), 1)), deep_heads(["sex", "age"]))


def test_counted_names_do_not_tell_which_output_is_which():
    """Without a signature, ``conv2d_5`` may be this session's name for that session's ``conv2d_4``."""
    file = without_signatures(zoo.convert(zoo.randomize(deep_heads(["conv_4", "conv_5"]), 1)))
    with pytest.raises(tflrecover.PortError) as refused:
        tflrecover.port(file, deep_heads(["conv_5", "conv_6"]))
    assert refused.value.report.ambiguities


def without_signatures(content):
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content)
    model.signatureDefs = None
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def classifier(head, depth=2):
    x = inputs = keras.Input((16, 16, 3), name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="stem")(x)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.ReLU(name="relu")(x)
    if depth > 1:
        x = layers.Conv2D(8, 3, activation="relu", name="body")(x)
        x = layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(inputs, head(x))


def original():
    return classifier(lambda x: layers.Dense(10, activation="softmax", name="predictions")(x))


def new_hidden(x):
    x = layers.Dense(32, activation="relu", name="newhidden")(layers.Dropout(0.5, name="drop")(x))
    return layers.Dense(3, activation="softmax", name="newhead")(x)


ENDS = {
    "no head": (lambda: classifier(lambda x: x), {"accept"}),
    "features": (lambda: classifier(lambda x: x, depth=1), {"accept"}),
    "logits": (lambda: classifier(lambda x: layers.Dense(3, name="newhead")(x)), {"skip", "accept"}),
    "other classes": (lambda: classifier(lambda x: layers.Dense(3, "softmax", name="newhead")(x)), {"skip"}),
    "deeper head": (lambda: classifier(new_hidden), {"skip"}),
    "other activation": (lambda: classifier(lambda x: layers.Dense(10, "sigmoid", name="predictions")(x)), {"accept"}),
}


@pytest.fixture(scope="module")
def whole():
    model = zoo.randomize(original(), 1)
    return zoo.convert(model), model


@pytest.mark.parametrize(("make", "keys"), ENDS.values(), ids=ENDS)
def test_the_suggested_mapping_ports_all_but_the_end(whole, make, keys):
    file, model = whole
    twin = zoo.randomize(make(), 2)
    with pytest.raises(tflrecover.PortError, match="this mapping says so") as refused:
        tflrecover.port(file, twin)
    suggestion = yaml.safe_load(refused.value.report.suggestion)
    assert set(suggestion) == keys
    before = {v.path: np.asarray(v).copy() for v in twin.variables}
    report = tflrecover.port(file, twin, {**V, **suggestion})
    assert report.ok
    kept = {a.variable for a in report.assignments if a.state == "kept" and "seed" not in a.variable}
    assert {name.rpartition("/")[0] for name in kept} == set(suggestion.get("skip", ()))
    for v in twin.variables:
        if v.path.split("/")[0] in suggestion.get("skip", ()):
            assert np.array_equal(before[v.path], np.asarray(v))
    last = "average" if any(layer.name == "average" for layer in twin.layers) else "relu"
    image = np.random.default_rng(0).uniform(-1, 1, (1, 16, 16, 3)).astype("float32")
    mine, theirs = (keras.Model(m.inputs, m.get_layer(last).output)(image) for m in (model, twin))
    np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_a_fault_in_the_middle_suggests_nothing():
    file = zoo.convert(zoo.randomize(zoo.plain(), 1))
    assert tflrecover.diff(file, zoo.plain(kernel_size=5)).suggestion == ""
    assert tflrecover.diff(file, zoo.plain(filters=12)).suggestion == ""


def test_another_architecture_is_said_to_be_one(whole):
    file, _ = whole
    x = inputs = keras.Input((16, 16, 3), name="image")
    for i in range(20):
        x = layers.Conv2D(4 + i, 3, padding="same", activation="tanh", name=f"other_{i}")(x)
        x = layers.LayerNormalization(name=f"norm_{i}")(x)
    other = keras.Model(inputs, layers.Dense(7, name="end")(layers.Flatten()(x)))
    report = tflrecover.diff(file, other)
    assert (
        "canonical operators match: this is probably another architecture; the first disagreement is at "
        in report.overview
    )
    assert report.overview in str(report)
    assert max(len(d.message) for d in report.differences) < 600
    with pytest.raises(tflrecover.PortError, match="probably another architecture"):
        tflrecover.port(file, other)


def test_inputs_that_only_a_free_choice_tells_apart_are_ambiguous():
    def build():
        inputs = [keras.Input((4,)), keras.Input((4,))]
        branches = [layers.Dense(5, activation="relu")(x) for x in inputs]
        return keras.Model(inputs, layers.Dense(3)(layers.Add()(branches)))

    file = stripped(zoo.convert(zoo.randomize(build(), 1)))
    assert tflrecover.diff(file, build()).ambiguities


def test_inputs_that_one_use_tells_apart_are_so_in_all_others():
    """As users and items of neural collaborative filtering: their products look alike, what joins them is ordered."""

    def build():
        inputs = [keras.Input((4,)), keras.Input((4,))]
        alike = layers.Multiply()([layers.Dense(5)(x) for x in inputs])
        twice = layers.Add()([layers.Dense(5, activation="relu")(inputs[0]) for _ in range(2)])
        ordered = layers.Concatenate()([layers.Dense(3)(x) for x in inputs])
        return keras.Model(inputs, layers.Dense(2)(layers.Concatenate()([alike, ordered, twice])))

    original, twin = zoo.randomize(build(), 1), zoo.randomize(build(), 2)
    assert tflrecover.port(without_signatures(stripped(zoo.convert(original))), twin).ok
    x = [np.random.default_rng(0).normal(size=(6, 4)).astype("float32") for _ in range(2)]
    assert np.abs(original(x) - twin(x)).max() <= tolerances.OUTPUT
