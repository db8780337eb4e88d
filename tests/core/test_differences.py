"""One planted fault, one root difference, named in Keras's terms."""

import keras
import keras_models as zoo
import pytest
from keras import layers

import tflrecover
from tests.core.lite import converted
from tests.core.porting import built, file_without_names

FAULTS = [
    ({"pool_size": 3}, "attribute", "pool", "pool_size", (2, 2), (3, 3)),
    ({"kernel_size": 5}, "attribute", "depthwise", "kernel_size", (3, 3), (5, 5)),
    ({"activation": "tanh"}, "attribute", "act", "activation", "relu", "tanh"),
    ({"filters": 12}, "attribute", "down", "filters", 8, 12),
    ({"merge": layers.Multiply}, "attribute", "merge", "layer", "Add", "Multiply"),
    ({"extra": True}, "extra", "surplus", None, None, None),
]


@pytest.mark.parametrize(("fault", "kind", "layer", "attribute", "mine", "theirs"), FAULTS)
def test_fault_is_the_only_root(fault, kind, layer, attribute, mine, theirs):
    report = tflrecover.diff(zoo.file_of("plain"), zoo.plain(**fault))
    assert [d.kind for d in report.differences] == [kind]
    (difference,) = report.differences
    assert difference.keras_layer == layer
    assert (difference.attribute, difference.tflite_value, difference.keras_value) == (attribute, mine, theirs)
    assert layer in difference.message


def test_missing_skip_is_one_missing_operator():
    report = tflrecover.diff(zoo.file_of("plain"), zoo.plain(skip=False))
    (difference,) = report.differences
    assert difference.kind == "missing"
    assert difference.tflite_type == "ADD"


def test_missing_layer_before_another_of_its_kind():
    """The one that is left is known by what is written of it, not by standing where the missing one did."""

    def make(*, whole):
        inputs = keras.Input((8, 8, 3))
        x = layers.Conv2D(6, 3, activation="relu", name="first")(inputs)
        x = layers.Conv2D(8, 3, padding="same", activation="relu", name="middle")(x) if whole else x
        return keras.Model(inputs, layers.Conv2D(2, 1, activation="sigmoid", name="last")(x))

    (difference,) = tflrecover.diff(zoo.convert(zoo.randomize(make(whole=True), 1)), make(whole=False)).differences
    assert difference.kind == "missing"
    assert difference.message.startswith("add Conv2D + relu after 'first'")


def pyramid(*, middle=True, activation="silu", pool=True):
    """Two levels of features, and a tower for both."""
    image = keras.Input((16, 16, 3), name="image")
    stem = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu6", name="stem")(image)
    fine = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="fine")(stem) if middle else stem
    coarse = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu", name="coarse")(fine)
    tower = layers.Conv2D(4, 3, padding="same", activation=activation, name="tower")
    rows = []
    for name, features in (("coarse", layers.Conv2D(4, 1, name="top")(coarse)), ("fine", fine)):
        y = tower(features)
        y = layers.MaxPooling2D(1, strides=2, name=f"pool_{name}")(y) if pool else y
        y = layers.Conv2D(5, 3, padding="same", name=f"head_{name}")(y)
        rows.append(layers.Reshape((-1, 5), name=f"rows_{name}")(y))
    return keras.Model(image, layers.Concatenate(axis=1, name="rows")(rows))


def test_missing_layer_before_one_that_what_follows_would_fit():
    """Pairs found from the start and from the end must go together, though other sizes come out of it all."""
    file = zoo.convert(zoo.randomize(pyramid(), 1))
    (difference,) = tflrecover.diff(file, pyramid(middle=False)).differences
    assert (difference.kind, difference.tflite_type) == ("missing", "CONV_2D")
    assert difference.message.startswith("add Conv2D + relu after 'stem'")


def test_what_a_shared_layer_lacks_is_lacking_once():
    file = zoo.convert(zoo.randomize(pyramid(), 1))
    (difference,) = tflrecover.diff(file, pyramid(activation=None)).differences
    assert difference.message.startswith("add silu after 'tower'")
    (again,) = difference.consequences
    assert again.message.startswith("add silu after 'tower'")
    assert difference.tflite_op != again.tflite_op


