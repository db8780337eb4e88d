"""Attention with queries and keys that no layer makes is one function; a softmax with a mask is one layer."""

import keras
import numpy as np
import pytest
import recurrent_models as recurrent
import tensorflow as tf
from keras import layers as L
from keras import ops

import tflrecover
from tests.core import lite
from tests.recovery.recovering import kinds, recovered
from tests.recovery.round_trip import assert_exact

STEPS, HEADS, SIZE = 5, 2, 4


def heads(x):
    return ops.reshape(L.Dense(HEADS * SIZE)(x), (-1, STEPS, HEADS, SIZE))


def rotated(x):
    """Rotary positions, of each half by the other."""
    one, other = x[..., : SIZE // 2], x[..., SIZE // 2 :]
    angles = np.outer(np.arange(STEPS), [1.0, 0.1]).astype("float32")[:, None]
    angles = np.concatenate([angles, angles], axis=-1)
    return x * np.cos(angles) + ops.concatenate([-other, one], axis=-1) * np.sin(angles)


def core(q, k, v, softmax=ops.softmax, scale=0.5):
    """Attention as libraries write it: heads first, and together again behind."""
    q, k, v = (ops.transpose(one, (0, 2, 1, 3)) for one in (q, k, v))
    weights = softmax(ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) * scale)
    y = ops.transpose(ops.matmul(weights, v), (0, 2, 1, 3))
    return L.Dense(6)(ops.reshape(y, (-1, STEPS, HEADS * SIZE)))


def rotary(x):
    return core(rotated(heads(x)), rotated(heads(x)), heads(x))


def other_scale(x):
    return core(heads(x), heads(x), heads(x), scale=0.3)


def of_one_projection(x):
    """Queries, keys and values are parts of one dense layer's units."""
    parts = ops.split(L.Dense(3 * HEADS * SIZE)(x), 3, axis=-1)
    return core(*(rotated(ops.reshape(one, (-1, STEPS, HEADS, SIZE))) for one in parts))


def rotated_in_pairs(x):
    """Neighbours turned against each other: pairs are put together by a reshape, right before the product."""
    angles = np.outer(np.arange(STEPS), [1.0, 0.1]).astype("float32")
    one, other = x[..., 0::2], x[..., 1::2]
    pairs = [one * np.cos(angles) - other * np.sin(angles), one * np.sin(angles) + other * np.cos(angles)]
    return ops.reshape(ops.stack(pairs, axis=-1), (-1, HEADS, STEPS, SIZE))


def rotary_in_pairs(x):
    q, k, v = (ops.transpose(heads(x), (0, 2, 1, 3)) for _ in range(3))
    scores = ops.matmul(rotated_in_pairs(q), ops.transpose(rotated_in_pairs(k), (0, 1, 3, 2))) * 0.5
    y = ops.transpose(ops.matmul(ops.softmax(scores), v), (0, 2, 1, 3))
    return L.Dense(6)(ops.reshape(y, (-1, STEPS, HEADS * SIZE)))


BIAS = np.random.default_rng(5).normal(size=(1, HEADS, STEPS, STEPS)).astype("float32")


def biased(x):
    """Relative positions, as a number for each pair of places and each head."""
    return core(heads(x), heads(x), heads(x), lambda scores: ops.softmax(scores + BIAS))


CAUSAL = np.tri(STEPS, dtype=bool)


def hidden(scores):
    return ops.softmax(ops.where(CAUSAL, scores, -1e9))


def causal(x):
    return core(rotated(heads(x)), rotated(heads(x)), heads(x), hidden)


def causal_by_a_sum(x):
    added = np.where(CAUSAL, 0.0, -1e9).astype("float32")
    return core(rotated(heads(x)), rotated(heads(x)), heads(x), lambda scores: ops.softmax(scores + added))


def banded(x):
    seen = abs(np.arange(STEPS)[:, None] - np.arange(STEPS)) < 2
    return core(rotated(heads(x)), rotated(heads(x)), heads(x), lambda s: ops.softmax(ops.where(seen, s, -1e9)))


