"""Mechanisms of transformers, each in a model of its own: ported from files without tensor names."""

import keras
import keras_models as zoo
import numpy as np
import pytest
from keras import layers as L
from keras import ops

import tflrecover
from tests.core.lite import stripped
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


def rotated_in_planes(x):
    """Each pair of numbers by a matrix of its own, and the pairs as one axis again behind it."""
    angle, (steps, size) = angles(x), x.shape[2:]
    turns = ops.stack([ops.cos(angle), -ops.sin(angle), ops.sin(angle), ops.cos(angle)], -1)
    turns = ops.reshape(turns, (steps, size // 2, 2, 2))
    pairs = ops.reshape(x, (-1, x.shape[1], steps, size // 2, 1, 2))
    return ops.reshape(turns[..., 0] * pairs[..., 0] + turns[..., 1] * pairs[..., 1], (-1, *x.shape[1:]))


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


class Windows(L.Layer):
    """Attention within windows of a grid that was padded up to them and rolled, by a table of relative places."""

    def __init__(self, grid=(4, 4), window=2, shift=1, places=None):
        super().__init__()
        self.grid, self.window, self.shift = grid, window, shift
        self.places = self.relative() if places is None else places
        self.qkv, self.out = L.Dense(3 * WIDTH), L.Dense(WIDTH)

    def relative(self):
        """Number of a pair's distance along both axes."""
        rows, columns = np.divmod(np.arange(self.window**2), self.window)
        distances = [axis[:, None] - axis[None, :] + self.window - 1 for axis in (rows, columns)]
        return distances[0] * (2 * self.window - 1) + distances[1]

    def build(self, shape):
        self.qkv.build(shape)
        self.out.build(shape)
        self.table = self.add_weight(shape=((2 * self.window - 1) ** 2, HEADS), name="table")

    def call(self, x):
        (height, width), n = self.grid, self.window
        x = ops.reshape(x, (-1, height, width, WIDTH))
        tall, wide = height + -height % n, width + -width % n
        x = ops.pad(x, ((0, 0), (0, tall - height), (0, wide - width), (0, 0)))
        x = self.rolled(x, -self.shift)
        x = ops.transpose(ops.reshape(x, (-1, tall // n, n, wide // n, n, WIDTH)), (0, 1, 3, 2, 4, 5))
        x = self.attended(ops.reshape(x, (-1, n * n, WIDTH)))
        x = ops.transpose(ops.reshape(x, (-1, tall // n, wide // n, n, n, WIDTH)), (0, 1, 3, 2, 4, 5))
        x = self.rolled(ops.reshape(x, (-1, tall, wide, WIDTH)), self.shift)
        return ops.reshape(x[:, :height, :width], (-1, height * width, WIDTH))

    def rolled(self, x, shift):
        return ops.roll(x, (shift, shift), axis=(1, 2)) if shift else x

    def attended(self, x):
        q, k, v = (split(part) for part in ops.split(self.qkv(x), 3, -1))
        scores = ops.matmul(q, ops.swapaxes(k, 2, 3)) * SIZE**-0.5
        scores = scores + ops.transpose(ops.take(self.table, self.places, axis=0), (2, 0, 1))
        mixed = ops.matmul(ops.softmax(scores), v)
        return self.out(ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), (-1, x.shape[1], WIDTH)))


class Disentangled(L.Layer):
    """Scores against a normalized table of relative places, by the projections of the queries and keys themselves."""

    def __init__(self):
        super().__init__()
        self.query, self.key, self.norm = L.Dense(WIDTH), L.Dense(WIDTH), L.LayerNormalization()

    def build(self, shape):
        self.table = self.add_weight(shape=(2 * STEPS, WIDTH), name="table")
        for part in (self.query, self.key, self.norm):
            part.build((None, None, WIDTH))

    def call(self, x):
        table = ops.repeat(self.norm(self.table[None]), ops.shape(x)[0], axis=0)
        q, k, wanted, placed = (
            split(part) for part in (self.query(x), self.key(x), self.query(table), self.key(table))
        )
        scores = ops.matmul(q, ops.swapaxes(placed, 2, 3)) + ops.matmul(k, ops.swapaxes(wanted, 2, 3))
        return ops.concatenate([ops.matmul(q, ops.swapaxes(k, 2, 3)), scores], -1)


class Rotation(L.Layer):
    """Frequencies that are a variable, of which the file has the sine only."""

    def __init__(self, base=100.0):
        super().__init__()
        self.base = base

    def build(self, shape):
        self.frequencies = self.add_weight(shape=(shape[-1],), name="frequencies", trainable=False)
        self.frequencies.assign(self.base ** -np.linspace(0, 1, shape[-1]))

    def call(self, x):
        angle = ops.matmul(ops.arange(x.shape[1], dtype="float32")[:, None], self.frequencies[None])
        return x * ops.cos(angle) + ops.flip(x, -1) * ops.sin(angle)


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
    "rotary_planes": model(attention(position=rotated_in_planes), batch=1),
    "disentangled": model(lambda x: Disentangled()(x)),
    "disentangled_batch_1": model(lambda x: Disentangled()(x), batch=1),
    "one_head": model(attention(heads=1)),
    "one_head_batch_1": model(attention(heads=1), batch=1),
    "one_head_causal_batch_1": model(attention(heads=1, score=causal), batch=1),
    "shifted_root_norm": model(lambda x: L.Dense(3)(Norm()(x))),
    # A roll of a free batch is none of TFLite's own operators.
    "windows": model(lambda x: Windows()(x), batch=2, shape=(16, WIDTH)),
    "windows_padded": model(lambda x: Windows((3, 5))(x), batch=1, shape=(15, WIDTH)),
    "windows_not_shifted": model(lambda x: Windows(shift=0)(x), shape=(16, WIDTH)),
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


@pytest.mark.parametrize("base", [100.0, 10.0])
def test_what_no_walk_can_undo_is_kept_where_it_is_so_already(base):
    """A model computes its frequencies as the original did, or it is another model."""

    def twin(base):
        made = model(lambda x: L.Dense(3)(Rotation(base)(L.Dense(4)(x))))()
        for v in made.trainable_variables:
            v.assign(np.random.default_rng(len(v.shape) + int(base)).uniform(-1, 1, v.shape))
        return made

    keras.utils.clear_session()
    original, other = twin(100.0), twin(base)
    content = stripped(zoo.convert(original))
    if base != original.layers[2].base:
        with pytest.raises(tflrecover.PortError):
            tflrecover.port(content, other)
        return
    report = tflrecover.port(content, other)
    (kept,) = [a for a in report.assignments if a.variable.endswith("frequencies")]
    assert (kept.state, kept.recipe) == ("kept", "what the file makes of it is so already")
    x = np.random.default_rng(0).normal(size=(2, STEPS, WIDTH)).astype("float32")
    assert np.allclose(original(x), other(x), atol=1e-6)


def test_windows_tell_every_row_of_their_table():
    make = MECHANISMS["windows"]
    original, twin = built(make, 1), built(make, 2)
    report = tflrecover.port(file_without_names(make), twin)
    (told,) = [a for a in report.assignments if a.variable.endswith("table")]
    assert told.state == "assigned"
    wanted, got = ([v for v in m.variables if v.path.endswith("table")] for m in (original, twin))
    assert np.array_equal(wanted[0], got[0])


def test_other_places_of_the_table_are_refused():
    content = file_without_names(MECHANISMS["windows"])
    places = np.zeros((4, 4), int)
    twin = built(model(lambda x: Windows(places=places)(x), batch=2, shape=(16, WIDTH)), 2)
    with pytest.raises(tflrecover.PortError, match="taken twice"):
        tflrecover.port(content, twin)


def test_another_shift_is_refused():
    content = file_without_names(MECHANISMS["windows"])
    with pytest.raises(tflrecover.PortError):
        tflrecover.port(content, built(model(lambda x: Windows(shift=0)(x), batch=2, shape=(16, WIDTH)), 2))


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
