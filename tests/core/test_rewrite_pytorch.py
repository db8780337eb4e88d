"""Rules for what PyTorch's converter and old code of TensorFlow write, by text before and after."""

import numpy as np
import pytest

from tests.core.test_rewrite import Build
from tflrecover.weight import evaluate


@pytest.mark.parametrize(
    ("activation", "amount", "value", "wanted"),
    [
        ("RELU", 1, -np.inf, 0.0),
        ("LOGISTIC", 1, -3.0, 0.0),
        ("RELU", 1, 3.0, 3.0),
        ("TANH", 1, -np.inf, -np.inf),
        # A window of padding alone has nothing else to take.
        ("RELU", 2, -np.inf, -np.inf),
    ],
)
def test_padding_that_a_pool_never_takes_is_zeros(activation, amount, value, wanted):
    b = Build((1, 4, 4, 2))
    y, size = b(activation, 0, shape=(1, 4, 4, 2)), 4 + amount
    around = np.array([[0, 0], [amount, 0], [0, amount], [0, 0]])
    p = b("PADV2", y, b.const(around), b.const(np.float32(value)), shape=(1, size, size, 2))
    window = {"padding": "VALID", "stride_h": 1, "stride_w": 1, "filter_height": 2, "filter_width": 2}
    y = b("MAX_POOL_2D", p, shape=(1, size - 1, size - 1, 2), **window)
    text, graph = b.text(y)
    assert text == f"{activation} PAD MAX_POOL_2D"
    assert [op.attributes["value"] for op in graph.ops() if op.type == "PAD"] == [wanted]


@pytest.mark.parametrize(
    ("axes", "keepdims", "shape", "wanted"),
    [
        ([0, 2], False, (5,), ("MEAN RESHAPE", (2,))),
        ([0, 2], True, (1, 5, 1), ("MEAN", (2,))),
        ([0], False, (5, 3), ("MEAN", (0,))),
        ([1, 2], False, (1,), ("MEAN", (1, 2))),
    ],
)
def test_reduction_leaves_out_axes_of_size_one_beside_others(axes, keepdims, shape, wanted):
    b = Build((1, 5, 3))
    y = b("MEAN", 0, b.const(np.array(axes, "int32")), shape=shape, keep_dims=keepdims)
    text, graph = b.text(b("TANH", y, shape=shape))
    assert (text.removesuffix(" TANH").replace(" TANH", ""), next(graph.ops()).attributes["axis"]) == wanted


@pytest.mark.parametrize(("joined", "is_negated"), [("ADD", True), ("SUB", False)])
def test_prelu_of_one_slope_per_channel(joined, is_negated):
    """MTCNN's code adds ``slope * -relu(-x)``."""
    b = Build((1, 4, 4, 3))
    slope = np.array([0.1, 0.2, 0.3], "float32")
    shape = (1, 4, 4, 3)
    y = b("RELU", b("NEG", 0, shape=shape), shape=shape)
    y = b("MUL", b.const(slope), b("NEG", y, shape=shape) if is_negated else y, shape=shape)
    text, graph = b.text(b(joined, b("RELU", 0, shape=shape), y, shape=shape))
    assert text == "PRELU"
    (op,) = graph.ops()
    alpha = graph.values[op.inputs[1]].weight
    assert alpha.shape == (1, 1, 3)
    assert np.array_equal(evaluate(alpha, {leaf.key: slope for leaf in alpha.leaves}).ravel(), slope)
