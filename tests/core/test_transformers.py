"""Mechanisms of transformers, each in a model of its own: ported from files without tensor names."""

import keras
import numpy as np
import pytest
from keras import layers as L
from keras import ops

import tflrecover
from tests.core.porting import assert_ports, built, file_without_names

STEPS, WIDTH, HEADS = 6, 8, 2
SIZE = WIDTH // HEADS


def split(x, heads=HEADS):
    """``(batch, steps, width)`` to ``(batch, heads, steps, size)``."""
    return ops.transpose(ops.reshape(x, (-1, x.shape[1], heads, x.shape[2] // heads)), (0, 2, 1, 3))


class Attention(L.Layer):
    """Attention written out; ``position`` changes queries and keys, ``score`` the scores."""

    def __init__(self, heads=HEADS, position=lambda x: x, score=lambda self, x: x, scale=SIZE**-0.5):
        super().__init__()
        self.heads, self.position, self.score, self.scale = heads, position, score, scale
        self.parts = [L.Dense(WIDTH, use_bias=False) for _ in range(3)]
        self.out = L.Dense(WIDTH)
        self.table = L.Embedding(16, heads)

    def build(self, shape):
        for part in (*self.parts, self.out):
            part.build((*shape[:-1], WIDTH))
        self.table.build(None)

    def call(self, x):
        q, k, v = (split(part(x), self.heads) for part in self.parts)
        scores = ops.matmul(self.position(q), ops.swapaxes(self.position(k), 2, 3)) * self.scale
        mixed = ops.matmul(ops.softmax(self.score(self, scores)), v)
        return self.out(ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), (-1, x.shape[1], WIDTH)))


def buckets():
    """Distances by bucket, as T5 has them: near ones one by one, far ones by their logarithm."""
    places = ops.arange(STEPS)
    distance = places[None, :] - places[:, None]
    far = 4 + ops.cast(ops.log(ops.cast(ops.abs(distance), "float32") / 4 + 1e-6) * 2, "int32")
    near = ops.where(ops.abs(distance) < 4, ops.abs(distance), ops.minimum(far, 7))
    return near + 8 * ops.cast(distance > 0, "int32")


def biased(layer, scores):
    return scores + ops.transpose(layer.table(buckets()), (2, 0, 1))[None]


def capped(_, scores):
    return 5.0 * ops.tanh(scores / 5.0)


def causal(_, scores):
    places = ops.arange(scores.shape[-1])
    return ops.where(places[None, None, :, None] >= places[None, None, None, :], scores, -1e9)


def angles(x):
    frequencies = 1 / 10000 ** (ops.arange(0, x.shape[-1], 2, dtype="float32") / x.shape[-1])
    return ops.arange(x.shape[2], dtype="float32")[:, None] * frequencies[None]


def rotated_by_halves(x):
    angle = ops.concatenate([angles(x)] * 2, -1)
    first, second = ops.split(x, 2, -1)
    return x * ops.cos(angle) + ops.concatenate([-second, first], -1) * ops.sin(angle)


def rotated_by_pairs(x):
    angle = ops.repeat(angles(x), 2, -1)
    turned = ops.reshape(ops.stack([-x[..., 1::2], x[..., ::2]], -1), (-1, *x.shape[1:]))
    return x * ops.cos(angle) + turned * ops.sin(angle)


class Norm(L.Layer):
    """Root mean square, scaled by ``1 + scale``."""

    def build(self, shape):
        self.scale = self.add_weight(shape=shape[-1:], name="scale")

    def call(self, x):
        root = ops.sqrt(ops.mean(ops.square(x), -1, keepdims=True) + 1e-6)
        return x / root * (1.0 + self.scale)


class Positions(L.Layer):
    """A table of positions that is longer than the sequence."""

    def build(self, shape):
        self.table = self.add_weight(shape=(10, shape[-1]), name="table")

    def call(self, x):
        return x + self.table[: x.shape[1]]


class Tied(L.Layer):
    """Scaled embeddings, and the same table for the logits."""

    def __init__(self):
        super().__init__()
        self.table, self.norm = L.Embedding(12, WIDTH), Norm()

    def build(self, shape):
        self.table.build(shape)
        self.norm.build((None, STEPS, WIDTH))

    def call(self, tokens):
        x = self.table(tokens) * ops.cast(ops.sqrt(WIDTH), "float32")
        return ops.matmul(self.norm(x), ops.transpose(self.table.embeddings))


class Similarity(L.Layer):
    """Cosines of two batches, by a temperature that is learned."""

    def build(self, shape):
        self.temperature = self.add_weight(shape=(), name="temperature")

    def call(self, x):
        x, y = (v / ops.sqrt(ops.sum(ops.square(v), -1, keepdims=True)) for v in (x[:, 0], x[:, 1]))
        return ops.matmul(x, ops.transpose(y)) * ops.exp(self.temperature)


def model(*layers, batch=None, shape=(STEPS, WIDTH), dtype="float32"):
    def build():
        x = inputs = keras.Input(shape, batch, dtype=dtype)
        for make in layers:
            x = make(x)
        return keras.Model(inputs, x)

    return build


def attention(**given):
    return lambda x: Attention(**given)(x)


def of_axes(x):
    return L.MultiHeadAttention(HEADS, SIZE, attention_axes=(1, 2))(x, x)


def grouped(x):
    return L.GroupQueryAttention(4, 4, 2)(x, x, use_causal_mask=True)


MECHANISMS = {
    "relative_bias": model(attention(score=biased)),
    "soft_cap": model(attention(score=capped)),
    "causal": model(attention(score=causal)),
    "rotary_halves": model(attention(position=rotated_by_halves)),
    "rotary_pairs": model(attention(position=rotated_by_pairs)),
    "one_head": model(attention(heads=1)),
    "one_head_batch_1": model(attention(heads=1), batch=1),
    "one_head_causal_batch_1": model(attention(heads=1, score=causal), batch=1),
    "shifted_root_norm": model(lambda x: L.Dense(3)(Norm()(x))),
    "positions": model(lambda x: L.Dense(WIDTH)(Positions()(x))),
    "tied_scaled": model(lambda x: Tied()(x), shape=(STEPS,), dtype="int32"),
    "similarity": model(lambda x: Similarity()(L.Dense(4)(x))),
    "similarity_batch_1": model(lambda x: Similarity()(L.Dense(4)(x)), batch=1),
    "softmax_axes": model(lambda x: L.Softmax(axis=(1, 2))(L.Dense(4)(x))),
    "attention_axes": model(of_axes, shape=(3, 4, WIDTH)),
    "grouped": model(grouped),
    "decoder": model(lambda x: grouped(Norm()(x)) + attention(position=rotated_by_halves, score=causal)(x)),
}


@pytest.mark.parametrize("name", sorted(MECHANISMS))
def test_port(name):
    assert_ports(MECHANISMS[name])


def test_wrong_scale_of_scores_is_refused():
    content = file_without_names(model(attention()))
    with pytest.raises(tflrecover.PortError):
        tflrecover.port(content, built(model(attention(scale=1 / SIZE)), 2))


@pytest.mark.parametrize("name", ["positions", "relative_bias"])
def test_rows_that_the_file_lacks_stay(name):
    original, twin = built(MECHANISMS[name], 1), built(MECHANISMS[name], 2)
    wanted, before = ([np.asarray(v) for v in m.variables] for m in (original, twin))
    report = tflrecover.port(file_without_names(MECHANISMS[name]), twin)
    assert report.ok
    (note,) = [note for note in report.notes if "only a part" in note]
    (i,) = [i for i, v in enumerate(twin.variables) if v.path.endswith("table") or "embedding" in v.path]
    now = np.asarray(twin.variables[i])
    (told,) = [a.recipe for a in report.assignments if "are not in the file" in a.recipe]
    is_kept = (now == before[i]).all(-1)
    assert 0 < is_kept.sum() < len(now)
    assert np.array_equal(now[~is_kept], wanted[i][~is_kept])
    assert f"{is_kept.sum() * now.shape[1]} of {now.size} numbers" in told
    assert note
