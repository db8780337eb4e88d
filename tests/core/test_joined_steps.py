"""Rules for what frameworks join in the steps of a recurrent layer, by text before and after."""

import numpy as np
import pytest

from tests.core.test_rewrite import Build, kernel
from tflrecover.rewrite import canonicalize
from tflrecover.rewrite.parts import project_parts, slice_sums
from tflrecover.rewrite.steps import lift_lone_biases


def written(b, output, *rules):
    graph = canonicalize(b.draft(output), rules).freeze()
    return " ".join(str(op.type) for op in graph.ops()), graph


@pytest.mark.parametrize("is_asked_for", [False, True])
def test_a_product_of_what_is_joined_is_one_of_each_part(is_asked_for):
    b = Build((1, 3))
    h = b("TANH", 0, shape=(1, 3))
    joined = b("CONCATENATION", 0, h, shape=(1, 6), axis=1)
    y = b("FULLY_CONNECTED", joined, b.const(kernel(4, 6)), b.const(kernel(4)), shape=(1, 4))
    text, _ = written(b, y, *([project_parts] if is_asked_for else []))
    wanted = "TANH FULLY_CONNECTED FULLY_CONNECTED ADD AFFINE" if is_asked_for else "TANH CONCATENATION FULLY_CONNECTED"
    assert sorted(text.split()) == sorted(wanted.split())


@pytest.mark.parametrize(("around", "is_left_out"), [((0, 2), True), ((2, 0), False), ((1, 1), False)])
def test_zeros_behind_what_is_multiplied_need_no_rows(around, is_left_out):
    """Of a state that begins with zeros; in front of it, the rows are others."""
    b = Build((1, 3))
    p = b("PAD", 0, b.const(np.array([(0, 0), around], "int32")), shape=(1, 5))
    y = b("FULLY_CONNECTED", p, b.const(kernel(4, 5)), b.const(kernel(4)), shape=(1, 4))
    text, graph = written(b, y, project_parts)
    assert text == ("FULLY_CONNECTED" if is_left_out else "PAD FULLY_CONNECTED")
    (dense,) = (op for op in graph.ops() if op.type == "FULLY_CONNECTED")
    assert graph.values[dense.inputs[1]].shape == ((3 if is_left_out else 5), 4)


def test_parts_are_taken_before_sums_and_activations():
    b = Build((1, 3))
    x, h = (b("FULLY_CONNECTED", 0, b.const(kernel(4, 3) + i), b.const(kernel(4)), shape=(1, 4)) for i in range(2))
    y = b("LOGISTIC", b("ADD", x, h, shape=(1, 4)), shape=(1, 4))
    begin, end, strides = (b.const(np.array(numbers, "int32")) for numbers in ((0, 1), (1, 3), (1, 1)))
    part = b("STRIDED_SLICE", y, begin, end, strides, shape=(1, 2))
    text, _ = written(b, part, slice_sums)
    assert text == "FULLY_CONNECTED FULLY_CONNECTED STRIDED_SLICE STRIDED_SLICE ADD LOGISTIC"


@pytest.mark.parametrize(("biases", "is_lifted"), [((1, 0), True), ((0, 1), True), ((1, 1), False)])
def test_the_bias_of_one_of_two_products_comes_behind_their_sum(biases, is_lifted):
    """Two biases are two variables: a sum would not tell them apart."""
    b = Build((1, 3))
    x, h = (
        b("FULLY_CONNECTED", 0, b.const(kernel(4, 3) + i), b.const(kernel(4)) if has else None, shape=(1, 4))
        for i, has in enumerate(biases)
    )
    text, _ = written(b, b("ADD", x, h, shape=(1, 4)), lift_lone_biases)
    assert text.split().count("AFFINE") == is_lifted


def test_an_axis_of_size_one_goes_between_a_product_and_the_sum():
    b = Build((1, 1, 3))
    x = b("FULLY_CONNECTED", 0, b.const(kernel(4, 3)), b.const(kernel(4)), shape=(1, 1, 4))
    h = b("FULLY_CONNECTED", 0, b.const(kernel(4, 3) + 1), None, shape=(1, 4))
    total = b("ADD", b("RESHAPE", x, shape=(1, 4)), h, shape=(1, 4))
    text, _ = written(b, total, lift_lone_biases)
    assert text.split().count("AFFINE") == 1
