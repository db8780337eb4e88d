"""Look-alikes: told apart by order where order matters, proved harmless, or reported; never guessed."""

import keras
import keras_models as zoo
import numpy as np
import pytest
from keras import layers

import tflrecover


def anonymous(content):
    """The file without tensor names and signatures: nothing but structure is left."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content)
    model.signatureDefs = None
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.name = ""
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_indistinguishable_outputs_are_ambiguous():
    file = anonymous(zoo.file_of("two_heads"))
    model = zoo.randomize(zoo.two_heads(), 2)
    report = tflrecover.diff(file, model)
    assert not report.ok
    assert {layer for a in report.ambiguities for layer in a.keras_layers} >= {"head_first", "head_second"}
    with pytest.raises(tflrecover.PortError):
        tflrecover.port(file, model)


def test_mapping_settles_an_ambiguity():
    file = anonymous(zoo.file_of("two_heads"))
    original = zoo.original("two_heads")
    x = np.random.default_rng(0).uniform(0, 1, (1, 8, 8, 3)).astype("float32")
    outputs = file_outputs(file, x)
    first = int(np.abs(outputs[0] - np.asarray(original(x)[0])).max() > 1e-4)
    model = zoo.randomize(zoo.two_heads(), 2)
    mapping = {"tflrecover": 1, "outputs": {"flat_first": f"#{first}", "flat_second": f"#{1 - first}"}}
    assert tflrecover.port(file, model, mapping).ok
    assert np.array_equal(model.get_layer("head_first").kernel, original.get_layer("head_first").kernel)


def file_outputs(file, x):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=file)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def branches(merge, kernel_sizes=(3, 3)):
    inputs = keras.Input((8, 8, 3))
    parts = [
        layers.Conv2D(4, k, padding="same", activation="relu", name=f"branch_{i}")(inputs)
        for i, k in enumerate(kernel_sizes)
    ]
    return keras.Model(inputs, layers.Flatten()(merge()(parts)))


@pytest.mark.parametrize("merge", [layers.Add, layers.Multiply, layers.Concatenate, layers.Subtract])
def test_equal_branches(merge):
    original, twin = zoo.randomize(branches(merge), 1), zoo.randomize(branches(merge), 2)
    report = tflrecover.port(anonymous(zoo.convert(original)), twin)
    assert report.ok
    x = np.random.default_rng(0).uniform(0, 1, (1, 8, 8, 3)).astype("float32")
    assert np.abs(np.asarray(original(x)) - np.asarray(twin(x))).max() < 1e-4


def test_swapped_operands_of_different_branches():
    file = zoo.convert(zoo.randomize(branches(layers.Concatenate, (1, 3)), 1))
    report = tflrecover.diff(file, branches(layers.Concatenate, (3, 1)))
    assert [d.kind for d in report.differences] == ["wiring"]
    assert report.differences[0].keras_layer == "concatenate" or "concatenate" in report.differences[0].keras_layer


def test_one_of_many_equal_blocks_is_missing():
    def build(blocks):
        x = inputs = keras.Input((8, 8, 4))
        for i in range(blocks):
            y = layers.Conv2D(4, 3, padding="same", activation="relu", name=f"block_{i}")(x)
            x = layers.Add(name=f"add_{i}")([x, y])
        return keras.Model(inputs, layers.Conv2D(2, 1, name="last")(x))

    report = tflrecover.diff(zoo.convert(zoo.randomize(build(4), 1)), build(3))
    assert not report.ok
    assert [d.kind for d in report.differences] == ["missing"]
    assert report.ambiguities, "which of the four is missing cannot be known"


def test_dead_and_shared_inputs():
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    model = keras.Model([a, b], layers.Dense(3, name="on_a")(a) - layers.Dense(3, name="on_b")(b))
    original = zoo.randomize(model, 1)
    twin = zoo.randomize(keras.models.clone_model(model), 2)
    assert tflrecover.port(zoo.convert(original), twin).ok
    x = [np.random.default_rng(i).uniform(0, 1, (1, 4)).astype("float32") for i in range(2)]
    assert np.allclose(original(x), twin(x), atol=1e-5)


def two_towers(names, order):
    """Layers that nothing but their names tells apart, built and added in either order."""
    inputs = keras.Input((6,))
    made = {name: layers.Dense(4, name=name)(inputs) for name in sorted(names, reverse=order)}
    return keras.Model(inputs, layers.Add()([made[name] for name in names]))


@pytest.mark.parametrize("names", [("first", "second"), ("conv", "conv_1"), ("a_2", "a_2_1")])
def test_names_with_keras_numbers_tell_look_alikes_apart(names):
    """Keras 3 exports ``conv`` as ``conv_1`` and ``conv_1`` as ``conv_1_2``: the reading that fits all counts."""
    import tensorflow as tf
    from lite import converted

    original = zoo.randomize(two_towers(names, order=False), 1)
    content = converted(tf.lite.TFLiteConverter.from_keras_model(original))
    twin = zoo.randomize(two_towers(names, order=True), 2)
    assert tflrecover.port(content, twin).ok
    for name in names:
        for mine, wanted in zip(
            twin.get_layer(name).get_weights(), original.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(mine, wanted)
