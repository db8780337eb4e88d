"""Learned constants train again; what only looks like one stays as it is."""

import keras
import numpy as np
import pytest
import recurrent_models as recurrent
from keras import layers as L

import tflrecover
from tests.recovery.recovering import kinds, recovered


class Positions(L.Layer):
    """A token in front, and a table of positions."""

    def build(self, shape):
        self.token = self.add_weight(shape=(1, 1, shape[-1]))
        self.table = self.add_weight(shape=(1, shape[1] + 1, shape[-1]))

    def call(self, x):
        token = keras.ops.tile(self.token, (keras.ops.shape(x)[0], 1, 1))
        return keras.ops.concatenate([token, x], axis=1) + self.table


def tokens(x):
    return L.Dense(3)(L.LayerNormalization()(Positions()(L.Dense(6)(x))))


def file_of(function):
    return recurrent.convert(recurrent.randomize(recurrent.model(function, (5, 4)), 1), "builtin")


def test_a_token_and_positions_train():
    content = file_of(tokens)
    model = recovered(content)
    assert kinds(model).count("Embedding") == 2
    assert model.inputs[0].shape == (None, 5, 4)
    assert {(1, 6), (6, 6)} <= {tuple(weight.shape) for weight in model.trainable_weights}
    assert tflrecover.port(content, model).ok
    x = np.random.default_rng(1).normal(size=(3, 5, 4)).astype("float32")
    np.testing.assert_allclose(model(x)[1:2], model(x[1:2]), atol=1e-6)


class Queries(L.Layer):
    """As many for each example."""

    def build(self, shape):
        self.table = self.add_weight(shape=(1, 4, 6))

    def call(self, x):
        return keras.ops.tile(self.table, (keras.ops.shape(x)[0], 1, 1))


def perceiver(x):
    x = L.Dense(8)(x)
    return L.Dense(3)(L.MultiHeadAttention(2, 5)(Queries()(x), x))


def test_queries_train_for_each_example():
    content = file_of(perceiver)
    model = recovered(content)
    assert kinds(model).count("Embedding") == kinds(model).count("MultiHeadAttention") == 1
    assert model.inputs[0].shape == (None, 5, 4)
    assert (4, 6) in {tuple(weight.shape) for weight in model.trainable_weights}
    assert tflrecover.port(content, model).ok
    x = np.random.default_rng(1).normal(size=(3, 5, 4)).astype("float32")
    np.testing.assert_allclose(model(x)[1:2], model(x[1:2]), atol=1e-6)


def own_attention(x):
    """Queries whose product with the keys is no layer's."""
    keys, values = L.Dense(6)(x), L.Dense(6)(x)
    scores = keras.ops.matmul(Queries()(x), keras.ops.transpose(keys, (0, 2, 1)))
    return L.Dense(3)(keras.ops.matmul(keras.ops.softmax(scores), values))


def test_queries_of_a_product_train():
    """Of a batch of one a file has them as a matrix that the keys are multiplied by."""
    content = recurrent.convert(recurrent.randomize(recurrent.model(own_attention, (5, 4), batch=1), 1), "builtin")
    model = recovered(content)
    assert (4, 6) in {tuple(weight.shape) for weight in model.trainable_weights}
    assert model.inputs[0].shape == (None, 5, 4)
    assert tflrecover.port(content, model).ok


def test_a_graph_is_no_table():
    """Neighbours of each node, by which features are averaged: they are no numbers that were learned."""
    near = np.eye(5, k=1, dtype="float32") + np.eye(5, dtype="float32") / 2
    model = recovered(file_of(lambda x: L.Dense(3)(keras.ops.matmul(near, L.Dense(6)(x)))))
    assert "Embedding" not in kinds(model)


