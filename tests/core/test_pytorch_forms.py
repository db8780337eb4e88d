"""Layers as PyTorch's converter writes them, ported into Keras's own.

The models here say with ``keras.ops`` what such files hold, for one example: no other framework is needed to test them.
"""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops
from layer_models import model
from porting import assert_ports, assert_refused, differences

STEPS, WIDTH = 9, 16


class PerChannel(L.Layer):
    """A scale per channel, and an offset: PyTorch has them behind the norm, a converter as a product and a sum."""

    def __init__(self, *, has_offset=True):
        super().__init__()
        self.has_offset = has_offset

    def build(self, shape):
        self.scale = self.add_weight(shape=shape[-1:], name="gamma")
        self.offset = self.add_weight(shape=shape[-1:], name="beta") if self.has_offset else 0.0

    def call(self, x):
        return x * self.scale + self.offset


def one_example(function, *shapes, dtype="float32"):
    return lambda: model(function, *shapes, batch=1, dtype=dtype)


def written_norm(x, epsilon=1e-5):
    """``x · r + (-1 · r · m)``, with axes that go and come back."""
    rows, back = (x.shape[1],), (1, x.shape[1], 1)
    mean = ops.reshape(ops.mean(x, axis=2, keepdims=True), rows)
    variance = ops.reshape(ops.mean(ops.square(x - ops.reshape(mean, back)), axis=2, keepdims=True), rows)
    inverse = ops.rsqrt(variance + epsilon)
    # In the other order Keras takes the second for a bias, which TensorFlow's converter cannot place.
    return ops.reshape(-1.0 * (inverse * mean), back) + x * ops.reshape(inverse, back)


def norm(x, epsilon=1e-5):
    return L.LayerNormalization(epsilon=epsilon)(x)


def on_rows(x):
    """A norm of the channels of an image, which a file has as rows."""
    rows = ops.reshape(x, (1, x.shape[1] * x.shape[2], x.shape[3]))
    return ops.reshape(PerChannel()(written_norm(rows)), (1, *x.shape[1:]))


def written_rms(x):
    inverse = ops.rsqrt(ops.mean(x * x, axis=2, keepdims=True) + 1e-6)
    return PerChannel(has_offset=False)(x * ops.reshape(inverse, (1, x.shape[1], 1)))


def written_elu(x):
    return ops.where(x >= 0, x, ops.exp(x) - 1.0)


def written_softplus(x):
    return ops.where(x > 20.0, x, ops.log(ops.exp(x) + 1.0))


