"""``port(path, recover(path))`` gives every weight back, also where nothing but names tells layers apart."""

import numpy as np
import pytest
import tensorflow as tf

import tflrecover
from benchmarks.kinds import cases
from tests.core.lite import converted
from tests.core.op_consistency import run
from tests.core.op_examples import FILES
from tests.recovery.round_trip import assert_exact
from tests.recovery.test_control import choice, choice_in_loop_in_loop, list_that_ends_early, until_large
from tests.recovery.test_operators import DRAWN

_GENERATOR = np.random.default_rng(2)
TABLE, PLACES, KERNEL = (_GENERATOR.normal(size=shape).astype("float32") for shape in ((20, 6), (5, 6), (6, 6)))


@pytest.mark.parametrize(
    "key",
    [
        "layer merge_Add",
        "layer merge_Multiply",
        "layer average_of_three",
        "layer einsum_abc,cde->adbe",
        "layer attention_other_axis",
        "model positions",
    ],
)
def test_kind(key):
    kind = cases.by_key()[key]
    model, args, kwargs = kind.build()
    assert_exact(cases.convert(kind, cases.randomize(model, 1), args, kwargs, "fp32"))


def made(function, shape=(2, 4), dtype=tf.float32):
    network = tf.function(function, input_signature=[tf.TensorSpec(shape, dtype)]).get_concrete_function()
    return converted(tf.lite.TFLiteConverter.from_concrete_functions([network]))


@pytest.mark.parametrize("function", [choice, until_large, choice_in_loop_in_loop, list_that_ends_early])
def test_what_depends_on_numbers(function):
    assert_exact(made(function))


def looked_up(i):
    return tf.nn.relu(tf.gather(TABLE, i) @ KERNEL) @ KERNEL.T


def looked_up_from_the_end(i):
    return tf.nn.relu(tf.gather(TABLE, tf.where(i < 0, i + 20, i)) @ KERNEL + PLACES) @ KERNEL.T


@pytest.mark.parametrize("function", [looked_up, looked_up_from_the_end])
def test_indices_that_keras_counts_from_the_end(function):
    assert_exact(made(function, (2, 5), tf.int32))


def resized(x):
    x = tf.nn.conv2d(x, KERNEL[None, None], 1, "SAME")
    return tf.nn.relu(tf.compat.v1.image.resize_nearest_neighbor(x, (8, 12)))


def strided_and_dilated(x):
    return tf.nn.relu(tf.nn.conv2d(x, np.tile(KERNEL, (3, 3, 1, 1)), 1, "SAME", dilations=2))[:, ::2, ::2]


@pytest.mark.parametrize("function", [resized, strided_and_dilated])
def test_what_keras_writes_otherwise(function):
    assert_exact(made(function, (1, 4, 4, 6)))


def chosen(x):
    x = x @ KERNEL
    return tf.nn.relu(tf.gather_nd(x, tf.where(x > 0)))


def noisy(x):
    return x @ KERNEL + tf.random.uniform((3, 6), seed=3)


@pytest.mark.parametrize("function", [chosen, noisy])
def test_what_the_data_or_chance_decide(function):
    model = assert_exact(made(function, (3, 6)))
    if function is noisy:
        x = np.ones((3, 6), np.float32)
        assert not np.array_equal(model(x), model(x))


# Old operators of which Keras has nothing, and those whose file says a size that only the data can tell.
_NOT_BACK = {"DILATE", "EMBEDDING_LOOKUP_SPARSE", "HASHTABLE_LOOKUP", "LSH_PROJECTION"} | {
    "FILL",
    "RANDOM_STANDARD_NORMAL",
    "RANDOM_UNIFORM",
    "RANGE",
}


@pytest.mark.parametrize("name", sorted(FILES.keys() - DRAWN - _NOT_BACK))
def test_file_of_one_operator(name):
    content, _, _ = run(name, FILES[name])
    model = tflrecover.recover(content)
    wanted = model.get_weights()
    assert tflrecover.port(content, model).ok
    for one, other in zip(wanted, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def one_way(x):
    x = x @ KERNEL
    return tf.cond(tf.reduce_sum(x) > 0, lambda: tf.nn.relu(x), lambda: tf.tanh(x))


def other_way(x):
    x = x @ KERNEL
    return tf.cond(tf.reduce_sum(x) > 0, lambda: tf.tanh(x), lambda: tf.nn.relu(x))


def test_condition_the_other_way_round_is_a_difference():
    model = tflrecover.recover(made(other_way, (3, 6)))
    assert_exact(made(one_way, (3, 6)))
    report = tflrecover.diff(made(one_way, (3, 6)), model)
    assert report.differences
    assert not report.ok
