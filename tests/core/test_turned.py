"""Files with their channels first at the ends, as PyTorch has them, and models with their channels last."""

import keras
import numpy as np
import pytest
from file_builders import run
from keras import layers as L
from layer_models import model
from porting import built, differences, file_without_names

import tflrecover
from tests.core.test_rewrite import Build
from tflrecover import tolerances


def net(x, *, last=True):
    y = L.ReLU()(L.BatchNormalization()(L.Conv2D(6, 3, strides=2, padding="same", use_bias=False)(x)))
    y = L.Concatenate()([y, L.DepthwiseConv2D(5, padding="same")(y)])
    return L.Conv2D(3, 1)(y) if last else L.Dense(4)(L.GlobalAveragePooling2D()(y))


def channels_last():
    return model(net, (8, 10, 4))


def channels_first():
    return model(lambda x: L.Permute((3, 1, 2))(net(L.Permute((2, 3, 1))(x))), (4, 8, 10))


def classifier_first():
    return model(lambda x: net(L.Permute((2, 3, 1))(x), last=False), (4, 8, 10))


def classifier_last():
    return model(lambda x: net(x, last=False), (8, 10, 4))


FIRST, LAST, MAP_FIRST, MAP_LAST = (1, 4, 8, 10), (1, 8, 10, 4), (1, 3, 4, 5), (1, 4, 5, 3)


def test_each_end_is_one_difference():
    assert differences(channels_first, channels_last) == [
        (None, "input layout", FIRST, LAST),
        (None, "output layout", MAP_FIRST, MAP_LAST),
    ]
    assert differences(channels_last, channels_first) == [
        (None, "input layout", LAST, FIRST),
        (None, "output layout", MAP_LAST, MAP_FIRST),
    ]
    assert differences(classifier_first, classifier_last) == [(None, "input layout", FIRST, LAST)]


def test_steps_are_told_from_channels():
    def steps(first):
        def function(x):
            return L.Dense(3)(L.Conv1D(5, 3)(L.Permute((2, 1))(x) if first else x))

        return lambda: model(function, (4, 9) if first else (9, 4))

    assert differences(steps(True), steps(False)) == [(None, "input layout", (1, 4, 9), (1, 9, 4))]


def test_the_message_is_the_fix():
    report = tflrecover.diff(file_without_names(classifier_first), built(classifier_last, 2))
    (difference,) = report.differences
    assert difference.message.startswith("put `keras.layers.Permute((2, 3, 1))` behind `keras.Input((4, 8, 10))`: ")
    report = tflrecover.diff(file_without_names(channels_first), built(channels_last, 2))
    assert "put `keras.layers.Permute((3, 1, 2))` before the output" in report.differences[1].message


def test_the_model_stays_and_one_around_it_is_ported():
    content, inner = file_without_names(channels_first), built(channels_last, 2)
    x = keras.Input((4, 8, 10))
    around = keras.Model(x, L.Permute((3, 1, 2))(inner(L.Permute((2, 3, 1))(x))))
    assert tflrecover.port(content, around).ok
    image = np.random.default_rng(3).normal(size=(1, 4, 8, 10)).astype("float32")
    (wanted,) = run(content, image)
    got = np.asarray(inner(np.moveaxis(image, 1, -1), training=False))
    assert np.abs(np.moveaxis(wanted, 1, -1) - got).max() <= tolerances.OUTPUT * np.abs(wanted).max()


def test_what_else_differs_is_told_beside_it():
    def wrong():
        return model(lambda x: L.Dense(4)(L.GlobalMaxPooling2D()(net(x))), (8, 10, 4))

    def right():
        return model(lambda x: L.Dense(4)(L.GlobalAveragePooling2D()(net(L.Permute((2, 3, 1))(x)))), (4, 8, 10))

    layout, other = differences(right, wrong)
    assert layout == (None, "input layout", FIRST, LAST)
    assert other[0] == "global_max_pooling2d"


def test_height_and_width_exchanged_are_another_input():
    (difference,) = differences(classifier_last, lambda: model(lambda x: net(x, last=False), (10, 8, 4)))
    assert difference == (None, "shape", LAST, (1, 10, 8, 4))


def test_the_model_is_not_touched():
    content, twin = file_without_names(channels_first), built(channels_last, 2)
    before = [np.asarray(v).copy() for v in twin.variables]
    with pytest.raises(tflrecover.PortError):
        tflrecover.port(content, twin)
    assert all(np.array_equal(a, b) for a, b in zip(before, twin.variables, strict=True))


def test_without_strictness_all_weights_are_copied():
    original, twin = built(channels_first, 1), built(channels_last, 2)
    tflrecover.port(file_without_names(channels_first), twin, strict=False)
    image = np.random.default_rng(3).normal(size=(1, 4, 8, 10)).astype("float32")
    wanted = np.asarray(original(image, training=False))
    got = np.moveaxis(np.asarray(twin(np.moveaxis(image, 1, -1), training=False)), -1, 1)
    assert np.abs(wanted - got).max() <= tolerances.OUTPUT * np.abs(wanted).max()


def test_two_models_are_told_apart_by_it():
    report = tflrecover.diff(built(classifier_first, 1), built(classifier_last, 1))
    (difference,) = report.differences
    assert difference.message == f"the input '{difference.tflite_name}' is {FIRST} in the first, {LAST} in the second"


def test_a_transposed_matrix_beside_one_example_of_matrices():
    """What has fewer axes than the result is broadcast; the batch stays in front."""
    b = Build((3, 2), (1, 2, 3))
    turned = b("TRANSPOSE", 0, b.const(np.int32([1, 0])), shape=(2, 3))
    text, graph = b.text(b("RELU", b("MUL", turned, 1, shape=(1, 2, 3)), shape=(1, 2, 3)))
    assert "MUL" in text.split()
    assert graph.values[graph.outputs[0]].shape == (1, 2, 3)
