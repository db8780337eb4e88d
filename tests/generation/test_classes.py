"""Layers that Keras does not have: each is a class of the source, which runs where tflrecover is not."""

import re
import runpy
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tflrecover
from tests.core.file_builders import File as Operators
from tests.core.fused_files import File, options
from tests.core.lite import converted
from tests.generation.networks import Network, Twice
from tests.generation.test_generate import assert_formatted
from tests.recovery.loops import ONE, OTHER, choice_in_loop_in_loop, list_that_ends_early, until_large
from tflrecover.generation import generate_from
from tflrecover.recovery import recovered

_GENERATOR = np.random.default_rng(4)


def choice(x):
    return tf.cond(tf.reduce_sum(x) > 0, lambda: tf.nn.relu(x @ ONE) + 1.0, lambda: x @ OTHER)


def stacked(x):
    """What each turn gives is kept; the state begins as a constant."""

    def step(i, y, written):
        y = tf.tanh(y @ ONE + x)
        return i + 1, y, written.write(i, y)

    start = (0, tf.constant(OTHER[:2]), tf.TensorArray(tf.float32, size=6, element_shape=x.shape))
    return tf.while_loop(lambda i, *_: i < 6, step, start)[2].stack()


def loops(*bodies):
    def network(x):
        for body in bodies:
            x = tf.while_loop(lambda i, _: i < 3, lambda i, x, body=body: (i + 1, body(x)), [0, x])[1]
        return x

    return network


CONTROL = {
    "choice": choice,
    "until_large": until_large,
    "choice_in_loop_in_loop": choice_in_loop_in_loop,
    "stacked": stacked,
    "list_that_ends_early": list_that_ends_early,
    "equal_loops": loops(lambda x: tf.tanh(x @ ONE), lambda x: tf.tanh(x @ OTHER)),
    "other_loops": loops(*(lambda x, m=m: tf.nn.relu(x @ ONE) * m for m in (0.5, 0.25, 0.5, 0.75))),
}


def file_of(function):
    traced = tf.function(function, input_signature=[tf.TensorSpec((2, 4))], autograph=False)
    return converted(tf.lite.TFLiteConverter.from_concrete_functions([traced.get_concrete_function()], traced))


def svdf(steps=3):
    """One SVDF of three units on batches of two, five features each."""
    from ai_edge_litert import schema_py_generated as schema

    weights = [_GENERATOR.normal(size=shape).astype("float32") for shape in ((6, 5), (6, steps), (3,))]
    made = options("SVDF", rank=2, fusedActivationFunction=schema.ActivationFunctionType.RELU)
    return File((2, 5)).write("SVDF", made, [*weights, (2, 6 * steps)], (2, 3))


def rounding():
    """An int8 file: the range of the input, a dense layer, and one that is sixteen bits wide."""
    inputs = keras.Input((4,), name="x")
    made = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Dense(5, activation="relu")(inputs)))
    made.set_weights([_GENERATOR.normal(size=w.shape) for w in made.get_weights()])
    converter = tf.lite.TFLiteConverter.from_keras_model(made)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([np.float32(_GENERATOR.normal(size=(1, 4)))] for _ in range(8))
    return converted(converter)


def fake_quantization():
    """Four bits, beginning with zero."""
    file = Operators()
    x = file.input((1, 50))
    y = file.op("FAKE_QUANT", (x,), (1, 50), options="FakeQuantOptions", min=-1.1, max=2.3, numBits=4)
    return file.content(file.op("TANH", (y,), (1, 50)))


FILES = {
    **{name: lambda function=function: file_of(function) for name, function in CONTROL.items()},
    "svdf": svdf,
    "rounding": rounding,
    "fake_quantization": fake_quantization,
}
# Which classes a source has, besides that for functions of TensorFlow.
CLASSES = {
    "choice": {"Conditional"},
    "choice_in_loop_in_loop": {"Conditional", "WhileLoop"},
    "svdf": {"State"},
    "rounding": {"FakeQuantize"},
    "fake_quantization": {"FakeQuantize"},
}


