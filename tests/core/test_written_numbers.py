"""Numbers in the code of a model before a layer that could make up for them: the file says what somebody wrote."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L
from porting import assert_ports, assert_refused, built, differences, file_without_names

import tflrecover

MEAN, VARIANCE = (0.485, 0.456, 0.406), (0.05, 0.06, 0.07)


def image(*before):
    x = inputs = keras.Input((8, 8, 3), name="image")
    for function in before:
        x = function(x)
    return keras.Model(inputs, L.Conv2D(4, 4, strides=4, activation="relu", name="patch")(x))


def normalized(mean=MEAN, variance=VARIANCE):
    return image(L.Normalization(mean=list(mean), variance=list(variance), name="norm"))


@pytest.mark.parametrize(("argument", "wrong"), [("mean", (0.5,) * 3), ("variance", (0.06,) * 3)])
def test_a_normalization_of_other_numbers_is_told(argument, wrong):
    ((layer, attribute, mine, theirs),) = differences(normalized, lambda: normalized(**{argument: wrong}))
    assert (layer, attribute, theirs) == ("norm", argument, wrong)
    assert np.allclose(mine, {"mean": MEAN, "variance": VARIANCE}[argument], rtol=1e-5)


SHIFT = np.array(MEAN, "float32")
# What the converter takes into the convolution is in no number of the file.
FOLDED = {
    "a factor behind an offset": lambda factor: image(lambda x: (x - SHIFT) * factor),
    "a factor behind factors": lambda factor: image(lambda x: x * SHIFT * factor),
    "an offset behind factors": lambda offset: image(lambda x: x * SHIFT + offset),
}


@pytest.mark.parametrize("case", FOLDED)
def test_what_the_weights_have_taken_in_is_no_difference(case):
    assert_ports(lambda: FOLDED[case](0.5), lambda: FOLDED[case](0.25))


def test_an_offset_is_told_in_the_scale_of_the_model():
    """The file has it before the factor that the convolution has taken in."""
    ((_, attribute, mine, theirs),) = differences(
        lambda: image(lambda x: (x - SHIFT) * 0.5), lambda: image(lambda x: (x - SHIFT[::-1]) * 0.5)
    )
    assert attribute == "offset"
    assert np.allclose(mine, -0.5 * SHIFT)
    assert np.allclose(theirs, -0.5 * SHIFT[::-1])


def attention(before=None, behind=None):
    """Scores that are scaled before the product, where the projection takes it in, or behind."""
    steps = keras.Input((6, 8), name="steps")
    query, key, value = (L.Dense(8, name=name)(steps) for name in ("query", "key", "value"))
    query = query if before is None else query * before
    scores = keras.ops.matmul(query, keras.ops.transpose(key, (0, 2, 1)))
    scores = L.Softmax(name="softmax")(scores if behind is None else scores * behind)
    return keras.Model(steps, keras.ops.matmul(scores, value))


def test_a_scale_that_the_model_has_nowhere_is_missing():
    report = tflrecover.diff(file_without_names(lambda: attention(behind=0.35)), built(attention, 2))
    (difference,) = report.differences
    assert difference.message.startswith("add Rescaling after 'matmul': ")
    assert difference.message.endswith("insert `layers.Rescaling(scale=0.35)`")


@pytest.mark.parametrize(("right", "wrong"), [({"behind": 0.35}, {"before": 0.35}), ({"before": 0.35}, {})])
def test_a_scale_that_may_be_within_the_weights_is_no_difference(right, wrong):
    assert_ports(lambda: attention(**right), lambda: attention(**wrong))


class Mel(L.Layer):
    """As audio classifiers have it in front: the bands of a spectrum, which the code computes."""

    def __init__(self, highest, **options):
        super().__init__(**options)
        self.highest = highest

    def call(self, x):
        bank = tf.signal.linear_to_mel_weight_matrix(64, 257, 16000, 125.0, self.highest)
        return tf.math.log(tf.tensordot(tf.abs(x), bank, 1) + 1e-3)


def heard(highest=7500.0):
    x = keras.Input((4, 257))
    return keras.Model(x, L.Dense(3)(Mel(highest)(x)))


def test_a_filter_bank_is_the_one_that_tensorflow_computes():
    assert_ports(heard)
    assert_refused(heard, lambda: heard(7501.0))
