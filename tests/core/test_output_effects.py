"""What a difference does to the outputs: measured against LiteRT, ranked, and said where it cannot be measured."""

import functools

import keras
import keras_models as zoo
import numpy as np
import pytest
from keras import layers as L

import tflrecover
from tflrecover.output_effect import OutputEffect
from tflrecover.tflite import read
from tflrecover.verification import interpreter, random
from tflrecover.verification.litert import FileRun

pytestmark = pytest.mark.measured


def net(seed, *, pool=2, activation="relu", merge=L.Add, head="softplus", filters=8, dropped=False):
    """A branch and a head; every argument is a place for a fault."""
    inputs = keras.Input((16, 16, 3), batch_size=1, name="image")
    x = L.Conv2D(8, 3, padding="same", name="stem")(inputs)
    skipped = x = L.MaxPooling2D(pool, strides=2, padding="same", name="pool")(x)
    x = L.Conv2D(filters, 3, padding="same", name="middle")(x)
    if filters == 8:
        x = merge(name="merge")([x, skipped])
    if not dropped:
        x = L.Activation(activation, name="act")(x)
    x = L.GlobalAveragePooling2D(name="average")(x)
    return zoo.randomize(keras.Model(inputs, L.Dense(5, activation=head, name="head")(x)), seed)


@functools.cache
def file():
    return zoo.convert(net(1))


def effects(model, **mapping):
    return tflrecover.diff(file(), model, mapping or None).differences


def rms(array):
    return float(np.sqrt(np.mean(np.square(array, dtype=np.float64))))


def truth(**fault):
    """The relative RMS error of the model with the fault and the original's weights, on the inputs of a diff."""
    original, faulty = net(1), net(2, **fault)
    faulty.set_weights(original.get_weights())
    (array,) = random(read(file()), {})
    want = np.asarray(original(array))
    return rms(np.asarray(faulty(array)) - want) / rms(want)


FAULTS = ({"pool": 5}, {"activation": "elu"}, {"merge": L.Multiply}, {"head": "sigmoid"}, {"dropped": True})


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_the_effect_of_one_fault_is_what_the_faulty_model_is_off_by(fault):
    model = net(2, **fault)
    before = model.get_weights()
    (difference,) = effects(model)
    assert difference.effect.with_it == pytest.approx(truth(**fault), rel=1e-3)
    assert difference.effect.relative == pytest.approx(truth(**fault), rel=1e-3)
    assert difference.effect.without_it < 1e-4
    assert difference.effect.first
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_the_largest_effect_ranks_first_and_the_first_divergence_is_marked():
    small, large = {"activation": "leaky_relu"}, {"head": "sigmoid"}
    assert truth(**small) < truth(**large)
    report = tflrecover.diff(file(), net(2, **small, **large))
    act, head = report.differences
    assert (act.keras_layer, head.keras_layer) == ("act", "head")
    assert head.effect.relative > act.effect.relative > 0
    assert (act.effect.rank, head.effect.rank) == (2, 1)
    assert (act.effect.first, head.effect.first) == (True, False)
    assert report.ranked == [(1, head), (0, act)]
    # The head is still wrong when the activation is right.
    assert act.effect.without_it > 0.01
    assert "without it" in str(act.effect)


def test_of_two_at_one_place_of_the_file_one_is_the_first_divergence():
    inputs = keras.Input((16, 16, 3), name="image")

    def fused(activation, pool):
        x = L.Activation(activation, name="act")(L.Conv2D(8, 3, name="stem")(inputs))
        x = L.MaxPooling2D(pool, strides=2, padding="same", name="pool")(x)
        return keras.Model(inputs, L.Dense(5, name="head")(L.GlobalAveragePooling2D()(x)))

    act, pool = tflrecover.diff(zoo.convert(zoo.randomize(fused("relu", 2), 1)), fused("silu", 3)).differences
    assert (act.keras_layer, act.effect.first) == ("act", True)
    assert (pool.keras_layer, pool.effect.first) == ("pool", False)


def test_other_shapes_cannot_be_measured_and_rank_first():
    differences = effects(net(2, filters=6, head="sigmoid"))
    (first,) = (d for d in differences if d.effect.rank == 1)
    assert first.effect.relative is None
    assert "not measured" in str(first.effect)
    assert first.effect.reason == "layer 'head' gets no numbers from the file for its bias"


def test_what_the_mapping_wants_is_measured_too():
    (difference,) = effects(net(2, pool=5), tflrecover=1, accept=[{"layer": "pool", "attribute": "pool_size"}])
    assert difference.accepted
    assert difference.effect.relative > 0.01


def test_a_refused_port_says_it_too():
    with pytest.raises(tflrecover.PortError) as refused:
        tflrecover.port(file(), net(2, pool=5))
    assert refused.value.report.differences[0].effect.relative > 0.01
    assert "relative RMS" in refused.value.report.to_text()


def test_a_model_whose_weights_differ_is_measured_on_the_files():
    """A verification of a model that is not ported: the weights are wrong, and the pool alone does so much."""
    report = tflrecover.verify(file(), net(2, pool=5))
    assert report.differences[0].effect.with_it == pytest.approx(truth(pool=5), rel=1e-3)


def test_a_run_that_does_not_end_is_said(monkeypatch):
    monkeypatch.setattr(interpreter, "_LONGEST", 0.0)
    report = tflrecover.diff(file(), net(2, pool=5))
    assert report.differences[0].effect is None
    assert any("was not measured" in note for note in report.notes)


def test_a_process_that_dies_takes_nothing_with_it():
    run = FileRun(read(file()), random(read(file()), {}), is_isolated=True)
    run._run._process.kill()
    with pytest.raises(tflrecover.EvaluationError, match="ended"):
        run.tensor(run._file.graph.outputs[0])


def test_a_run_elsewhere_is_the_run_here():
    model = read(file())
    here, elsewhere = (FileRun(model, random(model, {}), is_isolated=flag) for flag in (False, True))
    for index in model.graph.values:
        assert here.shape(index) == elsewhere.shape(index)
        assert np.array_equal(here.tensor(index), elsewhere.tensor(index))
    assert here.shape(model.graph.outputs[0]) == (1, 5)


def test_nothing_is_fetched_that_nobody_asks_for(monkeypatch):
    """LiteRT can end the process when a resource of a file with states is fetched."""
    model = read(file())
    run, fetched = FileRun(model, random(model, {})), []
    fetch = run._run._interpreter.get_tensor
    monkeypatch.setattr(run._run._interpreter, "get_tensor", lambda index: fetched.append(index) or fetch(index))
    (output,) = model.graph.outputs
    assert run.shape(output) == run.tensor(output).shape
    assert fetched == [output, output]


def test_what_is_little_is_not_told_as_nothing():
    told = [str(OutputEffect(value, output="y")) for value in (0.5, 0.0123, 2e-4, 3e-6)]
    assert [text.split(" by ")[1].split()[0] for text in told] == ["50%", "1.23%", "0.02%", "3e-04%"]
