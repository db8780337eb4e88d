"""One planted fault is one root difference: networks over steps, and blocks that many networks are made of."""

from functools import partial

import keras
import keras_models as zoo
import pytest
from keras import layers as L
from keras import ops
from porting import differences

import tflrecover
from tests.core.test_roots import named, root


def separable(norm=L.BatchNormalization, last=lambda: L.LayerNormalization(epsilon=1e-5, name="last")):
    steps = keras.Input((12, 8), name="steps")
    x = L.DepthwiseConv1D(5, padding="same", name="depthwise")(steps)
    x = L.Dense(8, name="wide")(L.Activation("silu", name="act")(norm(name="norm")(x)))
    return keras.Model(steps, L.Dense(3, name="head")(last()(x)))


def test_who_only_reshapes_before_a_norm_is_not_too_many():
    difference = root(separable, norm=L.LayerNormalization)
    assert named(difference) == ("extra", "norm", None)
    assert difference.layers == ("norm",)


def test_a_norm_of_another_class_with_an_epsilon_of_its_own():
    difference = root(separable, last=lambda: L.RMSNormalization(name="last"))
    assert named(difference) == ("attribute", "last", "layer")
    assert difference.message.startswith("use `layers.LayerNormalization(epsilon=1e-05)` instead of ")


def residual(first=(1, 2), pooled=False, kernels=((1, 3), (3, 1))):
    x = image = keras.Input((16, 16, 3), name="image")
    for number, kernel in enumerate(kernels):
        x = L.Conv2D(6, kernel, padding="same", activation="tanh", name=f"stem{number}")(x)
    y = x
    for name, size, steps in zip("ab", (1, 3), first, strict=True):
        y = L.Conv2D(8, size, strides=steps, padding="same", name=name)(y)
        y = L.ReLU(name=f"relu_{name}")(L.BatchNormalization(name=f"norm_{name}")(y))
    x = L.AveragePooling2D(2, name="pool")(x) if pooled else x
    x = L.Conv2D(8, 1, strides=1 if pooled else 2, name="shortcut")(x)
    x = L.ReLU(name="relu")(L.Add(name="add")([x, L.Conv2D(8, 1, name="c")(y)]))
    return keras.Model(image, L.Dense(3, name="head")(L.GlobalAveragePooling2D(name="mean")(x)))


def test_strides_at_another_convolution_of_the_block():
    difference = root(residual, first=(2, 1))
    assert named(difference) == ("attribute", "a", "strides")
    assert difference.message.startswith("exchange `strides` of layers 'a' and 'b': the file has (1, 1) at ")


def test_kernels_in_the_other_order():
    difference = root(residual, kernels=((3, 1), (1, 3)))
    assert difference.message.startswith("exchange `kernel_size` of layers 'stem0' and 'stem1': ")


def test_a_pool_that_makes_the_steps_of_a_convolution():
    extra = root(residual, pooled=True)
    assert (extra.kind, extra.keras_layer) == ("extra", "pool")
    advice = "remove layer 'pool' (AveragePooling2D) and set `strides=(2, 2)` on layer 'shortcut': "
    assert extra.message.startswith(advice)
    missing = root(residual, {"pooled": True}, pooled=False)
    assert missing.kind == "missing"
    assert missing.message.startswith("add AveragePooling2D after 'stem1' and set `strides=(1, 1)` on layer 'shortcut'")
    assert missing.message.endswith(": insert `layers.AveragePooling2D(pool_size=2)`")


def rows(is_turned=False, is_swapped=False):
    steps = keras.Input((6, 8), name="steps")
    a, b = ops.split(L.Dense(8, activation="relu", name="gates")(steps), 2, axis=-1)
    a, b = (b, a) if is_swapped else (a, b)
    x = L.Dense(8, activation="tanh", name="wide")(L.Multiply(name="gated")([a, L.Activation("tanh", name="gate")(b)]))
    x = L.Reshape((6, 2, 4) if is_turned else (6, 4, 2), name="parts")(x)
    x = L.Permute((1, 3, 2), name="turned")(x) if is_turned else x
    x = L.Softmax(name="shares")(x)
    return keras.Model(steps, L.Dense(3, name="head")(L.Flatten(name="flat")(x)))


def test_axes_that_are_made_in_the_other_order_and_turned():
    difference = root(rows, is_turned=True)
    assert (difference.kind, difference.keras_layer) == ("extra", "turned")
    advice = "remove layer 'turned' (Permute) and set `target_shape=(6, 4, 2)` on layer 'parts': "
    assert difference.message.startswith(advice)