def test_a_missing_norm_leaves_the_activation_behind_it():
    """A group norm's shape is left behind the activation, of which no operator is paired then."""

    def make(*, norm):
        x = inputs = keras.Input((6, 6, 3))
        x = layers.Conv2D(8, 3, padding="same", name="conv")(x)
        x = layers.GroupNormalization(2, name="norm")(x) if norm else x
        x = layers.Activation("mish", name="act")(x)
        return keras.Model(inputs, layers.Conv2D(2, 3, name="last")(x))

    (difference,) = tflrecover.diff(zoo.convert(zoo.randomize(make(norm=True), 1)), make(norm=False)).differences
    assert difference.kind == "missing"
    assert "after 'conv'" in difference.message


def test_a_skip_from_in_front_of_a_norm_is_why_the_norm_is_not_in_the_weights():
    def make(*, wrong):
        inputs = keras.Input((6, 6, 4))
        x = start = layers.ReLU(name="start")(inputs)
        x = conv = layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv")(x)
        x = layers.BatchNormalization(name="norm")(x)
        x = layers.Conv2D(4, 1, name="point")(layers.ReLU(name="relu")(x))
        x = layers.Add(name="add")([x, conv if wrong else start])
        return keras.Model(inputs, layers.Conv2D(2, 3, name="last")(layers.ReLU(name="end")(x)))

    (difference,) = tflrecover.diff(zoo.convert(zoo.randomize(make(wrong=False), 1)), make(wrong=True)).differences
    assert (difference.kind, difference.keras_layer, difference.attribute) == ("wiring", "add", "inputs")
    assert "to 'start'" in difference.message
    followers = {(follower.kind, follower.keras_layer) for follower in difference.consequences}
    assert followers == {("attribute", "conv"), ("extra", "norm")}


def test_steps_that_a_missing_pool_leaves_follow_from_it():
    def make(*, pool):
        inputs = keras.Input((8, 3), batch_size=1)
        x = layers.Conv1D(4, 3, padding="same", name="conv")(inputs)
        x = layers.MaxPooling1D(2, name="pool")(x) if pool else x
        return keras.Model(inputs, layers.SimpleRNN(3, unroll=True, name="steps")(x))

    (difference,) = tflrecover.diff(zoo.convert(zoo.randomize(make(pool=True), 1)), make(pool=False)).differences
    assert (difference.kind, difference.tflite_type) == ("missing", "MAX_POOL_2D")
    assert "extra" in [follower.kind for follower in difference.consequences]


def test_layer_that_should_be_two_is_one_difference():
    def make(*, shared):
        inputs = keras.Input((6, 8))
        first = layers.Dense(8, activation="tanh", name="first")
        second = first if shared else layers.Dense(8, activation="tanh", name="second")
        return keras.Model(inputs, second(first(inputs)))

    (difference,) = tflrecover.diff(zoo.convert(zoo.randomize(make(shared=False), 1)), make(shared=True)).differences
    assert (difference.kind, difference.keras_layer) == ("constant", "first")
    assert difference.message.startswith("call a layer of its own in the place of one of the 2 calls of layer 'first'")


def test_outputs_in_another_order_are_one_difference():
    def build(*order):
        inputs = keras.Input((8,), name="x")
        heads = [layers.Dense(4, activation=kind, name=kind)(inputs) for kind in ("relu", "tanh", "sigmoid")]
        return keras.Model(inputs, [heads[i] for i in order])

    file = zoo.convert(zoo.randomize(build(0, 1, 2), 1))
    (difference,) = tflrecover.diff(file, build(1, 2, 0)).differences
    assert (difference.kind, difference.attribute) == ("wiring", "outputs")
    assert "output 0 must be that of 'relu', output 1 must be that of 'tanh'" in difference.message
    (released,) = tflrecover.diff(file, zoo.convert(zoo.randomize(build(1, 2, 0), 1))).differences
    assert released.message == "the second has its outputs 0, 1, 2 in another order than the first"


def test_clean_model_has_no_difference():
    report = tflrecover.diff(zoo.file_of("plain"), zoo.plain())
    assert report.ok
    assert not report.differences


