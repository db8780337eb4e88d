"""Rules about products, scores and broadcasting, by text before and after."""

import numpy as np
import pytest

from tests.core.test_rewrite import Build, kernel
from tflrecover import ops
from tflrecover.ir import Graph
from tflrecover.ops import tflite_reader
from tflrecover.rewrite import canonicalize
from tflrecover.rewrite.contents import Contents
from tflrecover.rewrite.fold import fold_products
from tflrecover.rewrite.indices import drop_repeats
from tflrecover.rewrite.lower import lower
from tflrecover.rewrite.outer import join_outer_products
from tflrecover.rewrite.scalars import scale_operands
from tflrecover.rewrite.sums import merge_sums
from tflrecover.weight import evaluate


def scores(scale_behind):
    """A projection, its scores against another activation, and a factor before or behind the product."""
    b = Build((3, 6, 4), (3, 5, 4))
    q = b("FULLY_CONNECTED", 0, b.const(kernel(4, 4)), b.const(kernel(4)), shape=(3, 6, 4), keep_num_dims=True)
    half = b.const(np.float32(0.5))
    q = q if scale_behind else b("MUL", q, half, shape=(3, 6, 4))
    y = b("BATCH_MATMUL", q, 1, shape=(3, 6, 5), adj_x=False, adj_y=True)
    return b, b("SOFTMAX", b("MUL", y, half, shape=(3, 6, 5)) if scale_behind else y, shape=(3, 6, 5), beta=1.0)


def scaled(b, y):
    graph = Graph.build(b.ops, b.values, b.inputs, (y,))
    draft = canonicalize(lower(graph, tflite_reader, Contents(graph)), [scale_operands])
    return " ".join(op.type for op in draft.freeze().ops())


def test_factor_behind_a_product_stays_unless_asked_for():
    b, y = scores(scale_behind=True)
    assert b.text(y)[0] == "FULLY_CONNECTED EINSUM AFFINE SOFTMAX"
    assert scaled(b, y) == "FULLY_CONNECTED EINSUM SOFTMAX" == scaled(*scores(scale_behind=False))


def test_factor_stays_where_no_projection_can_take_it():
    b = Build((3, 6, 4), (3, 5, 4))
    y = b("BATCH_MATMUL", 0, 1, shape=(3, 6, 5), adj_x=False, adj_y=True)
    assert scaled(b, b("MUL", y, b.const(np.float32(0.5)), shape=(3, 6, 5))) == "EINSUM AFFINE"


def test_merged_axes_of_a_product_are_axes_of_their_own():
    b = Build((2, 3, 4, 5), (2, 6, 5))
    x = b("RESHAPE", 0, b.const(np.array([2, 12, 5])), shape=(2, 12, 5))
    y = b("BATCH_MATMUL", x, 1, shape=(2, 12, 6), adj_x=False, adj_y=True)
    text, graph = b.text(b("RESHAPE", y, b.const(np.array([2, 3, 4, 6])), shape=(2, 3, 4, 6)))
    assert text == "EINSUM"
    assert next(graph.ops()).attributes["equation"] == "abc,adec->adeb"


def test_axes_that_are_split_otherwise_stay_merged():
    b = Build((2, 3, 4, 5), (2, 6, 5))
    x = b("RESHAPE", 0, b.const(np.array([2, 12, 5])), shape=(2, 12, 5))
    y = b("BATCH_MATMUL", x, 1, shape=(2, 12, 6), adj_x=False, adj_y=True)
    assert b.text(b("RESHAPE", y, b.const(np.array([2, 4, 3, 6])), shape=(2, 4, 3, 6)))[0] == "RESHAPE EINSUM RESHAPE"


def test_product_of_two_activations_as_a_dense_layer():
    b = Build((6, 4), (5, 4))
    text, graph = b.text(b("FULLY_CONNECTED", 0, 1, None, shape=(6, 5)))
    assert text == "EINSUM"
    assert next(graph.ops()).attributes["equation"] == "ab,cb->ac"


def test_division_by_a_root():
    b = Build((2, 4), (2, 1))
    y = b("DIV", 0, b("SQRT", 1, shape=(2, 1)), shape=(2, 4))
    assert b.text(y)[0] == "RSQRT MUL"
    assert b.text(b("DIV", b.const(np.float32(1)), b("SQRT", 1, shape=(2, 1)), shape=(2, 1)))[0] == "RSQRT"