ANCHORS = np.random.default_rng(3).normal(size=(1, 5, 6)).astype("float32")
NUMBERS = {
    "behind_the_last_layer": lambda x: L.Dense(6)(x) + ANCHORS,
    "before_the_first": lambda x: L.Dense(2)(x + ANCHORS[..., :4]),
    "a_mask": lambda x: L.Dense(2)(L.Dense(6)(x) + np.where(ANCHORS > 0, 0, -1e9).astype("float32")),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_of_the_arithmetic_stays(name):
    assert "Embedding" not in kinds(recovered(file_of(NUMBERS[name])))


@pytest.mark.parametrize(("subtracts", "kind"), [(True, "Rescaling"), (False, "EinsumDense")])
def test_what_makes_an_input_ready_does_not_train(subtracts, kind):
    """It subtracts a mean; what adds at last is a batch norm that was."""
    numbers = np.random.default_rng(4).uniform(0.5, 2, (2, 4)).astype("float32")
    mean, scale = numbers

    def network(x):
        ready = (x - mean) / scale if subtracts else x * scale + mean
        return L.Conv1D(3, 3, padding="same")(ready)

    content = file_of(network)
    model = recovered(content)
    assert kind in kinds(model)
    assert len(model.trainable_weights) == (2 if subtracts else 4)
    assert tflrecover.port(content, model).ok


WINDOW, HEADS, SIZE = 3, 2, 2


class Windows(L.Layer):
    """Attention in windows, with a bias for each distance and, where they were shifted, a mask for each of them."""

    def __init__(self, is_shifted):
        super().__init__()
        self.is_shifted = is_shifted
        place = np.stack(np.meshgrid(np.arange(WINDOW), np.arange(WINDOW), indexing="ij")).reshape(2, -1)
        far = (place[:, :, None] - place[:, None]) + WINDOW - 1
        self.index = (far[0] * (2 * WINDOW - 1) + far[1]).reshape(-1)

    def build(self, shape):
        self.qkv, self.out = L.Dense(3 * HEADS * SIZE), L.Dense(shape[-1])
        self.table = self.add_weight(shape=((2 * WINDOW - 1) ** 2, HEADS), name="table")

    def call(self, x):
        ops, n, side = keras.ops, WINDOW * WINDOW, 2 * WINDOW
        if self.is_shifted:
            x = ops.concatenate([x[:, 1:], x[:, :1]], axis=1)
            x = ops.concatenate([x[:, :, 1:], x[:, :, :1]], axis=2)
        x = ops.transpose(ops.reshape(x, (-1, 2, WINDOW, 2, WINDOW, 4)), (0, 1, 3, 2, 4, 5))
        heads = ops.reshape(self.qkv(ops.reshape(x, (-1, n, 4))), (-1, n, 3, HEADS, SIZE))
        q, k, v = ops.unstack(ops.transpose(heads, (2, 0, 3, 1, 4)), 3)
        bias = ops.transpose(ops.reshape(ops.take(self.table, self.index, axis=0), (n, n, HEADS)), (2, 0, 1))
        scores = ops.matmul(q * SIZE**-0.5, ops.transpose(k, (0, 1, 3, 2))) + bias[None]
        if self.is_shifted:
            region = np.repeat(np.repeat([[0, 1], [2, 3]], [side - 1, 1], 0), [side - 1, 1], 1)
            region = region.reshape(2, WINDOW, 2, WINDOW).transpose(0, 2, 1, 3).reshape(4, n)
            mask = np.where(region[:, :, None] == region[:, None], 0, -100).astype("float32")
            scores = ops.reshape(ops.reshape(scores, (-1, 4, HEADS, n, n)) + mask[None, :, None], (-1, HEADS, n, n))
        y = ops.reshape(ops.transpose(ops.matmul(ops.softmax(scores), v), (0, 2, 1, 3)), (-1, n, HEADS * SIZE))
        y = ops.transpose(ops.reshape(self.out(y), (-1, 2, 2, WINDOW, WINDOW, 4)), (0, 1, 3, 2, 4, 5))
        return ops.reshape(y, (-1, side, side, 4))


@pytest.mark.parametrize("is_shifted", [False, True])
def test_a_bias_of_each_distance_trains(is_shifted):
    def network(x):
        x = L.Conv2D(4, 1)(x)
        return L.Dense(3)(x + Windows(is_shifted)(x))

    made = recurrent.randomize(recurrent.model(network, (6, 6, 2)), 1)
    content = recurrent.convert(made, "builtin")
    model = recovered(content)
    assert kinds(model).count("Embedding") == 1
    assert model.inputs[0].shape == (None, 6, 6, 2)
    assert sum(map(np.size, model.trainable_weights)) == sum(map(np.size, made.trainable_weights))
    assert tflrecover.port(content, model).ok


def test_a_window_before_a_spectrum_does_not_train():
    window = np.hanning(22)[1:-1].astype("float32").reshape(5, 4)[2]
    content = file_of(lambda x: L.Dense(3)(keras.ops.exp(x * window)))
    model = recovered(content)
    assert kinds(model) == ["InputLayer", "Dense"]
    assert tflrecover.port(content, model).ok