def listed(made):
    return [np.asarray(one) for one in (made if isinstance(made, (list, tuple)) else [made])]


def feeds(model, turns=4):
    """Inputs of either sign, small and large: conditions are taken both ways."""
    generator = np.random.default_rng(5)
    shape = [n or 3 for n in model.inputs[0].shape]
    return [np.float32((-1) ** i * generator.uniform(0, 1 + i, shape)) for i in range(turns)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sources of all files, and for each what its model gives."""
    made = tmp_path_factory.mktemp("sources")
    for name, file in FILES.items():
        found = recovered(tflrecover.read(file()), quantized="simulate")
        # Calls leave something in them.
        weights, given = found.model.get_weights(), feeds(found.model)
        (source, *_) = generate_from(found, f"{name}.tflite", made / f"{name}.py")
        outputs = [one for x in given for one in listed(found.model(x))]
        arrays = {"x": given, "y": outputs, "w": weights}
        np.savez(
            made / f"{name}.npz", **{f"{key}{i}": one for key, ones in arrays.items() for i, one in enumerate(ones)}
        )
        assert source.is_file()
    return made


def test_sources_run_where_tflrecover_is_not(folder):
    """Weights and outputs are the same to the last bit, call after call, also of a model that was saved."""
    program = """
import sys
sys.modules["tflrecover"] = None
import importlib, keras, numpy as np
for name in sys.argv[1:]:
    known = np.load(f"{name}.npz")
    def arrays(key):
        return [known[f"{key}{i}"] for i in range(sum(one[0] == key for one in known))]
    model = importlib.import_module(name).load_model()
    model.save(f"{name}.keras")
    again, clone = keras.models.load_model(f"{name}.keras"), keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    for one in (model, again, clone):
        assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), arrays("w"), strict=True)), name
        made = [one(x) for x in arrays("x")]
        made = [y for ys in made for y in (ys if isinstance(ys, (list, tuple)) else [ys])]
        assert all(np.array_equal(a, b) for a, b in zip(made, arrays("y"), strict=True)), name
