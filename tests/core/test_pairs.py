"""Two files or two models: what changed between two releases, in structure and in numbers."""

import functools

import keras
import keras_models as zoo
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from typer.testing import CliRunner

import tflrecover
from tests.core.lite import converted, quantize, stripped
from tests.test_imports import loaded_after
from tflrecover.cli import commands, shell

FAULTS = {
    "pool": ({"pool_size": 3}, "attribute", "pool_size", (2, 2), (3, 3)),
    "kernel": ({"kernel_size": 5}, "attribute", "kernel_size", (3, 3), (5, 5)),
    "activation": ({"activation": "tanh"}, "attribute", "activation", "relu", "tanh"),
    "merge": ({"merge": layers.Multiply}, "attribute", "layer", "Add", "Multiply"),
    "added": ({"extra": True}, "extra", None, None, None),
    "removed": ({"skip": False}, "missing", None, None, None),
}


def quantized(model, form):
    def samples():
        rng = np.random.default_rng(0)
        return ([rng.normal(size=(1, *model.input_shape[1:])).astype("float32")] for _ in range(4))

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    quantize(converter, form, samples)
    return converted(converter)


def scaled(model, **factors):
    """The model with the first variable of some layers trained further, as it were."""
    for name, factor in factors.items():
        variable = model.get_layer(name).variables[0]
        variable.assign(np.asarray(variable) * factor)
    return model


def moved(report):
    return {weight.keras: pytest.approx(weight.rms_rel, rel=1e-3) for weight in report.weight_checks if not weight.ok}


@functools.cache
def file_with(fault):
    return zoo.convert(zoo.randomize(zoo.plain(**FAULTS[fault][0]), 1))


def test_a_file_is_itself():
    report = tflrecover.diff(zoo.file_of("plain"), stripped(zoo.file_of("plain")))
    assert report.ok
    assert (report.differences, report.assignments, report.constants) == ((), (), ())
    assert report.sides == ("first", "second")
    assert report.operators.matched == report.operators.canonical == report.operators.model
    assert len(report.weight_checks) == 11
    assert all(weight.max_abs == weight.rms_rel == 0 for weight in report.weight_checks)
    assert "all 11 weights are equal\n" in report.to_text()


@pytest.mark.parametrize("name", zoo.BUILDERS)
def test_a_model_is_itself(name):
    model = zoo.original(name)
    assert tflrecover.diff(model, model).ok
    report = tflrecover.diff(model, zoo.original(name))
    assert report.ok
    assert report.operators.matched == report.operators.canonical
    assert {weight.tflite for weight in report.weight_checks} == {weight.keras for weight in report.weight_checks}


@pytest.mark.parametrize("form", ["fp16", "dynamic", "int8"])
def test_rounding_is_no_change(form):
    file, rounded = zoo.file_of("plain"), quantized(zoo.original("plain"), form)
    for report in (tflrecover.diff(file, rounded), tflrecover.diff(rounded, file)):
        assert report.ok
        assert len(report.weight_checks) == 11
    if form == "int8":
        assert "but for rounding" in str(report)
        assert [note for note in report.notes if note.startswith("The first: The file is quantized")]


@pytest.mark.parametrize("form", ["fp32", "int8"])
def test_weights_that_moved(form):
    release = scaled(zoo.original("plain"), point=1.03, dense=0.9)
    report = tflrecover.diff(quantized(zoo.original("plain"), form), quantized(release, form))
    assert not report.ok
    assert report.differences == ()
    rounding = 1e-3 if form == "fp32" else 0.05
    assert [weight.rms_rel for weight in report.weight_checks if not weight.ok] == pytest.approx(
        [0.03, 0.1], rel=rounding
    )
    assert "the same network, 2 of 11 weights differ" in report.to_text()


def test_weights_of_a_model_that_moved_are_called_by_their_variables():
    report = tflrecover.diff(zoo.original("plain"), scaled(zoo.original("plain"), bn=1.5, dense=0.9))
    assert report.differences == ()
    assert moved(report) == {"bn/gamma": 0.5, "dense/kernel": 0.1}
    assert "10.00%  dense/kernel [8, 5]" in report.to_text()


def test_what_is_no_number_is_itself():
    first, second = zoo.original("shared"), zoo.original("shared")
    for model in (first, second):
        model.get_layer("last").bias.assign(np.array([np.nan, 0.5], "float32"))
    assert tflrecover.diff(first, second).ok
    second.get_layer("last").bias.assign(np.array([0.1, 0.5], "float32"))
    (bias,) = [weight for weight in tflrecover.diff(first, second).weight_checks if not weight.ok]
    assert (bias.keras, bias.max_abs, bias.rms_rel) == ("last/bias", np.inf, np.inf)


