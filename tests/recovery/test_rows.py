"""Dense layers on rows, and biases that stand apart, are layers on all axes with a bias that trains."""

import numpy as np
import pytest
import recurrent_models as recurrent
from keras import layers as L
from keras import ops

import tflrecover
from tests.core.file_builders import File
from tests.recovery.recovering import kinds, recovered
from tests.recovery.round_trip import assert_exact


def heads_merged(x):
    """What attention does behind its values."""
    y = ops.transpose(ops.reshape(x, (-1, 6, 2, 4)), (0, 2, 1, 3))
    y = ops.transpose(ops.tanh(y), (0, 2, 1, 3))
    return L.Dense(3)(ops.reshape(y, (-1, 6, 8)))


def windows_merged(x):
    y = ops.transpose(ops.reshape(x, (-1, 2, 3, 8)), (0, 2, 1, 3))
    return L.Dense(3)(ops.reshape(y, (-1, 6, 8)))


@pytest.mark.parametrize("function", [heads_merged, windows_merged])
def test_what_is_merged_before_a_dense_layer_leaves_it_whole(function):
    content = recurrent.convert(recurrent.randomize(recurrent.model(function, (6, 8)), 1), "builtin")
    model = recovered(content)
    (dense,) = (layer for layer in model.layers if isinstance(layer, L.Dense))
    assert dense.use_bias
    assert dense.output.shape == (None, 6, 3)
    assert "Add" not in kinds(model)
    assert_exact(content)


def units_apart(x):
    return ops.tanh(ops.reshape(L.Dense(8, use_bias=False)(x), (-1, 6, 2, 4)))


def test_a_dense_layer_before_heads_sees_no_rows():
    content = recurrent.convert(recurrent.randomize(recurrent.model(units_apart, (6, 8)), 1), "builtin")
    model = assert_exact(content)
    (dense,) = (layer for layer in model.layers if isinstance(layer, L.Dense))
    assert dense.output.shape == (None, 6, 8)


def halved(x):
    """As the layers of a Conformer, beside attention."""
    return x + 0.5 * L.Dense(8)(x)


def windows_taken(x):
    """Windows are examples to the layer, as in a Swin."""
    y = ops.transpose(ops.reshape(x, (-1, 2, 3, 2, 8)), (0, 2, 1, 3, 4))
    return ops.tanh(L.Dense(6)(ops.reshape(y, (-1, 4, 8))))


@pytest.mark.parametrize(
    ("function", "shape", "result"), [(halved, (6, 8), (6, 8)), (windows_taken, (6, 2, 8), (4, 6))]
)
def test_a_bias_is_the_layers_whatever_stands_around_it(function, shape, result):
    content = recurrent.convert(recurrent.randomize(recurrent.model(function, shape), 1), "builtin")
    model = assert_exact(content)
    (dense,) = (layer for layer in model.layers if isinstance(layer, L.Dense))
    assert dense.use_bias
    assert dense.output.shape[1:] == result
    assert sorted(layer.name for layer in model.layers if layer.weights) == [dense.name]


def biased_heads(x):
    return ops.tanh(L.EinsumDense("bsd,dhk->bhsk", (2, 6, 4), bias_axes="hk")(x))


def test_a_bias_behind_heads_trains():
    """Without attention behind them, whose own layer would have it."""
    content = recurrent.convert(recurrent.randomize(recurrent.model(biased_heads, (6, 8)), 1), "builtin")
    model = assert_exact(content)
    (dense,) = (layer for layer in model.layers if isinstance(layer, L.Dense))
    assert dense.use_bias
    assert "Add" not in kinds(model)


def test_a_bias_of_one_filter_has_one_axis():
    content = recurrent.convert(
        recurrent.randomize(recurrent.model(lambda x: L.Conv3D(1, 3)(x), (4, 5, 5, 2)), 1), "builtin"
    )
    (layer,) = (layer for layer in assert_exact(content).layers if isinstance(layer, L.Conv3D))
    assert layer.bias.shape == (1,)


@pytest.fixture(scope="module")
def table_file():
    """A learned table that is projected, turned round, and met by what is given."""
    rng = np.random.default_rng(2)
    file = File()
    x = file.input((1, 4, 6))
    table = file.const(rng.normal(size=(1, 3, 5)).astype("float32"))
    kernel, bias = (file.const(rng.normal(size=shape).astype("float32")) for shape in ((6, 5), (6,)))
    options = {"options": "FullyConnectedOptions", "keepNumDims": True}
    keys = file.op("FULLY_CONNECTED", (table, kernel, bias), (1, 3, 6), **options)
    turned = file.op("TRANSPOSE", (keys, file.const(np.int32([0, 2, 1]))), (1, 6, 3), "float32", "TransposeOptions")
    return file.content(file.op("BATCH_MATMUL", (x, turned), (1, 4, 3), "float32", "BatchMatMulOptions"))


def test_a_layer_on_a_table_trains(table_file, tmp_path):
    model = recovered(table_file)
    assert [tuple(weight.shape) for weight in model.trainable_weights] == [(5, 6), (6,)]
    source, _, *_ = tflrecover.generate(table_file, tmp_path / "table.py")
    assert "layers.Dense(6" in source.read_text(encoding="utf-8")
    assert_exact(table_file)


def test_a_bias_behind_a_sum_of_two_layers_trains():
    """A converter leaves it there where both layers have no bias of their own."""
    rng = np.random.default_rng(2)
    file = File()
    x, y = file.input((1, 4)), file.input((1, 3))
    products = [
        file.op("FULLY_CONNECTED", (value, file.const(rng.normal(size=(5, n)).astype("float32")), -1), (1, 5))
        for value, n in ((x, 4), (y, 3))
    ]
    total = file.op("ADD", products, (1, 5), options="AddOptions")
    bias = file.const(rng.normal(size=5).astype("float32"))
    content = file.content(file.op("ADD", (total, bias), (1, 5), options="AddOptions"))
    model = recovered(content)
    assert [tuple(weight.shape) for weight in model.trainable_weights] in (
        [(4, 5), (5,), (3, 5)],
        [(3, 5), (4, 5), (5,)],
    )
    assert_exact(content)
