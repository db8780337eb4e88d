"""Statistics of weights, the file's against the model's."""

import keras
import keras_models as zoo
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

import tflrecover
from tflrecover.ir import Assignment
from tflrecover.report.distributions import BINS, MOST_NUMBERS, distributions
from tflrecover.tracing.present import present

RNG = np.random.default_rng(0)
SHAPES = [(), (1,), (3, 3, 8, 16), (MOST_NUMBERS,), (64, 3, 128)]


def of(held, value=None):
    (found,) = distributions([Assignment("w", "assigned", value)], {"w": held})
    return found


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_figures_are_those_of_numpy(shape):
    file, keras_ = (RNG.normal(size=shape).astype("float32") for _ in range(2))
    found = of(keras_, file)
    low, high = (float(f([file, keras_])) for f in (np.min, np.max))
    if file.size <= MOST_NUMBERS:
        assert found.ends == (low, high)
    for told, array in ((found.file, file), (found.keras, keras_)):
        assert sum(told.histogram) == found.numbers <= MOST_NUMBERS
        if found.numbers == array.size:
            wanted = array.astype("float64")
            figures = wanted.min(), wanted.max(), wanted.mean(), wanted.std()
            assert (told.minimum, told.maximum, told.mean, told.std) == pytest.approx(figures, rel=1e-12)
            assert told.histogram == tuple(np.histogram(wanted, BINS, found.ends)[0])


def test_samples_of_a_large_weight_come_from_every_channel():
    channels = 512
    found = of(np.broadcast_to(np.arange(channels, dtype="float32"), (3, 3, 512, channels)))
    assert (found.keras.minimum, found.keras.maximum) == (0, channels - 1)
    assert found.keras.std == pytest.approx(np.arange(channels).std(), rel=0.02)
    assert 0.8 * MOST_NUMBERS < found.numbers <= MOST_NUMBERS


def test_a_transposed_weight_is_sampled_at_the_same_places():
    array = RNG.normal(size=(40, 50, 60)).astype("float32")
    found = of(np.ascontiguousarray(array.transpose(2, 0, 1)), array.transpose(2, 0, 1))
    assert found.file == found.keras


def test_equal_numbers_have_a_bin():
    found = of(np.full((4,), 3.0, "float32"))
    assert found.ends == (2.5, 3.5)
    assert found.keras.std == 0
    assert sum(found.keras.histogram) == found.keras.histogram[BINS // 2] == 4
    assert found.file is None


def test_numbers_that_are_not_finite_are_in_no_bin():
    found = of(np.array([1, np.nan, 2, np.inf], "float32"), np.full(4, np.nan, "float32"))
    assert (found.ends, sum(found.keras.histogram), sum(found.file.histogram)) == ((1, 2), 2, 0)
    assert np.isnan(found.keras.mean)
    assert np.isnan(found.file.minimum)


def test_weights_of_every_type_and_none():
    arrays = {"half": np.ones(3, ml_dtypes.bfloat16), "count": np.array([1, 2]), "text": np.array(["a"]), "no": []}
    held = {path: np.asarray(array) for path, array in arrays.items()}
    found = distributions([Assignment(path, "kept") for path in held], held)
    assert [(one.variable, one.dtype) for one in found] == [("half", "bfloat16"), ("count", "int64")]
    assert distributions([], {}) == ()


def test_report_has_the_file_s_numbers_and_those_before_a_port():
    model, original = zoo.randomize(zoo.plain(), 7), zoo.original("plain")
    kernel, mine = model.get_layer("point").kernel.numpy(), original.get_layer("point").kernel.numpy()
    report = tflrecover.port(zoo.file_of("plain"), model)
    (found,) = (one for one in report.weights if one.variable == "point/kernel")
    assert (found.file.mean, found.keras.mean) == pytest.approx((mine.mean(), kernel.mean()), rel=1e-5)
    assert [one.variable for one in report.weights] == [one.variable for one in report.assignments]
    by_layer = {row.keras.layer: row.variables for row in report.rows if row.variables}
    assert set(by_layer["point"]) == {"point/kernel", "point/bias"}
    statistics = ("gamma", "beta", "moving_mean", "moving_variance")
    assert set(by_layer["conv"]) == {"conv/kernel", *(f"bn/{name}" for name in statistics)}


def test_present_numbers_are_read_of_any_variable_and_stay():
    one, other = keras.Variable([1.0, 2.0]), tf.Variable([3.0])
    found = present({"one": one, "other": other})
    one.assign([5.0, 6.0])
    other.assign([7.0])
    assert {path: array.tolist() for path, array in found.items()} == {"one": [1.0, 2.0], "other": [3.0]}