def test_wanted_difference_is_accepted():
    mapping = {"tflrecover": 1, "accept": [{"layer": "pool", "attribute": "pool_size"}]}
    report = tflrecover.diff(zoo.file_of("plain"), zoo.plain(pool_size=3), mapping)
    assert report.ok
    assert report.differences[0].accepted


def test_same_padding_equals_valid_where_the_numbers_are_equal():
    import keras

    def build(padding):
        inputs = keras.Input((8, 8, 3))
        return keras.Model(inputs, layers.MaxPooling2D(2, padding=padding)(layers.Conv2D(4, 1)(inputs)))

    assert tflrecover.diff(zoo.convert(zoo.randomize(build("same"), 1)), build("valid")).ok


def test_other_input_size_is_the_root():
    import keras

    def build(size):
        inputs = keras.Input((size, size, 3), name="image")
        return keras.Model(inputs, layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, name="conv")(inputs)))

    report = tflrecover.diff(zoo.convert(zoo.randomize(build(8), 1)), build(12))
    (difference,) = report.differences
    assert (difference.kind, difference.tflite_value, difference.keras_value) == ("shape", (1, 8, 8, 3), (1, 12, 12, 3))


def small(use_bias=True, factor=2.0, slope=0.3):
    import keras

    inputs = keras.Input((6, 6, 3))
    x = layers.LeakyReLU(slope, name="leaky")(layers.Conv2D(4, 3, use_bias=use_bias, name="conv")(inputs))
    x = layers.Lambda(lambda t: t * factor, name="scale")(layers.ReLU()(x))
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x))


@pytest.mark.parametrize(
    ("fault", "kind", "layer", "attribute", "mine", "theirs"),
    [
        ({"use_bias": False}, "attribute", "conv", "use_bias", True, False),
        ({"factor": 3.0}, "constant", "scale", "scale", 2.0, 3.0),
        ({"slope": 0.2}, "attribute", "leaky", "negative_slope", 0.3, 0.2),
    ],
)
def test_constant_is_told_with_its_values(fault, kind, layer, attribute, mine, theirs):
    file = zoo.convert(zoo.randomize(small(), 1))
    (d,) = tflrecover.diff(file, small(**fault)).differences
    assert (d.kind, d.keras_layer, d.attribute) == (kind, layer, attribute)
    assert (d.tflite_value, d.keras_value) == (mine, theirs)
    assert ("or insert the BatchNormalization" in d.message) is (attribute == "use_bias")
    assert tflrecover.diff(file, small()).ok


def test_one_slope_for_all_channels_is_told():
    def slopes(axes):
        return keras.Sequential([keras.Input((4, 4, 3)), layers.PReLU(shared_axes=axes, name="slopes")])

    report = tflrecover.diff(file_without_names(lambda: slopes([1, 2, 3])), built(lambda: slopes([1, 2]), 2))
    (difference,) = report.differences
    assert (difference.attribute, difference.tflite_value) == ("shared_axes", (1, 2, 3))
    (shape,) = difference.consequences
    assert "slopes/alpha has shape (1, 1, 3), the file's weight (1, 1, 1)" in shape.message


def test_what_tensorflow_runs_is_compared_as_the_operator_that_it_is():
    import tensorflow as tf

    def build(pool_size):
        inputs = keras.Input((4, 6, 6, 2), name="volume")
        x = layers.MaxPooling3D(pool_size, name="pool")(layers.Conv3D(2, 1)(inputs))
        # TFLite has neither of them, and we have no spec for the second.
        return keras.Model(inputs, layers.Lambda(tf.math.tan, name="tan")(layers.ReLU()(x)))

    converter = tf.lite.TFLiteConverter.from_keras_model(zoo.randomize(build(2), 1))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    file = converted(converter)
    assert tflrecover.diff(file, build(2)).ok
    (difference,) = tflrecover.diff(file, build((2, 3, 2))).differences
    assert (difference.keras_layer, difference.attribute) == ("pool", "pool_size")
    assert (difference.tflite_value, difference.keras_value) == ((2, 2, 2), (2, 3, 2))
