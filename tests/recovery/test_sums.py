"""Sums mean what broadcasting means, also where ``keras.ops.add`` would take an operand for a bias."""

import itertools

import keras
import keras_models
import numpy as np
import pytest

import tflrecover
from tests.core import file_builders
from tests.recovery.recovering import recovered
from tflrecover.ops import sums

SHAPES = [shape for rank in (1, 2, 3) for shape in itertools.product((1, 2, 3), repeat=rank)]


def _fit(x, y):
    try:
        return np.broadcast_shapes(x, y) is not None
    except ValueError:
        return False


def test_what_is_not_told_to_be_misread_is_read_right():
    generator = np.random.default_rng(1)
    wrong = 0
    for x, y in itertools.product(SHAPES, SHAPES):
        if not _fit(x, y):
            continue
        one, other = (generator.normal(size=shape).astype("float32") for shape in (x, y))
        if not sums.is_misread(x, y):
            np.testing.assert_array_equal(keras.ops.add(one, other), one + other)
        else:
            wrong += 1
            ordered = sums.in_order(one, other)
            if ordered is not None:
                np.testing.assert_array_equal(keras.ops.add(*ordered), one + other)
    assert wrong > 0


@pytest.mark.parametrize(
    ("x", "y", "is_misread"),
    [
        ((None, 8, 8, 8), (8, 1, 1), True),
        ((None, 8, 8, 8), (8,), False),
        ((None, 4), (None, 1), True),  # of four examples
        ((None, 4), (None, 4), False),
        ((None, None, 8), (None, None, 1), True),  # of one example with eight steps
        ((None, 5, 6, 7), (None, 5, 6, 7), False),
    ],
)
def test_free_sizes_may_be_any(x, y, is_misread):
    assert sums.is_misread(x, y) == is_misread


@pytest.mark.parametrize("shape", [(4, 1, 1), (1, 4, 1, 1), (1, 1, 4, 1)])
def test_constant_along_another_axis_than_the_last(shape):
    file = file_builders.File()
    x = file.input((1, 4, 4, 4))
    y = file.const(np.random.default_rng(2).normal(size=shape).astype("float32"))
    z = file.op(
        "TANH",
        [file.op("ADD", [file.op("TANH", [x], (1, 4, 4, 4)), y], (1, 4, 4, 4), options="AddOptions")],
        (1, 4, 4, 4),
    )
    assert recovered(file.content(z)).inputs[0].shape[0] is None


def test_mean_added_to_as_many_examples_as_there_are_features():
    file = file_builders.File()
    x = file.input((1, 4), shapeSignature=[-1, 4])
    axis = file.const(np.int32([1]))
    mean = file.op("MEAN", [x, axis], (1, 1), options="ReducerOptions", keepDims=True)
    model = recovered(file.content(file.op("ADD", [x, mean], (1, 4), options="AddOptions")))
    given = np.random.default_rng(3).normal(size=(4, 4)).astype("float32")
    np.testing.assert_allclose(model(given), given + given.mean(-1, keepdims=True), rtol=0, atol=1e-6)


def test_a_sum_that_is_written_as_a_difference_ports_back():
    nodes = keras.Input((6, 5))
    one, other = (keras.layers.Dense(1)(nodes) for _ in range(2))
    scores = one + keras.ops.transpose(other, (0, 2, 1))
    content = keras_models.convert(keras_models.randomize(keras.Model(nodes, keras.layers.Dense(3)(scores)), 1))
    model = recovered(content)
    assert tflrecover.port(content, model).ok
