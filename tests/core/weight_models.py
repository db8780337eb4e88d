"""Weights in unusual places: parameters of no layer, tied and moved ones, formulas of weights."""

import keras
import numpy as np
from keras import layers as L
from keras import ops
from layer_models import IMAGE, STEPS, image, model, steps


class Param(keras.Layer):
    """A function of the input and of weights that belong to no layer of Keras."""

    def __init__(self, function, *shapes):
        super().__init__()
        self.function, self.shapes = function, shapes

    def build(self, shape):
        self.own = [self.add_weight(shape=s, initializer="normal", name=f"w{i}") for i, s in enumerate(self.shapes)]

    def call(self, x):
        return self.function(x, *self.own)


def standardized(x, w):
    """A convolution of which the kernel has no mean and a variance of one in each filter."""
    return ops.conv(x, (w - ops.mean(w, axis=(0, 1, 2))) / ops.sqrt(ops.var(w, axis=(0, 1, 2)) + 1e-2))


def param(function, *shapes, shape=STEPS):
    return lambda: model(lambda x: Param(function, *shapes)(x), shape)


def between(function, *shapes):
    """A parameter between two dense layers."""
    return steps(lambda x: L.Dense(3)(Param(function, *shapes)(L.Dense(8)(x))))


class TiedDense(keras.Layer):
    def __init__(self):
        super().__init__()
        self.dense = L.Dense(5)

    def build(self, shape):
        self.dense.build(shape)
        self.shift = self.add_weight(shape=(shape[-1],), name="shift")

    def call(self, x):
        return ops.matmul(ops.relu(self.dense(x)), ops.transpose(self.dense.kernel)) + self.shift


def fused(x, w):
    """What BiFPN adds up: each with its share, of which the last is what the others leave of the sum."""
    w = ops.relu(w + 2)
    return (w[0] * ops.tanh(x) + w[1] * ops.sin(x) + w[2] * x) / (ops.sum(w) + 1e-4)


class Queries(keras.Layer):
    """Learned queries look at what there is: no input decides what is norm and what is projection of them."""

    def __init__(self):
        super().__init__()
        self.norm, self.attention = L.LayerNormalization(), L.MultiHeadAttention(2, 4)

    def build(self, shape):
        self.own = self.add_weight(shape=(5, 8), initializer="normal", name="queries")
        self.norm.build((None, 5, 8))
        self.attention.build((None, 5, 8), shape)

    def call(self, x):
        queries = ops.broadcast_to(self.own, (ops.shape(x)[0], 5, 8))
        return queries + self.attention(self.norm(queries), x)


def scaled(make):
    """A residual branch with a factor per channel at its end; every model makes a layer of its own."""
    return lambda x: x + Param(lambda t, g: t * g, (x.shape[-1],))(make()(x))