def heads(x, count=4):
    """``(heads, steps, size)`` of rows."""
    return ops.transpose(ops.reshape(x, (STEPS, count, WIDTH // count)), (1, 0, 2))


def written_attention(x, *, mask=None, scale=0.5**0.5):
    """One projection for queries, keys and values; queries and keys are scaled, each by the root of the scale."""
    parts = ops.transpose(ops.reshape(L.Dense(3 * WIDTH)(x), (STEPS, 1, 3, WIDTH)), (2, 0, 1, 3))
    q, k, v = (ops.reshape(parts[i : i + 1, ...], (STEPS, WIDTH)) for i in range(3))
    q, k, v = heads(q * scale), heads(k * scale), heads(v)
    k = ops.reshape(ops.transpose(ops.reshape(k, (1, 4, STEPS, 4)), (0, 1, 3, 2)), (4, 4, STEPS))
    scores = ops.matmul(q, k)
    scores = scores if mask is None else scores + mask
    rows = ops.reshape(ops.transpose(ops.matmul(ops.softmax(scores), v), (1, 0, 2)), (1, STEPS, WIDTH))
    return L.Dense(WIDTH)(rows)


CAUSAL = np.where(np.tril(np.ones((1, STEPS, STEPS))), 0, -np.inf).astype("float32")


def attention(x, **call):
    return L.MultiHeadAttention(4, 4)(x, x, **call)


def written_block(x):
    x = x + written_attention(PerChannel()(written_norm(x)))
    return x + L.Dense(WIDTH)(L.Dense(20, activation="gelu")(PerChannel()(written_norm(x))))


def block(x):
    x = x + attention(norm(x))
    return x + L.Dense(WIDTH)(L.Dense(20, activation="gelu")(norm(x)))


def padded_pool(value):
    def function(x):
        y = L.Conv2D(5, 3, activation="relu")(x)
        y = ops.pad(y, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=value) if value else L.ZeroPadding2D()(y)
        return L.Conv2D(3, 1)(L.MaxPooling2D(3, 2)(y))

    return function


def dense_block(*, is_listed):
    """Each layer takes all before it, joined from the list of them or from what was joined last."""

    def function(x):
        found = joined = x
        listed = [x]
        for _ in range(3):
            found = L.Conv2D(3, 3, padding="same", activation="relu")(joined)
            listed.append(found)
            joined = L.Concatenate()(listed if is_listed else [joined, found])
        return L.Conv2D(2, 1)(joined)

    return function


def between(function):
    """Between two dense layers."""
    return lambda x: L.Dense(5)(function(L.Dense(WIDTH)(x)))


def behind_conv(function):
    return lambda x: L.Conv2D(3, 1)(function(L.Conv2D(6, 3)(x)))


SEQUENCE, IMAGE = (STEPS, WIDTH), (8, 9, 4)
FORMS = {
    "layer norm": (SEQUENCE, between(lambda x: PerChannel()(written_norm(x))), between(norm)),
    "layer norm whose scale is in the layer behind": (SEQUENCE, between(written_norm), between(norm)),
    "layer norm of an image": (IMAGE, behind_conv(on_rows), behind_conv(norm)),
    "root mean square": (SEQUENCE, between(written_rms), between(L.RMSNormalization(epsilon=1e-6))),
    "elu": (SEQUENCE, between(written_elu), between(L.ELU())),
    "softplus": (SEQUENCE, between(written_softplus), between(L.Activation("softplus"))),
    "attention": (SEQUENCE, written_attention, attention),
    "causal attention": (
        SEQUENCE,
        lambda x: written_attention(x, mask=CAUSAL),
        lambda x: attention(x, use_causal_mask=True),
    ),
    "transformer block": (SEQUENCE, written_block, block),
    "dense block": (IMAGE, dense_block(is_listed=True), dense_block(is_listed=False)),
    "dense block the other way": (IMAGE, dense_block(is_listed=False), dense_block(is_listed=True)),
    "padded pool": (IMAGE, padded_pool(float("-inf")), padded_pool(0)),
}


@pytest.mark.parametrize(("shape", "written", "layer"), FORMS.values(), ids=FORMS)
def test_written_out_is_ported_into_the_layer(shape, written, layer):
    assert_ports(one_example(written, shape), one_example(layer, shape))


def test_rows_of_a_table_are_looked_up_for_flattened_indices():
    def written(x):
        return L.Dense(3)(ops.mean(ops.reshape(L.Embedding(20, 8)(ops.reshape(x, (7,))), (1, 7, 8)), axis=1))

    def layer(x):
        return L.Dense(3)(L.GlobalAveragePooling1D()(L.Embedding(20, 8)(x)))

    inputs = [np.random.default_rng(0).integers(0, 20, (1, 7)).astype("int32")]
    assert_ports(one_example(written, (7,), dtype="int32"), one_example(layer, (7,), dtype="int32"), inputs)


def test_a_scale_in_another_place_is_no_other_function_but_another_epsilon_is():
    right = one_example(between(lambda x: PerChannel()(written_norm(x, 1e-2))), SEQUENCE)
    assert_refused(right, one_example(between(norm), SEQUENCE))


def test_a_pad_that_a_pool_may_take_is_a_difference():
    def pooled(activation, value):
        def function(x):
            around = ((0, 0), (1, 1), (1, 1), (0, 0))
            y = L.Conv2D(5, 3, activation=activation)(x)
            y = ops.pad(y, around, constant_values=value) if value else L.ZeroPadding2D(name="pad")(y)
            return L.MaxPooling2D(3, 2)(y)

        return one_example(function, IMAGE)

    (difference,) = differences(pooled("tanh", -2.0), pooled("tanh", 0))
    assert difference == ("pad", "value", -2.0, 0.0)


def test_another_mask_is_a_difference():
    full = np.zeros((1, STEPS, STEPS), "float32")
    full[0, 0, 3:] = -np.inf
    right = one_example(lambda x: written_attention(x, mask=full), SEQUENCE)
    assert_refused(right, one_example(lambda x: attention(x, use_causal_mask=True), SEQUENCE))
    keras.utils.clear_session()
