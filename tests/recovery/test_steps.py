"""Layers over steps come back as such, whatever the converter made of them."""

import numpy as np
import pytest
import recurrent_models as recurrent
from keras import layers as L
from keras import ops

import tflrecover
from tests.recovery.recovering import kinds, recovered

SHAPE = (16, 4)


def gated(x):
    """Two convolutions with holes that look at the same steps, as in WaveNet."""
    a, b = (L.Conv1D(6, 2, dilation_rate=4, padding="causal", activation=name)(x) for name in ("tanh", "sigmoid"))
    return L.Conv1D(3, 1)(L.Multiply()([a, b]))


def in_turn(x):
    for rate in (1, 2):
        x = L.LeakyReLU()(L.Conv1D(6, 3, dilation_rate=rate, padding="causal")(x))
    return L.Concatenate()([L.MaxPooling1D(2)(x), L.AveragePooling1D(2)(x)])


def turned(x):
    """A rotation of the points' own, as in PointNet: a product in the middle of convolutions of one row."""
    matrix = L.Dense(x.shape[-1] ** 2)(L.GlobalMaxPooling1D()(L.Conv1D(5, 1, activation="relu")(x)))
    return L.Conv1D(6, 1)(ops.matmul(x, L.Reshape((x.shape[-1],) * 2)(matrix)))


NETWORKS = {
    "gated": (gated, ["Conv1D", "Conv1D", "Multiply", "Conv1D"]),
    "in_turn": (in_turn, ["Conv1D", "LeakyReLU", "Conv1D", "LeakyReLU"]),
    "strides": (lambda x: L.Conv1D(6, 3, strides=2, padding="same", use_bias=False)(x), ["Conv1D"]),
    "causal_strides": (lambda x: L.Conv1D(6, 3, strides=2, padding="causal")(x), ["Conv1D"]),
    "groups": (lambda x: L.Conv1D(6, 3, groups=2, activation="relu")(x), ["Conv1D"]),
    "depthwise": (lambda x: L.DepthwiseConv1D(3, depth_multiplier=2)(x), ["DepthwiseConv1D"]),
    "separable": (lambda x: L.SeparableConv1D(6, 3, padding="same")(x), ["SeparableConv1D"]),
    "transposed": (lambda x: L.Conv1DTranspose(6, 3, strides=2, padding="same")(x), ["Conv1DTranspose"]),
    "flat": (lambda x: L.Dense(3)(L.Flatten()(L.Conv1D(6, 3)(x))), ["Conv1D", "Flatten", "Dense"]),
}


IMAGE, VOLUME = (6, 5, 3), (2, 3, 4, 2)
REPEATED = {
    "steps": (lambda x: L.Conv1D(3, 3)(L.UpSampling1D(3)(L.Conv1D(8, 3)(x))), SHAPE, "UpSampling1D", 3),
    "images": (lambda x: L.Conv2D(3, 1)(L.UpSampling2D((2, 3))(L.Conv2D(8, 1)(x))), IMAGE, "UpSampling2D", (2, 3)),
    "columns": (lambda x: L.Conv2D(3, 1)(L.UpSampling2D((1, 2))(L.Conv2D(8, 1)(x))), IMAGE, "UpSampling2D", (1, 2)),
    "volumes": (lambda x: L.UpSampling3D((2, 1, 3))(L.Conv3D(8, 1)(x)), VOLUME, "UpSampling3D", (2, 1, 3)),
    "vectors": (lambda x: L.Conv1D(3, 1)(L.RepeatVector(4)(L.Dense(8)(x))), (6,), "RepeatVector", 4),
}


@pytest.mark.parametrize("batch", [None, 1])
@pytest.mark.parametrize("name", REPEATED)
def test_what_is_repeated_is_one_layer(name, batch):
    """Where the batch is fixed, a converter merges the reshapes between two axes that are repeated."""
    function, shape, kind, size = REPEATED[name]
    content = file_of(function, shape, batch)
    model = recovered(content)
    assert kinds(model).count(kind) == 1
    assert not {"Reshape", "Tile"} & set(kinds(model))
    (layer,) = (layer for layer in model.layers if type(layer).__name__ == kind)
    assert (layer.n if kind == "RepeatVector" else layer.size) == size
    assert tflrecover.port(content, model).ok