def test_slices_are_written_in_one_way():
    """Whole axes behind the last one that is cut are not named, by either operator; one that cuts nothing is none."""
    b = Build((6, 4, 3))
    first = b("SLICE", 0, b.const(np.array([2, 0, 0])), b.const(np.array([-1, 4, 3])), shape=(4, 4, 3))
    assert next(b.text(first)[1].ops()).attributes["slices"] == ((2, None, 1),)
    whole = b("SLICE", 0, b.const(np.array([0, 0, 0])), b.const(np.array([6, -1, 3])), shape=(6, 4, 3))
    assert b.text(b("ABS", whole, shape=(6, 4, 3)))[0] == "ABS"


def test_true_changes_nothing():
    b = Build((2, 4), (2, 4))
    y = b("GREATER", 0, 1, shape=(2, 4))
    assert b.text(b("LOGICAL_AND", y, b.const(np.ones((2, 4), bool)), shape=(2, 4)))[0] == "GREATER"
    assert b.text(b("LOGICAL_AND", y, b.const(np.eye(2, 4, dtype=bool)), shape=(2, 4)))[0] == "GREATER LOGICAL_AND"


@pytest.mark.parametrize("is_before", [True, False])
def test_axes_in_front_come_behind_a_comparison(is_before):
    """A converter leaves the axes that a RESHAPE would make to the constant."""
    b = Build((5, 4))
    x = b("RESHAPE", 0, b.const(np.array([1, 5, 4])), shape=(1, 5, 4)) if is_before else 0
    limit = b.const(np.float32(0)) if is_before else b.const(np.zeros((1, 5, 4), np.float32))
    assert b.text(b("GREATER", x, limit, shape=(1, 5, 4)))[0] == "GREATER RESHAPE"


def test_one_reshape_behind_a_sum_of_two():
    b = Build((3, 8), (3, 8))
    x, y = (b("RESHAPE", i, b.const(np.array([3, 2, 4])), shape=(3, 2, 4)) for i in (0, 1))
    assert b.text(b("ADD", x, y, shape=(3, 2, 4)))[0] == "ADD RESHAPE"


@pytest.mark.parametrize("axis", [1, 2])
def test_gather_with_batch_axes(axis):
    rng = np.random.default_rng(3)
    params, indices = rng.normal(size=(2, 3, 5)), rng.integers(0, 3, (2, 4))
    spec = ops.by_name("GATHER")
    attributes = {"axis": axis, "batch_dims": 1}
    wanted = np.stack([np.take(p, i, axis - 1) for p, i in zip(params, indices, strict=True)])
    assert np.array_equal(spec.compute([params, indices], attributes), wanted)
    assert spec.infer_shape([params.shape, indices.shape], attributes) == wanted.shape


def with_rules(b, y, *rules):
    graph = Graph.build(b.ops, b.values, b.inputs, (y,))
    return canonicalize(lower(graph, tflite_reader, Contents(graph)), rules).freeze()


def test_outer_product_is_a_dense_layer_if_asked_for():
    b = Build((3, 4, 1))
    y = b("TANH", b("MUL", 0, b.const(kernel(5)), shape=(3, 4, 5)), shape=(3, 4, 5))
    assert b.text(y)[0] == "MUL TANH"
    graph = with_rules(b, y, join_outer_products)
    dense = next(op for op in graph.ops() if op.type == "FULLY_CONNECTED")
    assert np.array_equal(evaluate(graph.values[dense.inputs[1]].weight, Contents(graph_of(b, y))), kernel(1, 5))


@pytest.mark.parametrize(("x", "w"), [((3, 4, 5), (5,)), ((3, 1), (1,)), ((3, 4, 1), (4, 5)), ((3, 5), (1, 1))])
def test_other_products_are_none(x, w):
    b = Build(x)
    y = b("TANH", b("MUL", 0, b.const(kernel(*w)), shape=np.broadcast_shapes(x, w)), shape=np.broadcast_shapes(x, w))
    assert "FULLY_CONNECTED" not in [op.type for op in with_rules(b, y, join_outer_products).ops()]


def graph_of(b, y):
    return Graph.build(b.ops, b.values, b.inputs, (y,))


