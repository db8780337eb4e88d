"""What Keras has a function for is that function, and none of TensorFlow's through a layer of our own."""

import keras
import numpy as np
import pytest
import recurrent_models as recurrent
from keras import layers as L
from keras import ops

import tflrecover
from tests.recovery.recovering import kinds, recovered
from tests.recovery.round_trip import assert_exact


class Called(keras.layers.Layer):
    """A function of TensorFlow, as code for TFLite calls it."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


def one_hot(x):
    import tensorflow as tf

    return L.Dense(3)(Called(lambda i: tf.one_hot(i, 7))(x))


def depth_to_space(x):
    import tensorflow as tf

    return Called(lambda y: tf.nn.depth_to_space(y, 2))(L.Conv2D(8, 3)(x))


NETWORKS = {
    "OneHot": (one_hot, (6,), "int32"),
    "DepthToSpace": (depth_to_space, (6, 6, 2), "float32"),
    "Cumsum": (lambda x: ops.cumsum(L.Dense(3)(x), axis=1), (5, 4), "float32"),
    "Negative": (lambda x: -L.Dense(3)(x) * x, (5, 3), "float32"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_is_a_function_of_keras(name):
    function, shape, dtype = NETWORKS[name]
    inputs = keras.Input(shape, batch_size=1, dtype=dtype)
    content = recurrent.convert(recurrent.randomize(keras.Model(inputs, function(inputs)), 1), "builtin")
    model = recovered(content)
    assert name in [type(one).__name__ for one in model.operations]
    assert "TensorFlowFunction" not in kinds(model)
    assert assert_exact(content).inputs[0].shape == (None, *shape)


def of_edges(combine):
    """Nodes of a graph take what is sent along edges."""

    def function(x):
        sent = ops.take(L.Dense(4)(x)[0], np.array([0, 1, 2, 3, 0]), axis=0)
        return L.Dense(2)(combine(sent, np.array([1, 2, 3, 0, 2], "int32")))

    return function


FUNCTIONS = {
    "SegmentSum": lambda x, to: ops.segment_sum(x, to, num_segments=4),
    "SegmentMax": lambda x, to: ops.segment_max(x, to, num_segments=4),
    "Scatter": lambda x, to: ops.scatter(to[:, None], x, (4, 4)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_put_together_by_number_is_a_function_of_keras(name):
    inputs = keras.Input((4, 3), batch_size=1)
    built = keras.Model(inputs, of_edges(FUNCTIONS[name])(inputs))
    content = recurrent.convert(recurrent.randomize(built, 1), "builtin")
    model = recovered(content)
    assert name in [type(one).__name__ for one in model.operations]
    assert "TensorFlowFunction" not in kinds(model)
    assert_exact(content)


def test_a_mask_of_a_batch_of_one():
    """A converter leaves out the axis of the batch where broadcasting puts it back: it is the batch all the same."""
    ids, x = keras.Input((5,), batch_size=1, dtype="int32"), keras.Input((5, 4), batch_size=1)
    hidden = (1.0 - ops.cast(ids > 0, "float32"))[:, None, None, :] * -10000.0
    heads = [ops.transpose(ops.reshape(L.Dense(4)(x), (-1, 5, 2, 2)), (0, 2, 1, 3)) for _ in range(3)]
    scores = ops.softmax(ops.matmul(heads[0], ops.transpose(heads[1], (0, 1, 3, 2))) * 0.3 + hidden)
    y = ops.reshape(ops.transpose(ops.matmul(scores, heads[2]), (0, 2, 1, 3)), (-1, 5, 4))
    built = recurrent.randomize(keras.Model([ids, x], L.Dense(4)(y)), 1)
    content = recurrent.convert(built, "builtin")
    model = recovered(content)
    assert all(tensor.shape[0] is None for tensor in model.inputs)
    rng = np.random.default_rng(3)
    given = {"int32": rng.integers(0, 2, (3, 5)).astype("int32"), "float32": rng.normal(size=(3, 5, 4))}
    named = [given[tensor.dtype] for tensor in model.inputs]
    theirs = [given[tensor.dtype] for tensor in built.inputs]
    alone = [built([one[i : i + 1] for one in theirs]) for i in range(3)]
    np.testing.assert_allclose(model(named), np.concatenate(alone), atol=1e-5)
    assert_exact(content)


@pytest.mark.parametrize("exponent", [2, 1.7])
def test_one_exponent_is_one_number(exponent):
    """Of five axes, a converter fills a constant of all of them with it."""

    def boxes(x):
        return (L.Reshape((2, 2, 2, 2))(L.Conv2D(4, 3, activation="sigmoid")(x)) * 2) ** exponent

    model = recurrent.randomize(recurrent.model(boxes, (4, 4, 3)), 1)
    content = recurrent.convert(model, "builtin")
    (power,) = (op for op in tflrecover.read(content).graph.ops() if op.type == "POW")
    assert tflrecover.read(content).graph.values[power.inputs[1]].shape == (1, 2, 2, 2, 2)
    assert "Power" in {type(one).__name__ for one in recovered(content).operations}
    assert_exact(content)
    assert tflrecover.port(content, model).ok
