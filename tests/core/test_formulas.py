"""More rules, by text before and after: formulas, dilation, and what moves through a reshape."""

import numpy as np
import pytest

from tests.core.test_rewrite import SAME, VALID, Build, kernel


def scalar(b, number):
    return b.const(np.float32(number))


def test_hard_swish_is_read_from_its_formula():
    b = Build((1, 4))
    clamp = b("RELU6", b("ADD", 0, scalar(b, 3), shape=(1, 4)), shape=(1, 4))
    y = b("MUL", 0, b("MUL", clamp, scalar(b, 1 / 6), shape=(1, 4)), shape=(1, 4))
    assert b.text(y)[0] == "HARD_SWISH"


def test_hard_swish_in_a_product_and_beside_it_stays_whole():
    b = Build((1, 4))
    clamp = b("RELU6", b("ADD", 0, scalar(b, 3), shape=(1, 4)), shape=(1, 4))
    swish = b("MUL", 0, b("MUL", clamp, scalar(b, 1 / 6), shape=(1, 4)), shape=(1, 4))
    gate = b("MUL", b("RELU6", b("EXP", swish, shape=(1, 4)), shape=(1, 4)), scalar(b, 1 / 6), shape=(1, 4))
    text, _ = b.text(b("MUL", swish, gate, shape=(1, 4)))
    assert text.count("HARD_SWISH") == 1
    assert text.count("RELU6") == 1


def test_other_numbers_are_no_hard_swish():
    b = Build((1, 4))
    clamp = b("RELU6", b("ADD", 0, scalar(b, 2), shape=(1, 4)), shape=(1, 4))
    y = b("MUL", 0, b("MUL", clamp, scalar(b, 1 / 6), shape=(1, 4)), shape=(1, 4))
    assert "HARD_SWISH" not in b.text(y)[0]


@pytest.mark.parametrize("swapped", [False, True])
def test_softsign_is_read_from_its_formula(swapped):
    b = Build((1, 4))
    operands = (b("ABS", 0, shape=(1, 4)), scalar(b, 1))
    below = b("ADD", *(operands[::-1] if swapped else operands), shape=(1, 4))
    assert b.text(b("DIV", 0, below, shape=(1, 4)))[0] == "SOFTSIGN"


def test_dilation_comes_out_of_the_batch():
    b = Build((1, 9, 9, 2))
    block = b.const(np.array([2, 2]))
    x = b("SPACE_TO_BATCH_ND", 0, block, b.const(np.array([[2, 3], [2, 3]])), shape=(4, 7, 7, 2))
    x = b("CONV_2D", x, b.const(kernel(3, 3, 3, 2)), b.const(kernel(3)), shape=(4, 5, 5, 3), **VALID)
    y = b("BATCH_TO_SPACE_ND", x, block, b.const(np.array([[0, 1], [0, 1]])), shape=(1, 9, 9, 3))
    text, graph = b.text(y)
    assert text == "CONV_2D"
    attributes = next(graph.ops()).attributes
    assert (attributes["dilation_rate"], attributes["padding"]) == ((2, 2), "same")


def test_bias_meets_its_convolution_through_a_reshape():
    b = Build((1, 1, 4, 2))
    x = b("CONV_2D", 0, b.const(kernel(3, 1, 1, 2)), None, shape=(1, 1, 4, 3), **SAME)
    x = b("RESHAPE", x, b.const(np.array([1, 4, 3])), shape=(1, 4, 3))
    x = b("ADD", x, b.const(kernel(3)), shape=(1, 4, 3))
    assert b.text(b("RELU", x, shape=(1, 4, 3)))[0] == "CONV_2D RELU RESHAPE"


def test_bias_of_heads_meets_its_projection():
    b = Build((1, 6, 8))
    x = b("FULLY_CONNECTED", 0, b.const(kernel(8, 8)), None, shape=(1, 6, 8), keep_num_dims=True)
    x = b("RESHAPE", x, b.const(np.array([1, 6, 2, 4])), shape=(1, 6, 2, 4))
    assert b.text(b("ADD", x, b.const(kernel(2, 4)), shape=(1, 6, 2, 4)))[0] == "FULLY_CONNECTED RESHAPE"


def test_transposes_go_into_the_product():
    b = Build((3, 6, 2, 4), (3, 5, 2, 4))
    q = b("TRANSPOSE", 0, b.const(np.array([0, 2, 1, 3])), shape=(3, 2, 6, 4))
    k = b("TRANSPOSE", 1, b.const(np.array([0, 2, 3, 1])), shape=(3, 2, 4, 5))
    y = b("BATCH_MATMUL", q, k, shape=(3, 2, 6, 5), adj_x=False, adj_y=False)
    text, graph = b.text(y)
    assert text == "EINSUM"
    assert next(graph.ops()).attributes["equation"] == "abcd,aecd->acbe"


def test_axes_of_size_1_are_no_axes_of_a_product():
    """A transpose of one head is a reshape in a file: which axis was which is lost, and nothing depends on it."""
    b = Build((1, 6, 1, 4), (1, 1, 5, 4))
    q = b("RESHAPE", 0, b.const(np.array([1, 1, 6, 4])), shape=(1, 1, 6, 4))
    y = b("BATCH_MATMUL", q, 1, shape=(1, 1, 6, 5), adj_x=False, adj_y=True)
    text, graph = b.text(y)
    assert text == "RESHAPE RESHAPE EINSUM RESHAPE"
    product = next(op for op in graph.ops() if op.type == "EINSUM")
    assert product.attributes["equation"] == "ab,cb->ac"


def test_clamps_in_a_row_are_one():
    b = Build((1, 4))
    assert b.text(b("RELU6", b("RELU", 0, shape=(1, 4)), shape=(1, 4)))[0] == "RELU6"


def test_scalings_in_a_row_are_one_in_any_order_of_the_file():
    b = Build((1, 4))
    x = b("MUL", 0, b.const(kernel(4)), shape=(1, 4))
    x = b("SUB", x, b.const(kernel(4)), shape=(1, 4))
    assert b.text(b("DIV", x, b.const(kernel(4)), shape=(1, 4)))[0] == "AFFINE"