def test_product_of_two_constants_is_a_constant_if_asked_for():
    b = Build((1, 6, 3))
    x, w, bias = kernel(6, 4), kernel(3, 4) + 1, kernel(3) - 1
    made = b("FULLY_CONNECTED", b.const(x), b.const(w), b.const(bias), shape=(6, 3))
    y = b("ADD", 0, b("TANH", made, shape=(6, 3)), shape=(1, 6, 3))
    assert b.text(y)[0].startswith("FULLY_CONNECTED")
    graph = with_rules(b, y, fold_products)
    (op,) = [op for op in graph.ops() if op.type == "ADD"]
    (weight,) = [weight for value in op.inputs if (weight := graph.values[value].weight) is not None]
    assert np.allclose(evaluate(weight, Contents(graph_of(b, y))), np.tanh(x @ w.T + bias), atol=1e-6)


def test_product_of_two_constants_of_the_code_is_a_constant():
    b = Build((1, 6, 3))
    x, w = (b("FILL", b.const(np.array(shape)), b.const(np.float32(2)), shape=shape) for shape in ((6, 4), (4, 3)))
    made = b("BATCH_MATMUL", x, w, shape=(6, 3), adj_x=False, adj_y=False)
    assert b.text(b("MUL", 0, b("SIN", made, shape=(6, 3)), shape=(1, 6, 3)))[0] in ("MUL", "AFFINE", "MUL RESHAPE")


def test_two_constants_are_added_as_one_if_asked_for():
    b = Build((2, 6, 3))
    first, second = kernel(6, 3), kernel(6, 3) ** 2
    y = b("ADD", b("ADD", 0, b.const(first), shape=(2, 6, 3)), b.const(second), shape=(2, 6, 3))
    graph = with_rules(b, y, merge_sums)
    (op,) = [op for op in graph.ops() if op.type == "ADD"]
    (weight,) = [weight for value in op.inputs if (weight := graph.values[value].weight) is not None]
    assert np.allclose(evaluate(weight, Contents(graph_of(b, y))), first + second)


def test_axes_that_merge_before_a_transpose_are_axes_of_their_own():
    b = Build((2, 6, 4, 5), (2, 3, 4, 5))
    x, y = (b("RESHAPE", i, b.const(np.array([2, n, 20])), shape=(2, n, 20)) for i, n in enumerate((6, 3)))
    turned = b("TRANSPOSE", y, b.const(np.array([0, 2, 1])), shape=(2, 20, 3))
    text, graph = b.text(b("BATCH_MATMUL", x, turned, shape=(2, 6, 3), adj_x=False, adj_y=False))
    assert text == "EINSUM"
    assert next(graph.ops()).attributes["equation"] == "abcd,aecd->abe"


def test_softmax_of_what_the_largest_was_subtracted_from():
    b = Build((2, 6, 5))

    def shifted(axis):
        largest = b(
            "REDUCE_MAX", 0, b.const(np.array([axis])), shape=(2, 6, 1) if axis == 2 else (2, 1, 5), keep_dims=True
        )
        return b("SOFTMAX", b("SUB", 0, largest, shape=(2, 6, 5)), shape=(2, 6, 5), beta=1.0)

    assert b.text(shifted(2))[0] == "SOFTMAX"
    assert b.text(shifted(1))[0] == "REDUCE_MAX SUB SOFTMAX"


@pytest.mark.parametrize("is_folded", [False, True])
def test_rows_that_are_the_same_for_each_example_are_there_once_if_asked_for(is_folded):
    b = Build((2, 3, 4))
    table, places = kernel(5, 4), np.int32([[0, 2, 1]] * 2)
    looked_up = b("GATHER", b.const(table), b.const(places), shape=(2, 3, 4), axis=0)
    y = b("ADD", 0, b.const(table[places]) if is_folded else looked_up, shape=(2, 3, 4))
    assert b.text(y)[0] == "ADD"
    (op,) = with_rules(b, y, drop_repeats).ops()
    weight = with_rules(b, y, drop_repeats).values[op.inputs[1]].weight
    assert np.array_equal(evaluate(weight, Contents(graph_of(b, y))), table[places[0]])


def test_rows_of_one_example_alone_stay():
    b = Build((2, 3, 4))
    y = b("ADD", 0, b.const(kernel(2, 3, 4)), shape=(2, 3, 4))
    graph = with_rules(b, y, drop_repeats)
    assert graph.values[next(graph.ops()).inputs[1]].shape == (2, 3, 4)
