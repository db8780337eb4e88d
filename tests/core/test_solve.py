"""Restoring: whatever the settings of a batch norm, solving its expression gives the file's numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tflrecover.ops.elementwise import ADD, DIV, MUL, NEG, RSQRT, SUB
from tflrecover.ops.layout import invert, rearrange
from tflrecover.ops.quantize import Ends
from tflrecover.transfer.solve import Slack, Solver, Unsolvable, deviates
from tflrecover.weight import Leaf, Literal, evaluate

CHANNELS = 4
ROUNDINGS = Slack(peak=1e-6)


def leaf(name, *shape):
    return Leaf(shape or (CHANNELS,), "float32", name, name)


def numbers(seed, *shape, low=-2.0, high=2.0):
    return np.random.default_rng(seed).uniform(low, high, shape or (CHANNELS,)).astype("float32")


@given(
    epsilon=st.floats(1e-12, 0.5),
    has_gamma=st.booleans(),
    has_beta=st.booleans(),
    has_bias=st.booleans(),
    seed=st.integers(0, 999),
)
@settings(max_examples=60, deadline=None)
def test_convolution_then_batch_norm(epsilon, has_gamma, has_beta, has_bias, seed):
    scale = RSQRT(ADD(leaf("variance"), Literal.of(np.float32(epsilon))))
    if has_gamma:
        scale = MUL(scale, leaf("gamma"))
    offset = SUB(leaf("beta"), MUL(leaf("mean"), scale)) if has_beta else NEG(MUL(leaf("mean"), scale))
    kernel = MUL(leaf("kernel", 3, 3, 2, CHANNELS), scale)
    bias = ADD(MUL(leaf("bias"), scale), offset) if has_bias else offset
    solver = Solver({})
    wanted = numbers(seed, 3, 3, 2, CHANNELS), numbers(seed + 1)
    for expression, target in zip((kernel, bias), wanted, strict=True):
        solver.solve(expression, target)
    assert np.array_equal(evaluate(kernel, solver.known), wanted[0])
    assert np.array_equal(evaluate(bias, solver.known), wanted[1])


def test_scale_without_gamma_goes_to_the_variance():
    expression = RSQRT(ADD(leaf("variance"), Literal.of(np.float32(1e-3))))
    solver = Solver({})
    target = numbers(1, low=0.5, high=1.5)
    solver.solve(expression, target)
    assert not deviates(evaluate(expression, solver.known), target, ROUNDINGS)


def test_negative_scale_without_gamma_is_seen():
    expression = RSQRT(ADD(leaf("variance"), Literal.of(np.float32(1e-3))))
    solver = Solver({})
    solver.solve(expression, -numbers(1, low=0.5, high=1.5))
    assert deviates(evaluate(expression, solver.known), -numbers(1, low=0.5, high=1.5), ROUNDINGS) > 1


def test_shared_kernel_with_a_batch_norm_per_use():
    kernel = leaf("kernel", 1, 1, 3, CHANNELS)
    first, second = MUL(kernel, leaf("gamma_1")), MUL(kernel, leaf("gamma_2"))
    base, ratio = numbers(1, 1, 1, 3, CHANNELS), numbers(2, low=0.5, high=1.5)
    solver = Solver({})
    solver.solve(first, base)
    solver.solve(second, base * ratio)
    assert (solver.known["gamma_1"] == 1).all()
    assert not deviates(evaluate(second, solver.known), base * ratio, ROUNDINGS)


def test_shared_kernel_with_unrelated_uses_is_seen():
    kernel = leaf("kernel", 1, 1, 3, CHANNELS)
    solver = Solver({})
    solver.solve(MUL(kernel, leaf("gamma_1")), numbers(1, 1, 1, 3, CHANNELS))
    second, other = MUL(kernel, leaf("gamma_2")), numbers(5, 1, 1, 3, CHANNELS)
    solver.solve(second, other)
    assert deviates(evaluate(second, solver.known), other, ROUNDINGS) > 1e-2


def test_constant_is_divided_out():
    expression = DIV(leaf("kernel"), Literal.of(np.float32(255)))
    solver = Solver({})
    solver.solve(expression, numbers(1))
    assert np.allclose(solver.known["kernel"], numbers(1) * 255)


def test_wrong_shape_is_refused():
    with pytest.raises(Unsolvable, match="shape"):
        Solver({}).solve(leaf("kernel", 3), np.zeros(4, "float32"))


@given(st.permutations("abcd"))
def test_layouts_go_back(order):
    pattern = f"a b c d -> {' '.join(order)}"
    array = numbers(0, 2, 3, 4, 5)
    weight = rearrange(Leaf(array.shape, "float32", "w"), pattern)
    solver = Solver({})
    solver.solve(weight, evaluate(weight, {"w": array}))
    assert np.array_equal(solver.known["w"], array)
    assert invert(invert(pattern)) == pattern


@pytest.mark.parametrize("number", [1e9, 3.0, 0.25, -0.125, 0.0])
def test_a_large_number_hides_no_other(number):
    wanted = np.array([1e9, 3.0, 0.25, -0.125, 0.0], "float32")
    got = np.where(wanted == np.float32(number), wanted * np.float32(1.01) + np.float32(1e-3), wanted)
    slack = Slack(relative=1e-6, absolute=1e-6)
    assert not deviates(wanted, wanted, slack)
    assert deviates(got, wanted, slack)


def test_integers_are_exact():
    assert deviates(np.int32(10000001), np.int32(10000003), Slack(relative=1e-3))
    assert not deviates(np.int32(7), np.int64(7), Slack())


def test_imaginary_parts_are_compared():
    wanted = np.complex64([3, 4j])
    assert deviates(np.complex64([3, 4.1j]), wanted, Slack(relative=1e-3))
    assert not deviates(np.complex64([3, 4.001j]), wanted, Slack(relative=1e-3))


def test_clipped_numbers():
    slack = Slack(relative=1e-6, ends=Ends(-2.0, 2.0, -2e3, 2e3))
    assert not deviates(np.float32([-1e9, 1.0]), np.float32([-2.0, 1.0]), slack)
    assert deviates(np.float32([1e9, 1.0]), np.float32([-2.0, 1.0]), slack)
    assert deviates(np.float32([3.0, 1.0]), np.float32([2.0, 1.0]), slack)


def test_pruned_channel_has_any_factor():
    expression = MUL(leaf("mean"), leaf("scale"))
    solver = Solver({"scale": np.float32([0, 2, 3, 4])})
    solver.solve(expression, np.float32([0, 2, 3, 4]))
    assert np.array_equal(solver.known["mean"], [0, 1, 1, 1])
