"""``port(path, recover(path))`` gives every weight back, also where nothing but names tells layers apart."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.kinds import cases
from tests.core.lite import converted
from tests.recovery.round_trip import assert_exact
from tests.recovery.test_control import choice, choice_in_loop_in_loop, list_that_ends_early, until_large

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