def test_the_last_step_is_repeated():
    """What gives it is a reshape in the file, and a layer only when the loop is one."""
    content = file_of(lambda x: L.GRU(3, return_sequences=True)(L.RepeatVector(4)(L.GRU(8)(x))), batch=1)
    model = recovered(content)
    assert kinds(model) == ["InputLayer", "GRU", "RepeatVector", "GRU"]
    assert tflrecover.port(content, model).ok


def file_of(function, shape=SHAPE, batch=None):
    return recurrent.convert(recurrent.randomize(recurrent.model(function, shape, batch=batch), 1), "builtin")


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_over_steps(name):
    function, wanted = NETWORKS[name]
    content = file_of(function)
    model = recovered(content)
    made = [
        kind for kind in kinds(model) if kind not in ("InputLayer", "MaxPooling1D", "AveragePooling1D", "Concatenate")
    ]
    assert made == wanted
    assert tflrecover.port(content, model).ok


def test_what_an_image_of_one_row_needs_stays():
    """Its axis of size 1 is an input's, and is made longer by the padding of another convolution."""
    given = file_of(lambda x: L.Conv2D(3, (1, 3), padding="same")(x), (1, 8, 2))
    assert kinds(recovered(given)) == ["InputLayer", "Conv2D"]
    taller = file_of(lambda x: L.Conv2D(3, 3)(L.ZeroPadding2D((2, 0))(L.Reshape((1, 16, 4))(x))))
    assert "Conv1D" not in kinds(recovered(taller))


def test_matrices_between_convolutions_over_steps():
    content = file_of(lambda x: turned(turned(x)), batch=1)
    model = recovered(content)
    assert kinds(model).count("Conv1D") == 4
    assert "Conv2D" not in kinds(model)
    assert tflrecover.port(content, model).ok


def test_the_bias_behind_holes_trains():
    model = recovered(file_of(gated))
    assert [len(layer.weights) for layer in model.layers if layer.weights] == [2, 2, 2]
    assert all(np.any(layer.bias) for layer in model.layers if layer.weights)


def frames(x):
    """What is done with each image of a sequence, before all of them are looked at."""
    x = L.TimeDistributed(L.Conv2D(4, 3, padding="same", activation="relu"))(x)
    x = L.TimeDistributed(L.Flatten())(L.TimeDistributed(L.MaxPooling2D())(x))
    return L.GRU(3, return_sequences=True)(x)


DISTRIBUTED = {
    "images": (frames, (3, 6, 6, 2), ["Conv2D", "MaxPooling2D", "Flatten"]),
    "vectors": (
        lambda x: L.TimeDistributed(L.Dense(4, activation="softmax"))(L.GRU(3, return_sequences=True)(x)),
        SHAPE,
        ["Dense"],
    ),
}


@pytest.mark.parametrize("name", DISTRIBUTED)
def test_what_is_done_with_each_step_is_one_layer(name, tmp_path):
    """A file has the layer once for each step."""
    function, shape, wanted = DISTRIBUTED[name]
    content = file_of(function, shape, batch=1)
    model = recovered(content)
    inner = [type(layer.layer).__name__ for layer in model.layers if isinstance(layer, L.TimeDistributed)]
    assert inner == wanted
    assert len(model.layers) == len(wanted) + 2
    assert tflrecover.port(content, model).ok
    source, *_ = tflrecover.generate(content, tmp_path / "made.py")
    assert source.read_text(encoding="utf-8").count("TimeDistributed") == len(wanted)


def test_steps_that_differ_are_none_of_one_layer():
    """One is made of another place, or by another kernel."""

    def other_places(x):
        dense = L.Dense(4)
        return ops.stack([dense(x[:, place]) for place in (0, 2, 1)], 1)

    def other_kernels(x):
        return ops.stack([L.Dense(4)(x[:, place]) for place in range(3)], 1)

    for function in (other_places, other_kernels):
        content = file_of(function, (3, 4), batch=1)
        model = recovered(content)
        assert "TimeDistributed" not in kinds(model)
        assert tflrecover.port(content, model).ok