def test_batch_norms_that_were_folded_and_undone_compute_the_same():
    twin = zoo.randomize(zoo.plain(), 2)
    tflrecover.port(zoo.file_of("plain"), twin)
    report = tflrecover.diff(zoo.original("plain"), twin)
    assert report.ok
    assert next(weight.rms_rel for weight in report.weight_checks if weight.keras == "bn/gamma") > 0.01


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_of_a_file(fault):
    _, *wanted = FAULTS[fault]
    report = tflrecover.diff(zoo.file_of("plain"), stripped(file_with(fault)))
    (found,) = report.differences
    assert [found.kind, found.attribute, found.tflite_value, found.keras_value] == wanted
    assert "the file" not in found.message
    assert "the model" not in found.message
    assert "first" in found.message or "second" in found.message
    assert "not the same network" in report.to_text()


@pytest.mark.parametrize("fault", ["pool", "activation", "added"])
def test_a_planted_fault_of_a_model_with_other_names(fault):
    changed, *wanted = FAULTS[fault]
    other = keras.models.clone_model(zoo.plain(**changed), clone_function=_renamed)
    report = tflrecover.diff(zoo.original("plain"), zoo.randomize(other, 1))
    (found,) = report.differences
    assert [found.kind, found.attribute, found.tflite_value, found.keras_value] == wanted
    assert found.keras_layer == {"pool": "new_pool", "activation": "new_act", "added": "new_surplus"}[fault]
    if fault == "pool":
        assert found.message == "`pool_size` of 'pool' / 'new_pool': (2, 2) in the first, (3, 3) in the second"


def _renamed(layer):
    return type(layer).from_config({**layer.get_config(), "name": f"new_{layer.name}"})


def test_what_the_mapping_wants_between_files():
    files = zoo.file_of("plain"), file_with("pool")
    (found,) = tflrecover.diff(*files).differences
    wanted = {"layer": found.keras_layer, "attribute": "pool_size"}
    assert tflrecover.diff(*files, {"tflrecover": 1, "accept": [wanted]}).ok
    with pytest.raises(tflrecover.StaleMapping, match="fits 'plain_1/pol'; did you mean"):
        tflrecover.diff(*files, {"tflrecover": 1, "skip": ["plain_1/pol"]})
    with pytest.raises(tflrecover.MappingError, match="nothing is written"):
        tflrecover.diff(*files, {"tflrecover": 1, "weights": {"a": {"from": "b"}}})


def test_what_the_mapping_wants_between_models():
    def model(*inner):
        return zoo.randomize(keras.Sequential([keras.Input((4,)), *inner, layers.Dense(3, name="dense")]), 1)

    first, second = model(layers.ReLU(name="relu")), scaled(model(layers.ReLU(name="other")), dense=2.0)
    assert tflrecover.diff(first, second, {"tflrecover": 1, "skip": ["dense"]}).ok
    (found,) = tflrecover.diff(first, model()).differences
    assert found.message == "relu at 'relu', only in the first"
    assert tflrecover.diff(first, model(), {"tflrecover": 1, "accept": [{"op": "relu", "kind": "missing"}]}).ok
    matched = tflrecover.diff(first, second, {"tflrecover": 1, "match": {"dense": "dense"}})
    assert [match.step for match in matched.matches].count("mapping") == 1


def recurrent(units=4, tuned=1.0, **names):
    inputs = keras.Input(batch_shape=(1, 5, 3), name="steps")
    x = layers.GRU(units, return_sequences=True, name=names.get("gru", "gru"))(inputs)
    model = zoo.randomize(keras.Model(inputs, layers.Dense(2, name="head")(x), name="recurrent"), 1)
    kernel = model.layers[1].cell.recurrent_kernel
    kernel.assign(np.asarray(kernel) * tuned)
    return model


def test_a_recurrent_layer():
    first, same, release = recurrent(), recurrent(gru="other"), recurrent(tuned=1.1)
    assert tflrecover.diff(first, same).ok
    assert moved(tflrecover.diff(first, release)) == {"gru_cell/recurrent_kernel": 0.1}
    report = tflrecover.diff(zoo.convert(first), zoo.convert(release))
    assert report.differences == ()
    assert list(moved(report).values()) == [0.1]