"""
    command = [sys.executable, "-c", program, *FILES]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("name", FILES)
def test_a_source_has_the_classes_that_it_uses(folder, name):
    found = {*re.findall(r"^class (\w+)", (folder / f"{name}.py").read_text(encoding="utf-8"), re.MULTILINE)}
    assert found - {"TensorFlowFunction"} == CLASSES.get(name, {"WhileLoop"})


def test_sources_with_classes_are_formatted(folder):
    assert_formatted(*(folder / f"{name}.py" for name in FILES))


def test_loops_that_do_the_same_have_one_body(folder):
    equal, other = ((folder / f"{name}.py").read_text(encoding="utf-8") for name in ("equal_loops", "other_loops"))
    assert equal.count("def loop_body") == 1
    assert equal.count("WhileLoop(loop_body(), trips=3, initial=[None]") + equal.count("range(") == 2
    assert other.count("def loop_body") == 3


def test_a_body_that_differs_is_a_parameter_and_each_loop_gets_its_own(tmp_path):
    """A function that has two loops must not give one model to both."""

    def twice(m):
        return (lambda x: x @ ONE * m), (lambda x: x @ ONE * m)

    pairs = [twice(m) for m in (0.5, 0.25, 0.75, 0.125)]
    network = loops(*(body for pair in pairs for body in pair))
    found = recovered(tflrecover.read(file_of(lambda x: network(x))))
    source, *_ = generate_from(found, "loops.tflite", tmp_path / "loops.py")
    again = runpy.run_path(str(source))["load_model"]()
    assert [x.tobytes() for x in again.get_weights()] == [x.tobytes() for x in found.model.get_weights()]
    x = feeds(again)[0]
    np.testing.assert_array_equal(again(x), found.model(x))


def test_what_a_loop_makes_of_zeros_is_short(tmp_path):
    def network(x):
        return tf.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, tf.tanh(y @ ONE + x)), [0, tf.zeros((2, 4))])[1]

    files = tflrecover.generate(file_of(network), tmp_path / "zeros.py")
    assert [file.name for file in files] == ["zeros.py", "zeros.weights.h5"]
    assert 'initial=[np.zeros((2, 4), "float32")]' in files[0].read_text(encoding="utf-8")


def test_quantized_is_that_of_recover(tmp_path):
    content = rounding()
    plain, *_ = tflrecover.generate(content, tmp_path / "plain.py")
    simulated, *_ = tflrecover.generate(content, tmp_path / "simulated.py", quantized="simulate")
    assert "FakeQuantize" not in plain.read_text(encoding="utf-8")
    assert simulated.read_text(encoding="utf-8").count("x = FakeQuantize(") > 0
    with pytest.raises(ValueError, match="'float' or 'simulate', got 'int8'"):
        tflrecover.generate(content, tmp_path / "other.py", quantized="int8")


def of_layer(kind):
    net = Network((4,))
    x = net.layer(kind, net.layer("Dense", net.inputs[0], units=4), factor=3)
    return net.recovered(net.layer(kind, x, factor=5, wanted="scores"))


def test_a_layer_of_the_users_is_imported(tmp_path):
    found = of_layer(Twice)
    source, *_ = generate_from(found, "own.tflite", tmp_path / "own.py")
    text = source.read_text(encoding="utf-8")
    assert "from tests.generation.networks import Twice\n" in text
    assert "Twice(factor=3)(x)" in text
    again = runpy.run_path(str(source))["load_model"]()
    assert again.output_names == ["scores"]
    x = feeds(again)[0]
    np.testing.assert_array_equal(again(x), found.model(x))
    assert_formatted(source)


def test_a_layer_that_no_source_can_import_is_told(tmp_path):
    class Local(Twice):
        pass

    with pytest.raises(tflrecover.NoSource, match=r"cannot import .*Local.*move its class to the top level"):
        generate_from(of_layer(Local), "own.tflite", tmp_path / "own.py")
    with pytest.raises(tflrecover.InvalidModel, match="what it would import a layer from"):
        generate_from(of_layer(Twice), "own.tflite", tmp_path / "tests.py")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("keras.py", "in the place of the module 'keras', which Keras needs"),
        ("h5py.py", "in the place of the module 'h5py'"),
        ("json.py", "in the place of the module 'json'"),
        ("palm-detection.py", "'palm-detection' .* is no name of a module"),
        ("class.py", "'class' .* is no name of a module"),
        ("a.b.py", "'a.b' .* is no name of a module"),
    ],
)
def test_names_that_a_source_cannot_have(tmp_path, name, message):
    with pytest.raises(tflrecover.InvalidModel, match=message):
        tflrecover.generate(b"never read", tmp_path / name)


@pytest.fixture
def channels_first():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


@pytest.mark.usefixtures("channels_first")
def test_a_user_who_has_channels_first_is_never_given_another_model(tmp_path):
    """Flatten takes axes in another order then, without a word; a convolution fits no longer."""
    keras.config.set_image_data_format("channels_last")
    found = {}
    for kind in ("Conv2D", "GlobalAveragePooling2D"):
        net = Network((3, 4, 5))
        options = {"filters": 2, "kernel_size": (1, 1)} if kind == "Conv2D" else {}
        x = net.layer(kind, net.inputs[0], **options)
        found[kind] = net.recovered(net.layer("Dense", net.layer("Flatten", x), units=2))
    keras.config.set_image_data_format("channels_first")
    for kind, one in found.items():
        source, *_ = generate_from(one, "m.tflite", tmp_path / f"{kind}.py")
        # A check is written only where Keras itself would not fail.
        assert ("image_data_format" in source.read_text(encoding="utf-8")) == (kind != "Conv2D")
        with pytest.raises(ValueError):  # noqa: PT011 - Keras says it in its own words
            runpy.run_path(str(source))["load_model"]()
    assert keras.config.image_data_format() == "channels_first"
    assert_formatted(source)