def test_parts_of_one_value_are_told_apart():
    difference = root(rows, is_swapped=True)
    assert difference.kind == "wiring"
    assert "x[:, :, 4:] of 'split" in difference.message
    assert "takes x[:, :, :4] of 'split" in difference.message


def headed(is_turned=True):
    steps = keras.Input((6, 8), name="steps")
    q, k, v = (ops.transpose(L.Reshape((6, 2, 4))(L.Dense(8, name=name)(steps)), (0, 2, 1, 3)) for name in "qkv")
    x = ops.matmul(ops.softmax(ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) * 0.5), v)
    x = ops.reshape(ops.transpose(x, (0, 2, 1, 3)) if is_turned else x, (-1, 6, 8))
    return keras.Model(steps, L.Dense(3, name="head")(x))


def test_heads_that_are_merged_without_a_transpose():
    difference = root(headed, is_turned=False)
    assert difference.message.startswith("put `keras.ops.moveaxis(x, (-2, -3), (-3, -2))` behind layer 'matmul_")


def embedded(has_norm=True):
    steps = keras.Input((6, 8), name="steps")
    x = L.Dense(8, name="embed")(steps)
    x = L.LayerNormalization(name="first")(x) if has_norm else x
    y = L.Dense(8, activation="relu", name="wide")(L.LayerNormalization(name="second")(x))
    return keras.Model(steps, L.Dense(3, name="head")(L.Add(name="add")([x, y])))


def test_the_first_of_two_norms_in_a_row_is_missing():
    """Seen from the start it is the second one, and the sum takes the wrong value."""
    difference = root(embedded, has_norm=False)
    assert difference.kind == "missing"
    assert difference.message.startswith("add a layer like 'second' (LayerNormalization) after 'embed'")


def pyramid(steps=1):
    image = keras.Input((8, 8, 3), name="image")
    x = L.Conv2D(4, 3, strides=steps, padding="same", activation="relu", name="stem")(image)
    y = L.Conv2D(4, 1, activation="relu", name="pooled")(L.GlobalAveragePooling2D(keepdims=True, name="pool")(x))
    y = L.UpSampling2D(x.shape[1:3], interpolation="bilinear", name="up")(y)
    return keras.Model(image, L.Conv2D(2, 1, name="head")(L.Concatenate(name="join")([x, y])))


def test_what_is_brought_to_the_size_of_others_follows_them():
    assert named(root(pyramid, steps=2)) == ("attribute", "stem", "strides")


POOLS = {"mean": L.GlobalAveragePooling1D, "max": L.GlobalMaxPooling1D, "flat": L.Flatten}


def pooled_steps(pool):
    inputs = keras.Input((16, 8), name="steps")
    x = L.MaxPooling1D(2, name="halved")(L.Conv1D(8, 3, activation="relu", name="conv")(inputs))
    return keras.Model(inputs, L.Dense(3, activation="softmax", name="head")(POOLS[pool](name="pool")(x)))


@pytest.mark.parametrize(("right", "wrong"), [("mean", "flat"), ("flat", "mean"), ("flat", "max")])
def test_steps_that_are_flattened_or_pooled(right, wrong):
    """The axis that a window over steps has too much is gone in the same reshape."""
    ((layer, attribute, mine, theirs),) = differences(partial(pooled_steps, right), partial(pooled_steps, wrong))
    assert (layer, attribute) == ("pool", "layer")
    assert (mine, theirs) == (POOLS[right].__name__, POOLS[wrong].__name__)


def test_what_is_an_argument_already_leaves_the_trials_to_others():
    def build(activation="relu", epsilon=1e-3):
        x = inputs = keras.Input((8,), name="numbers")
        for number in range(4):
            y = L.Activation(activation, name=f"act{number}")(L.Dense(8 + number, name=f"wide{number}")(x))
            x = L.Add()([x, L.Dense(8)(y)])
        return keras.Model(inputs, L.Dense(3, name="head")(L.LayerNormalization(epsilon=epsilon, name="norm")(x)))

    file = zoo.convert(zoo.randomize(build(), 1))
    differences = tflrecover.diff(file, build("silu", 1e-5)).differences
    assert [named(difference) for difference in differences] == [
        *(("attribute", f"act{number}", "activation") for number in range(4)),
        ("attribute", "norm", "epsilon"),
    ]
