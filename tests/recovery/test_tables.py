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