def test_an_argument_of_several_operators_is_tried():
    def model(epsilon):
        inputs = keras.Input((6, 8))
        return zoo.randomize(keras.Model(inputs, layers.LayerNormalization(epsilon=epsilon, name="norm")(inputs)), 1)

    (found,) = tflrecover.diff(model(1e-3), model(1e-2)).differences
    assert found.message == "`epsilon` of 'norm': 0.001 in the first, 0.01 in the second"


def two_inputs(*order, subtract=True):
    ends = {name: keras.Input((4,), name=name) for name in order}
    x = layers.Dense(3, name="left")(ends["a"])
    x = layers.Subtract(name="minus")([x, layers.Dense(3, name="right")(ends["b"])]) if subtract else x
    return keras.Model(list(ends.values())[: 2 if subtract else 1], layers.Dense(2, name="out")(x), name="two")


def seeded(model):
    for variable in model.variables:
        seed = sum(map(ord, variable.path))
        variable.assign(np.random.default_rng(seed).uniform(-1, 1, variable.shape).astype("float32"))
    return model


def test_inputs_in_another_order():
    first, second = seeded(two_inputs("a", "b")), seeded(two_inputs("b", "a"))
    report = tflrecover.diff(first, second)
    assert report.ok
    (note,) = report.notes
    assert note == "The inputs are in another order: the first's input 0 is the second's 1, 1 is the second's 0."
    files = zoo.convert(first), zoo.convert(second)
    assert tflrecover.diff(*files).ok
    assert tflrecover.diff(files[0], stripped(files[1])).ok


def test_an_input_more():
    first, second = seeded(two_inputs("a", "b", subtract=False)), seeded(two_inputs("a", "b"))
    for report in (tflrecover.diff(first, second), tflrecover.diff(zoo.convert(first), zoo.convert(second))):
        assert "the input 'b' is only in the second" in [found.message for found in report.differences]


@pytest.mark.parametrize("of_files", [False, True])
def test_free_sizes_are_looked_at_twice(of_files):
    """On even sizes SAME is a padding at the end; on odd ones it is not."""

    def model(padding):
        x = inputs = keras.Input((None, None, 2))
        if padding == "valid":
            x = layers.ZeroPadding2D(((0, 1), (0, 1)), name="pad")(x)
        x = layers.Conv2D(3, 3, strides=2, padding=padding, name="conv")(x)
        return zoo.randomize(keras.Model(inputs, layers.GlobalAveragePooling2D()(x)), 1)

    pair = model("same"), model("valid")
    report = tflrecover.diff(*(map(zoo.convert, pair) if of_files else pair))
    assert [found.attribute for found in report.differences] == ["padding"]
    assert any("not on every size" in note for note in report.notes)


def test_other_kinds_of_pairs_are_refused():
    file, model = zoo.file_of("affine"), zoo.original("affine")
    with pytest.raises(tflrecover.InvalidModel, match="got bytes"):
        tflrecover.init_mapping(file, file)
    for call in (tflrecover.port, tflrecover.verify):
        with pytest.raises(tflrecover.InvalidModel, match="got bytes"):
            call(file, file)
        with pytest.raises(tflrecover.InvalidFile, match="got the Keras model 'affine'"):
            call(model, model)
    with pytest.raises(tflrecover.InvalidFile, match="got the Keras model 'affine'"):
        tflrecover.diff(model, file)


def test_command_line(tmp_path):
    first, second, model = (str(tmp_path / name) for name in ("a.tflite", "b.tflite", "m.keras"))
    (tmp_path / "a.tflite").write_bytes(zoo.file_of("affine"))
    (tmp_path / "b.tflite").write_bytes(zoo.convert(scaled(zoo.original("affine"), conv=1.5)))
    zoo.original("affine").save(model)

    def run(*arguments):
        found = CliRunner().invoke(commands.app, ["diff", *arguments])
        return found.exit_code, found.output

    page = tmp_path / "page.html"
    code, said = run(first, second, "--html", str(page))
    assert code == shell.DIFFERENT
    assert "the same network, 1 of 6 weights differ" in said
    assert "50.00%" in said
    assert "Weights that differ" in page.read_text(encoding="utf-8")
    assert run(first, first)[0] == run(model, model)[0] == run(first, model)[0] == shell.SAME
    assert run(model, first)[0] == shell.TROUBLE


def test_two_files_need_no_tensorflow(tmp_path):
    file = tmp_path / "a.tflite"
    file.write_bytes(zoo.file_of("affine"))
    found = loaded_after(f"import tflrecover; tflrecover.diff({str(file)!r}, {str(file)!r}).to_text()", tmp_path)
    assert found.isdisjoint(("tensorflow", "keras", "tf_keras", "ai_edge_litert"))
