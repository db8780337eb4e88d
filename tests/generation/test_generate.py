"""Source of a recovered model: the same weights and outputs, without tflrecover, as a person would write it."""

import ast
import runpy
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import tflrecover
from tests.core.keras_models import file_of
from tests.generation.networks import Network, pyramid, random_network
from tflrecover.generation import generate_from
from tflrecover.recovery import recovered


def run(model, seed=0):
    generator = np.random.default_rng(seed)
    given = [generator.normal(size=(2, *x.shape[1:])).astype("float32") for x in model.inputs]
    made = model(given if len(given) > 1 else given[0], training=False)
    return given, [np.asarray(y) for y in (made if isinstance(made, (list, tuple)) else [made])]


def assert_same(path, model):
    """The source at a path makes the model again, to the last bit."""
    again = runpy.run_path(str(path))["load_model"]()
    assert [x.tobytes() for x in again.get_weights()] == [x.tobytes() for x in model.get_weights()]
    for one, other in zip(run(model)[1], run(again)[1], strict=True):
        np.testing.assert_array_equal(one, other)
    return again


def assert_formatted(*paths):
    for command in (["format", "--check"], ["check", "--select", "E,F,I,B,UP"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--isolated", *map(str, paths)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_a_window_with_an_axis_of_one_keeps_its_padding(tmp_path):
    net = Network((4, 8, 8, 2))
    x = net.layer("Conv3D", net.inputs[0], filters=3, kernel_size=(1, 3, 3), padding="same")
    x = net.layer("Conv3D", x, filters=3, kernel_size=(1, 1, 1), padding="same")
    found = net.recovered(net.layer("Conv3D", x, filters=3, kernel_size=(3, 1, 1), padding="same"))
    (source, _) = generate_from(found, "video.tflite", tmp_path / "video.py")
    assert_same(source, found.model)
    text = source.read_text(encoding="utf-8")
    assert text.count('padding="same"') == 2
    assert "layers.Conv3D(3, 1)(x)" in text


def test_repetition_becomes_functions_and_loops(tmp_path):
    found = pyramid()
    files = generate_from(found, "pyramid.tflite", tmp_path / "pyramid.py")
    assert [file.name for file in files] == ["pyramid.py", "pyramid.weights.h5"]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    text = files[0].read_text(encoding="utf-8")
    body = text[text.index("def residual_block") : text.index("def load_model")]
    assert (
        body
        == '''\
def residual_block(x, filters):
    """Adds its input to what is made of it."""
    y = layers.DepthwiseConv2D(3, padding="same")(x)
    y = layers.Conv2D(filters, 1)(y)
    x = layers.Add()([x, y])
    return layers.ReLU()(x)


def stage(x, filters):
    """Halves the size, and goes on with blocks that keep it."""
    x = layers.DepthwiseConv2D(3, strides=2, padding="same")(x)
    x = layers.Conv2D(filters, 1)(x)
    x = layers.ReLU()(x)
    for _ in range(3):
        x = residual_block(x, filters)
    return x


def build_model():
    """The network; its weights are random."""
    inputs = keras.Input((16, 16, 3), name="input_0")
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    for filters in [16, 24, 32]:
        x = stage(x, filters)
    boxes = layers.Conv2D(4, 1, name="boxes")(x)
    scores = layers.Conv2D(1, 1, name="scores")(x)
    return keras.Model(inputs, [boxes, scores], name="network")


'''
    )
    assert assert_same(files[0], found.model).output_names == ["boxes", "scores"]


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return tmp_path_factory.mktemp("sources")


@pytest.mark.parametrize("seed", range(8))
def test_any_network_is_the_same_again(sources, seed):
    found = random_network(seed)
    path, *_ = generate_from(found, "random.tflite", sources / f"random_{seed}.py")
    assert_same(path, found.model)


def test_sources_are_formatted(sources):
    paths = [generate_from(random_network(seed), "random.tflite", sources / f"r{seed}.py")[0] for seed in range(3)]
    assert_formatted(*paths)


def test_source_needs_no_tflrecover(tmp_path):
    found = recovered(tflrecover.read(file_of("two_heads")))
    given, wanted = run(found.model)
    np.savez(
        tmp_path / "io.npz", **{f"x{i}": x for i, x in enumerate(given)}, **{f"y{i}": y for i, y in enumerate(wanted)}
    )
    tflrecover.generate(file_of("two_heads"), tmp_path / "heads.py")
    program = """
import sys
sys.modules["tflrecover"] = None
import heads, numpy as np
model, io = heads.load_model(), np.load("io.npz")
given = [io[f"x{i}"] for i in range(len(model.inputs))]
made = model(given if len(given) > 1 else given[0], training=False)
assert all(np.array_equal(y, io[f"y{i}"]) for i, y in enumerate(made))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert_formatted(tmp_path / "heads.py")


@pytest.mark.parametrize("units", [(3, 3, 3, 3), (3, 4, 5, 6)])
def test_what_every_turn_of_a_loop_takes_is_kept(tmp_path, units):
    net = Network((4,), (4,))
    x = first = net.layer("Dense", net.inputs[0], units=4)
    y = net.layer("Dense", net.inputs[1], units=4)
    for n in units:
        x = net.layer("Dense", net.layer("Dense", x, units=n, activation="relu"), units=4)
        x = net.layer("Add", [x, y])
    found = net.recovered(net.layer("Multiply", [x, first]))
    path, *_ = generate_from(found, "loop.tflite", tmp_path / "loop.py")
    assert "    for " in path.read_text(encoding="utf-8")
    assert_same(path, found.model)


def test_a_cell_is_made_anew_in_each_layer(tmp_path):
    """A function that has two layers with equal cells must not give one cell to both."""
    net = Network((5, 4))
    x = net.inputs[0]
    for units in (3, 5, 7, 9):
        for _ in range(2):
            cell = net.builder.unbuilt("LSTMCell", units=units)
            x = net.layer("RNN", x, cell=cell, return_sequences=True)
        x = net.layer("Dense", x, units=4)
    found = net.recovered(x)
    path, *_ = generate_from(found, "cells.tflite", tmp_path / "cells.py")
    assert path.read_text(encoding="utf-8").count("layers.RNN(layers.LSTMCell(units), return_sequences=True)") == 2
    assert_same(path, found.model)


@pytest.mark.parametrize("turns", [1, 3])
def test_a_layer_that_is_called_twice_is_made_once(tmp_path, turns):
    net = Network((4,), (4,))
    x, y = net.inputs
    for units in range(4, 4 + turns):
        x = net.layer("Dense", x, units=units)
        call = net.builder.calls[-1]
        called = call.layer(y)
        net.builder.calls.append(replace(call, args=(y,), result=called))
        y = called
        x = net.layer("Add", [x, y])
    found = net.recovered(x)
    path, *_ = generate_from(found, "shared.tflite", tmp_path / "shared.py")
    assert path.read_text(encoding="utf-8").count("layers.Dense(") == turns
    again = assert_same(path, found.model)
    assert len(again.weights) == 2 * turns
    assert_formatted(path)


HOSTILE = (
    '"""; import os; """',
    "'; __import__('os').system('x')",
    "class",
    "a\nb = 1",
    "läyér",
    "layers",
    "{x}",
    "\\",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_the_file_never_become_code(tmp_path, name):
    net = Network((4,), (4,))
    x = net.layer("Dense", net.layer("Add", net.inputs, wanted="merge"), units=3)
    y = net.layer("Dense", x, units=2)
    for _ in range(8):
        y = net.layer("Dense", y, units=2)
    found = net.recovered(net.layer("Add", [net.layer("Dense", x, units=2), y]))
    found.model.name = name
    for place, layer in enumerate(found.model.layers):
        layer.name = f"{name}{place or ''}"
    found.model.output_names = [name]
    path, *_ = generate_from(found, f"{name}.tflite", tmp_path / "hostile.py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    modules = ("keras.", "layers.", "Path(", "model.", "load_model().")
    assert all(one.startswith(modules) or one in {*own, "Path", "range"} for one in called), called
    assert {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names} == {"keras"}
    assert_same(path, found.model)


def test_functions_of_tensorflow_are_called_by_one_class(tmp_path):
    net = Network((4, 4, 8))
    x = net.builder.tensorflow("nn.depth_to_space", net.inputs[0], block_size=2)
    # As large as this, it is written to a file, and to that of the recovered model as well.
    numbers = np.random.default_rng(1).normal(size=(8, 8, 2)).astype("float32")
    x = net.builder.tensorflow("math.multiply", x, numbers)
    found = net.recovered(net.layer("Conv2D", x, filters=2, kernel_size=(1, 1), wanted="scores"))
    path, *_ = generate_from(found, "depth.tflite", tmp_path / "depth.py")
    again = assert_same(path, found.model)
    again.save(tmp_path / "again.keras")
    import keras

    loaded = keras.models.load_model(tmp_path / "again.keras")
    np.testing.assert_array_equal(run(loaded)[1][0], run(found.model)[1][0])
    assert_formatted(path)


def test_files_that_are_there_are_kept(tmp_path):
    (tmp_path / "m.weights.h5").write_text("mine", encoding="utf-8")
    with pytest.raises(tflrecover.OutputError, match="is there already"):
        tflrecover.generate(file_of("plain"), tmp_path / "m.py")
    assert [path.name for path in tmp_path.iterdir()] == ["m.weights.h5"]
    files = tflrecover.generate(file_of("plain"), tmp_path / "m.py", force=True)
    assert sorted(tmp_path.iterdir()) == sorted(files)


def test_what_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tflrecover.generation._try", lambda *_: 1 / 0)
    with pytest.raises(tflrecover.NoSource, match="does not work: ZeroDivisionError"):
        tflrecover.generate(file_of("plain"), tmp_path / "m.py")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(tflrecover.InvalidModel, match=r"must be a \.py file"):
        tflrecover.generate(file_of("plain"), tmp_path / "m.txt")


def test_axes_behind_a_slice_are_taken_whole(tmp_path):
    net = Network((4, 6, 8))
    parts = [net.builder.sliced(net.inputs[0], (slice(None), slice(None), where)) for where in (slice(2), slice(2, 6))]
    x = net.builder.layer("Concatenate", parts, axis=2)
    found = net.recovered(net.layer("Conv2D", x, filters=2, kernel_size=(1, 1), wanted="scores"))
    path, *_ = generate_from(found, "rolled.tflite", tmp_path / "rolled.py")
    assert "[:, :, :2]" in path.read_text(encoding="utf-8")
    assert_same(path, found.model)
