"""Tables behind a norm: what is found for a target gives the target, and nothing is found where nothing can."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tflrecover.ops import by_name
from tflrecover.ops.elementwise import ADD, MUL, RSQRT, SUB
from tflrecover.ops.shape import RESHAPE
from tflrecover.transfer.norms import unnormalized
from tflrecover.transfer.solve import Slack, deviates
from tflrecover.weight import Leaf, Literal, evaluate

COLUMNS = 6
MEAN, SQUARE = by_name("MEAN"), by_name("SQUARE")
ROUNDINGS = Slack(peak=1e-5)


def leaf(name, *shape):
    return Leaf(shape, "float32", name, name)


def mean(x):
    return MEAN(x, axis=(len(x.shape) - 1,), keepdims=True)


def norm(rows, epsilon, *, centered=True, gamma=True, beta=True, apart=False):
    """A norm as Keras writes it, or with its mean subtracted last (``apart``)."""
    x = RESHAPE(leaf("table", rows, COLUMNS), shape=(1, rows, COLUMNS), target_shape=(1, rows, COLUMNS))
    middle = SUB(x, mean(x)) if centered else x
    scale = RSQRT(ADD(mean(SQUARE(middle)), Literal.of(np.float32(epsilon))))
    if gamma:
        scale = MUL(scale, leaf("gamma", COLUMNS))
    if apart:
        return ADD(MUL(x, scale), SUB(leaf("beta", COLUMNS), MUL(mean(x), scale)))
    y = MUL(middle, scale)
    return ADD(y, leaf("beta", COLUMNS)) if beta else y


def numbers(seed, *shape, low=-1.0, high=1.0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype("float32")


def values(seed, rows):
    """Of a table with rows of any size, and a factor and an offset of any sign."""
    sizes = 10.0 ** numbers(seed + 3, rows, 1, low=-3)
    signs = np.sign(numbers(seed + 4, COLUMNS))
    return {
        "table": numbers(seed, rows, COLUMNS) * sizes.astype("float32"),
        "gamma": numbers(seed + 1, COLUMNS, low=0.3) * signs,
        "beta": numbers(seed + 2, COLUMNS),
    }


@given(
    rows=st.integers(1, 3 * COLUMNS),
    epsilon=st.sampled_from([1e-7, 1e-5, 1e-3]),
    form=st.sampled_from(
        [{}, {"apart": True}, {"beta": False}, {"centered": False}, {"centered": False, "beta": False}]
    ),
    seed=st.integers(0, 999),
)
@settings(max_examples=80, deadline=None)
def test_what_a_norm_gave_is_given_again(rows, epsilon, form, seed):
    expression, known = norm(rows, epsilon, **form), values(seed, rows)
    target = evaluate(expression, known)
    found = unnormalized(expression, target, known.keys())
    assert found is not None
    assert {key: value.shape for key, value in found.items()} == {one.key: one.shape for one in expression.leaves}
    assert not deviates(evaluate(expression, found), target, ROUNDINGS)


@pytest.mark.parametrize("form", [{}, {"apart": True}])
def test_rows_without_a_relation_are_none_of_a_layer_norm(form):
    expression = norm(3 * COLUMNS, 1e-5, **form)
    target = numbers(0, 1, 3 * COLUMNS, COLUMNS)
    assert unnormalized(expression, target, {"table", "gamma", "beta"}) is None


def test_any_rows_are_those_of_a_root_mean_square():
    expression = norm(3 * COLUMNS, 1e-5, centered=False, beta=False)
    target = 100 * numbers(0, 1, 3 * COLUMNS, COLUMNS)
    found = unnormalized(expression, target, {"table", "gamma"})
    assert not deviates(evaluate(expression, found), target, ROUNDINGS)


def test_long_rows_are_none_of_a_norm_without_a_factor():
    expression = norm(4, 1e-5, centered=False, gamma=False, beta=False)
    assert unnormalized(expression, 2 + numbers(0, 1, 4, COLUMNS), {"table"}) is None


@pytest.mark.parametrize("known", ["table", "gamma", "beta"])
def test_what_is_known_is_not_chosen(known):
    expression = norm(4, 1e-5)
    target = evaluate(expression, values(0, 4))
    assert unnormalized(expression, target, {"table", "gamma", "beta"} - {known}) is None


@pytest.mark.parametrize(
    "other",
    [
        MUL(leaf("table", 4, COLUMNS), RSQRT(ADD(leaf("gamma", COLUMNS), leaf("beta", COLUMNS)))),
        ADD(MUL(leaf("table", 4, COLUMNS), leaf("gamma", COLUMNS)), leaf("beta", COLUMNS)),
        MUL(norm(4, 1e-5), leaf("gamma", COLUMNS)),
        MUL(SQUARE(leaf("table", 4, COLUMNS)), leaf("gamma", COLUMNS)),
    ],
    ids=["root_of_vectors", "scaling", "two_factors", "square"],
)
def test_other_expressions_are_no_norm(other):
    assert unnormalized(other, numbers(0, *other.shape), {"table", "gamma", "beta"}) is None