def of_groups(x):
    """Each head of keys is for as many queries."""
    key, value = (ops.reshape(L.Dense(SIZE)(x), (-1, STEPS, 1, SIZE)) for _ in range(2))
    return core(rotated(heads(x)), *(ops.repeat(one, HEADS, axis=2) for one in (rotated(key), value)), hidden)


def of_one_key(x):
    """All queries see one head of keys, with a bias that falls with the distance."""
    q = ops.transpose(heads(x), (0, 2, 1, 3))
    k, v = (ops.expand_dims(L.Dense(SIZE)(x), 1) for _ in range(2))
    scores = ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) * 0.5 + BIAS
    y = ops.transpose(ops.matmul(hidden(scores), v), (0, 2, 1, 3))
    return L.Dense(6)(ops.reshape(y, (-1, STEPS, HEADS * SIZE)))


NETWORKS = (
    rotary,
    rotary_in_pairs,
    other_scale,
    of_one_projection,
    biased,
    causal,
    causal_by_a_sum,
    banded,
    of_groups,
    of_one_key,
)


def file_of(function, *shapes):
    inputs = [keras.Input(shape, batch_size=1, dtype=dtype) for shape, dtype in shapes]
    return recurrent.convert(recurrent.randomize(keras.Model(inputs, function(*inputs)), 1), "builtin")


@pytest.mark.parametrize("function", NETWORKS, ids=lambda one: one.__name__)
def test_attention_is_one_function_and_ported_back(function, tmp_path):
    content = file_of(function, ((STEPS, 6), "float32"))
    model = recovered(content)
    assert model.inputs[0].shape == (None, STEPS, 6)
    assert "Softmax" not in kinds(model)
    assert [type(one).__name__ for one in model.operations].count("DotProductAttention") == 1
    assert_exact(content)
    source, *_ = tflrecover.generate(content, tmp_path / "attention.py")
    assert "ops.dot_product_attention(" in source.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "function", [lambda x: core(heads(x), heads(x), heads(x), lambda s: ops.softmax(ops.tanh(s)))], ids=["bounded"]
)
def test_scores_of_another_kind_stay_operators(function):
    content = file_of(function, ((STEPS, 6), "float32"))
    model = assert_exact(content)
    assert "Softmax" in kinds(model)


def masked(x, seen):
    softmax = L.Softmax()
    return core(rotated(heads(x)), rotated(heads(x)), heads(x), lambda scores: softmax(scores, mask=seen[:, None]))


def test_a_mask_that_is_given_is_one_of_the_function():
    content = file_of(given_mask, ((STEPS, 6), "float32"), ((STEPS,), "int32"))
    model = recovered(content)
    assert [type(one).__name__ for one in model.operations].count("DotProductAttention") == 1
    assert all(tensor.shape == (None, *tensor.shape[1:]) for tensor in model.inputs)
    assert_exact(content)


def test_a_mask_of_halves_is_as_low_as_they_can_be():
    inputs = keras.Input((STEPS, 6), batch_size=1)
    built = recurrent.randomize(keras.Model(inputs, causal(inputs)), 1)
    converter = tf.lite.TFLiteConverter.from_keras_model(built)
    lite.quantize(converter, "fp16")
    content = lite.converted(converter)
    model = recovered(content)
    assert [type(one).__name__ for one in model.operations].count("DotProductAttention") == 1
    assert_exact(content)


def given_mask(x, ids):
    seen = ops.equal(ids, 1)[:, None, None, :]
    return core(rotated(heads(x)), rotated(heads(x)), heads(x), lambda s: ops.softmax(ops.where(seen, s, -1e9)))


def test_a_softmax_with_a_mask_is_one_layer():
    content = file_of(masked, ((STEPS, 6), "float32"), ((STEPS, STEPS), "bool"))
    model = recovered(content)
    assert kinds(model).count("Softmax") == 1
    assert not {"Where", "where"}.intersection(type(one).__name__ for one in model.operations)
    assert_exact(content)
    rng = np.random.default_rng(2)
    given = {"float32": rng.normal(size=(1, STEPS, 6)).astype("float32"), "bool": np.zeros((1, STEPS, STEPS), bool)}
    bias = model.layers[-1].get_weights()[1]
    np.testing.assert_allclose(model([given[one.dtype] for one in model.inputs]), np.broadcast_to(bias, (1, STEPS, 6)))