WEIGHTS = {
    "constant_of_many_shapes": steps(
        lambda x: [L.Dense(3)(Param(lambda t, w: t + w, s)(L.Dense(8)(x))) for s in ((8,), (6, 8), (1, 6, 8), (1,), ())]
    ),
    "factor_of_many_shapes": steps(
        lambda x: [L.Dense(3)(Param(lambda t, w: t * w, s)(L.Dense(8)(x))) for s in ((8,), (6, 8), (6, 1), ())]
    ),
    "parameter_bounds": param(lambda x, a, b, c: ops.where(x > a, ops.maximum(x, b), c), (8,), (8,), (8,)),
    "parameter_power": param(lambda x, a, b: ops.power(ops.abs(x) + 1, a) / b, (8,), (8,)),
    "class_token": between(
        lambda x, w, p: ops.concatenate([ops.broadcast_to(w, (ops.shape(x)[0], 1, 8)), x], 1) + p, (1, 1, 8), (1, 7, 8)
    ),
    "class_token_repeated": between(
        lambda x, w: ops.concatenate([x, ops.repeat(w, ops.shape(x)[0], axis=0)], 1), (1, 1, 8)
    ),
    "reshaped": param(lambda x, w: ops.matmul(x, ops.reshape(w, (8, 3))), (2, 4, 3)),
    "sliced": param(
        lambda x, w: ops.concatenate([ops.matmul(x, w[:, :2]), ops.tanh(ops.matmul(x, w[:, 2:]))], -1), (8, 5)
    ),
    "joined": param(lambda x, a, b: ops.matmul(x, ops.concatenate([a, b], -1)), (8, 2), (8, 3)),
    "stacked": param(lambda x, a, b: ops.matmul(x, ops.stack([a, b], -1)), (8,), (8,)),
    "tiled": param(lambda x, w: ops.matmul(x, ops.tile(w, (1, 2))), (8, 3)),
    "repeated": param(lambda x, w: ops.tanh(x * ops.repeat(w, 2, axis=0)), (4,)),
    "rolled": param(lambda x, w: ops.matmul(x, ops.roll(w, 2, axis=0)), (8, 3)),
    "gathered": param(lambda x, w: ops.matmul(x, ops.take(w, [2, 0, 1], axis=1)), (8, 3)),
    "bias_table": param(
        lambda x, w: ops.softmax(x + ops.reshape(ops.take(w, np.arange(48) % 10, axis=0), (1, 6, 8))), (10,)
    ),
    # Bias and mask are one sum, in which a mask leaves no digit of a bias.
    "bias_beside_mask": param(
        lambda x, w: ops.softmax(
            ops.matmul(x, ops.swapaxes(x, 1, 2))
            + ops.take(w, np.arange(36).reshape(6, 6) % 10, axis=0)
            + (1.0 - ops.cast(x[:, None, :, 0] > 0, "float32")) * -1e9
        ),
        (10,),
    ),
    "bias_under_mask": param(
        lambda x, w: ops.softmax(
            ops.matmul(x, ops.swapaxes(x, 1, 2))
            + ops.take(w, np.arange(36).reshape(6, 6) % 10, axis=0)
            + np.triu(np.full((6, 6), -1e9, "float32"), 1)
        ),
        (10,),
    ),
    "bias_of_heads_under_mask": param(
        lambda x, w: ops.sin(
            ops.softmax((x @ ops.swapaxes(x, 1, 2))[:, None] + w + np.triu(np.full((6, 6), -1e4, "f"), 1))
        ),
        (3, 1, 1),
    ),
    "padded": param(lambda x, w: ops.matmul(x, ops.pad(w, ((0, 0), (1, 1)))), (8, 3)),
    "einsum": param(lambda x, a: ops.einsum("bsc,dhc->bshd", x, a), (3, 2, 8)),
    "on_the_left": param(lambda x, w: ops.matmul(w, x), (5, 6)),
    "used_twice": param(lambda x, w: ops.matmul(ops.relu(ops.matmul(x, w)), w), (8, 8)),
    "tied_dense": steps(lambda x: TiedDense()(x)),
    "convolved": param(
        lambda x, w: ops.conv(x, ops.transpose(w, (0, 1, 3, 2)), padding="same"), (3, 3, 5, 4), shape=IMAGE
    ),
    "layer_scale": image(scaled(lambda: L.Conv2D(4, 3, padding="same"))),
    "layer_scale_depthwise": image(
        lambda x: x + Param(lambda t, g: t * g, (4,))(L.DepthwiseConv2D(3, padding="same")(x))
    ),
    "layer_scale_volume": lambda: model(scaled(lambda: L.Conv3D(3, 3, padding="same")), (4, 4, 4, 3)),
    "snake": param(lambda x, a: x + ops.square(ops.sin(a * x)) / a, (8,)),
    "response_norm": param(
        lambda x, g, b: (lambda n: x * (n / (ops.mean(n, -1, keepdims=True) + 1e-6)) * g + b + x)(
            ops.norm(x, axis=1, keepdims=True)
        ),
        (8,),
        (8,),
    ),
    "fused": param(fused, (3,)),
    "gates": param(
        lambda x, a, b, c: ops.sin(x * ops.sigmoid(a)) + x * ops.softplus(b) + ops.tanh(c), (8,), (8,), (8,)
    ),
    # The file has a part of it; the rest is not read.
    "only_a_part": param(lambda x, w: ops.matmul(x, w[:, :2]), (8, 5)),
    "masked": param(lambda x, w: ops.matmul(x, w * np.tril(np.ones((8, 8), "float32"))), (8, 8)),
    # What the file has is normalised already.
    "normalized": param(
        lambda x, v, g: ops.matmul(x, v * g / ops.sqrt(ops.sum(ops.square(v), axis=0, keepdims=True))), (8, 4), (4,)
    ),
    "standardized": param(lambda x, w: ops.matmul(x, w - ops.mean(w, axis=0)), (8, 3)),
    "clipped": param(lambda x, w: ops.matmul(x, ops.clip(w, -0.3, 0.3)), (8, 3)),
    "unit": param(lambda x, w: ops.matmul(x, ops.normalize(w, axis=0)), (8, 4)),
    "standardized_before_norm": image(lambda x: L.ReLU()(L.BatchNormalization()(Param(standardized, (3, 3, 4, 5))(x)))),
    "standardized_alone": param(standardized, (3, 3, 4, 5), shape=IMAGE),
    "antisymmetric": param(lambda x, w: ops.matmul(x, w - ops.transpose(w)), (8, 8)),
    "squared": param(lambda x, a, b: ops.square(a) * x + ops.abs(b), (8,), (8,)),
    "shares": param(lambda x, w: ops.softmax(w)[0] * ops.tanh(x) + ops.softmax(w)[1] * x, (2,)),
    "low_rank": param(lambda x, a, b: ops.matmul(x, ops.matmul(a, b)), (8, 2), (2, 5)),
    "gram": param(lambda x, w: ops.matmul(x, ops.matmul(w, ops.transpose(w))), (8, 5)),
    "prototypes": param(lambda x, w: ops.sum(ops.square(x[:, :, None] - w), axis=-1), (4, 8)),
}


def QUERIES(batch=None):
    """In a file of fixed sizes they are one constant with their norm and projection."""
    x = keras.Input(STEPS, batch)
    return keras.Model(x, L.Dense(3)(Queries()(L.Dense(8)(x))))


# Formulas that no walk back gives the weight of: refused, never guessed.
REFUSED = {
    "three_factors": param(lambda x, a, b, c: ops.matmul(x, ops.matmul(ops.matmul(a, b), c)), (8, 2), (2, 2), (2, 5)),
}
