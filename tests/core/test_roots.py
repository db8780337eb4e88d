"""One planted fault is one root difference with the right name, and a network without one has none."""

import keras
import keras_models as zoo
import numpy as np
import pytest
from keras import layers as L
from keras import ops

import tflrecover


def root(build, right=None, **wrong):
    """The one difference between the file of a network and the same network with a fault."""
    file = zoo.convert(zoo.randomize(build(**(right or {})), 1))
    assert not tflrecover.diff(file, zoo.randomize(build(**(right or {})), 2)).differences
    (difference,) = tflrecover.diff(file, zoo.randomize(build(**{**(right or {}), **wrong}), 2)).differences
    return difference


def named(difference):
    return difference.kind, difference.keras_layer, difference.attribute


def square(data_format="channels_first"):
    # Where the width is the number of channels, Keras adds the bias along the width.
    image = keras.Input((6, 6, 6), name="image")
    x = L.Conv2D(6, 3, padding="same", data_format=data_format, name="first")(image)
    x = L.Conv2D(6, 3, padding="same", data_format="channels_first", name="second")(L.ReLU(name="relu")(x))
    return keras.Model(image, L.Dense(3, name="head")(L.Flatten(name="flat")(x)))


def test_channels_first_where_the_width_is_the_number_of_channels():
    difference = root(square, data_format="channels_last")
    assert named(difference) == ("attribute", "first", "data_format")


def shared_behind(merge=L.Add):
    image = keras.Input((6, 6, 4), name="image")
    conv = L.Conv2D(4, 3, padding="same", name="shared")
    a = L.Conv2D(4, 1, activation="relu", name="a")(image)
    b = L.Conv2D(4, 1, activation="tanh", name="b")(image)
    y = conv(merge(name="merge")([a, b]))
    return keras.Model(image, [L.ReLU(name="one")(y), L.Activation("tanh", name="two")(conv(a))])


def test_another_merge_before_a_shared_layer():
    """Its weights would make up for the half in one call, not in the other."""
    assert named(root(shared_behind, merge=L.Average)) == ("attribute", "merge", "layer")


@keras.saving.register_keras_serializable("roots")
class Positions(L.Layer):
    def build(self, shape):
        self.table = self.add_weight(shape=shape[1:], name="table")

    def call(self, x):
        return x + self.table


def vision(is_early=False):
    image = keras.Input((8, 8, 3), name="image")
    patches = L.Reshape((4, 8), name="tokens")(L.Conv2D(8, 4, strides=4, name="patches")(image))
    x = Positions(name="positions")(patches)
    y = L.LayerNormalization(name="norm")(x)
    y = L.MultiHeadAttention(2, 4, name="attention")(y, y)
    x = L.Add(name="residual")([patches if is_early else x, y])
    return keras.Model(image, L.Dense(3, name="head")(L.GlobalAveragePooling1D(name="pool")(x)))


def test_a_skip_from_before_the_positions():
    difference = root(vision, is_early=True)
    assert named(difference) == ("wiring", "residual", "inputs")
    assert "to 'positions'" in difference.message
    assert difference.keras_value == "'patches'"


def joined(is_joined=True, has_both=True):
    image = keras.Input((8, 8, 3), name="image")
    x = L.Conv2D(6, 3, activation="relu", name="stem")(image)
    a, b = L.Conv2D(4, 1, name="a")(x), L.Conv2D(4, 1, activation="tanh", name="b")(x)
    return keras.Model(image, L.Concatenate(name="joined")([a, b]) if is_joined else [a, b] if has_both else a)


@pytest.mark.parametrize(
    ("has_both", "advice"),
    [(True, "add Concatenate after 'a' and 'b'"), (False, "add Conv2D + tanh + Concatenate after 'stem'")],
)
def test_what_joins_two_outputs_is_missing(has_both, advice):
    difference = root(joined, is_joined=False, has_both=has_both)
    assert difference.kind == "missing"
    assert difference.message.startswith(advice)


def stack(count=3, kind=L.LSTM, unroll=False):
    x = steps = keras.Input((4, 5), batch_size=1, name="steps")
    for number in range(count):
        x = kind(6, return_sequences=number < count - 1, unroll=unroll, name=f"rnn{number}")(x)
    return keras.Model(steps, L.Dense(3, name="head")(x))


@pytest.mark.parametrize("kind", [L.LSTM, L.GRU])
@pytest.mark.parametrize("unroll", [False, True])
def test_a_recurrent_layer_too_few_or_too_many(kind, unroll):
    missing = root(stack, {"kind": kind, "unroll": unroll}, count=2)
    assert missing.kind == "missing"
    assert f"({kind.__name__})" in missing.message
    assert missing.message.startswith("add a layer like 'rnn")
    extra = root(stack, {"kind": kind, "unroll": unroll}, count=4)
    assert extra.kind == "extra"
    assert extra.message.startswith("remove layer 'rnn")


def activated(normalized=False, activation="relu"):
    image = keras.Input((8, 8, 3), name="image")
    x = L.Conv2D(4, 3, activation="relu", name="stem")(image)
    x = L.Conv2D(4, 3, padding="same", activation=activation, name="conv")(x)
    if normalized:
        x = L.ReLU(name="relu")(L.BatchNormalization(name="norm")(x))
    return keras.Model(image, L.Conv2D(2, 1, name="last")(L.MaxPooling2D(2, name="pool")(x)))


def test_an_activation_that_a_norm_and_its_own_stand_behind():
    """Of two activations alike the one is too many with which everything fits."""
    file = zoo.convert(zoo.randomize(activated(), 1))
    (difference,) = tflrecover.diff(file, zoo.randomize(activated(normalized=True), 2)).differences
    assert named(difference) == ("attribute", "conv", "activation")
    assert difference.tflite_value is None


def blocks(is_swapped=False, has_skip=True, causal=False):
    steps = keras.Input((6, 8), name="steps")

    def attend(x):
        y = L.LayerNormalization(name="norm_a")(x)
        return x + L.MultiHeadAttention(2, 4, name="attention")(y, y, use_causal_mask=causal)

    def convolve(x):
        y = L.Conv1D(16, 1, activation="silu", name="wide")(L.LayerNormalization(name="norm_b")(x))
        y = L.Conv1D(8, 1, name="narrow")(L.DepthwiseConv1D(3, padding="same", name="depthwise")(y))
        return x + y if has_skip else y

    x = L.Dense(8, name="start")(steps)
    x = attend(convolve(x)) if is_swapped else convolve(attend(x))
    return keras.Model(steps, L.Dense(3, name="head")(L.LayerNormalization(name="norm")(x)))


def test_two_blocks_in_the_other_order():
    difference = root(blocks, is_swapped=True)
    assert difference.kind == "wiring"
    assert difference.message.startswith("put the layers in the file's order: ")
    assert difference.consequences


def test_a_skip_that_moves_where_a_shape_is_changed():
    difference = root(blocks, has_skip=False)
    assert difference.kind == "missing"
    assert difference.message.startswith("add Add after ")


def test_a_causal_mask_that_the_file_has_not():
    difference = root(blocks, causal=True)
    assert named(difference) == ("attribute", "attention", "use_causal_mask")
    assert difference.tflite_value is False


def summary(last="slice"):
    steps = keras.Input((8, 4), name="steps")
    x = L.Conv1D(8, 3, padding="causal", activation="relu", name="conv")(steps)
    x = L.ReLU(name="relu")(L.Add(name="add")([x, L.Conv1D(8, 1, name="skip")(steps)]))
    x = x[:, -1, :] if last == "slice" else L.GlobalAveragePooling1D(name="pool")(x)
    return keras.Model(steps, L.Dense(3, name="head")(x))


def test_a_pool_in_the_place_of_the_last_step():
    assert named(root(summary, last="pool")) == ("attribute", "pool", "layer")


def spectrum(has_log=True, deviation=2.0):
    wave = keras.Input((6, 16), name="wave")
    filters = np.abs(np.random.default_rng(3).normal(size=(16, 5))).astype("float32")
    x = ops.matmul(ops.square(wave), filters)
    x = (ops.log(x + 1e-3) if has_log else x + 1e-3) - 0.3
    x = L.ReLU(name="relu")(x / deviation)
    return keras.Model(wave, L.Conv1D(3, 3, padding="same", name="conv")(x))


def test_a_function_is_missing_between_constants():
    difference = root(spectrum, has_log=False)
    assert difference.kind == "missing"
    assert difference.message.startswith("add keras.ops.log")


def test_a_divisor_behind_a_difference():
    """The offset is divided too, which is no fault of its own."""
    difference = root(spectrum, deviation=4.0)
    assert (difference.kind, difference.attribute) == ("constant", "divisor")
    assert (difference.tflite_value, difference.keras_value) == (2.0, 4.0)


def permuted(dims=(2, 4, 1, 3, 5)):
    image = keras.Input((4, 4, 6), name="image")
    x = L.Reshape((2, 2, 2, 2, 6), name="parts")(L.Conv2D(6, 1, activation="tanh", name="conv")(image))
    x = L.Reshape((4, 4, 6), name="tokens")(L.Permute(dims, name="turn")(x))
    return keras.Model(image, L.Dense(3, name="head")(L.ReLU(name="relu")(x)))


def test_a_permutation_is_told_as_the_argument():
    difference = root(permuted, dims=(4, 2, 1, 3, 5))
    assert named(difference) == ("attribute", "turn", "dims")
    assert (difference.tflite_value, difference.keras_value) == ((2, 4, 1, 3, 5), (4, 2, 1, 3, 5))


def towers(is_shared=True):
    def tower(name):
        steps = [keras.Input((6,)), L.Dense(8, activation="relu", name=f"{name}1"), L.Dense(4, name=f"{name}2")]
        return keras.Sequential(steps, name=name)

    one, two = keras.Input((6,), name="one"), keras.Input((6,), name="two")
    left = tower("left")
    right = left if is_shared else tower("right")
    apart = L.Subtract(name="apart")([left(one), right(two)])
    return keras.Model([one, two], L.Dense(2, name="head")(L.Activation("tanh", name="act")(apart)))


def test_a_shared_model_that_should_be_two():
    difference = root(towers, {"is_shared": False}, is_shared=True)
    assert difference.kind == "constant"
    assert difference.message.startswith("call a model of its own in the place of one of the 2 calls of model 'left'")


def levels(is_joined=True, data_format="channels_last"):
    image = keras.Input((8, 8, 3), name="image")
    x = L.Conv2D(6, 3, strides=2, activation="relu", padding="same", name="stem")(image)
    score, found = L.Conv2D(4, 3, padding="same", name="score"), []
    for level, features in (("a", x), ("b", L.Conv2D(6, 3, strides=2, padding="same", name="down")(x))):
        found.append(L.Reshape((-1, 2), name=f"scores_{level}")(score(features)))
    scores = L.Concatenate(axis=1, name="scores")(found) if is_joined else found[0]
    pooled = L.GlobalAveragePooling1D(data_format=data_format, name="pool")(L.Reshape((4, 24), name="rows")(x))
    return keras.Model(image, [L.Activation("sigmoid", name="probabilities")(scores), pooled])


def test_a_reshape_that_moves_behind_what_is_missing():
    difference = root(levels, is_joined=False)
    assert difference.kind == "missing"
    assert "Concatenate" in difference.message


def test_a_pool_over_the_channels():
    difference = root(levels, data_format="channels_first")
    assert named(difference) == ("attribute", "pool", "data_format")
    assert difference.tflite_value == "channels_last"


def gated(activation="hard_sigmoid"):
    x = image = keras.Input((6, 6, 4), name="image")
    gate = L.Conv2D(4, 1, activation=activation, name="gate")(x)
    return keras.Model(image, L.ReLU(name="relu")(L.Multiply(name="product")([x, gate])))


def test_a_function_with_a_factor_behind_in_another_model():
    first, second = (zoo.randomize(gated(name), 1) for name in ("hard_sigmoid", "sigmoid"))
    assert len(tflrecover.diff(first, second).differences) == 1
    assert len(tflrecover.diff(zoo.convert(first), zoo.convert(second)).differences) == 1


def ending(is_flat=True, resized=(8, 8)):
    image = keras.Input((12, 12, 3), name="image")
    x = L.CenterCrop(6, 6, name="crop")(L.Resizing(*resized, name="resize")(image) if resized else image)
    x = L.Conv2D(4, 3, name="stem")(x)
    x = L.Flatten(name="flat")(x) if is_flat else x
    x = L.Dense(6, name="trunk")(x)
    return keras.Model(image, L.Dense(3, name="head")(x))


def test_a_flatten_before_a_dense_layer():
    difference = root(ending, is_flat=False)
    assert difference.kind == "missing"
    assert "insert `layers.Flatten()`" in difference.message


def test_a_crop_of_the_middle_follows_what_it_is_taken_from():
    difference = root(ending, resized=None)
    assert (difference.kind, difference.tflite_type) == ("missing", "RESIZE_BILINEAR")


def flat_end(is_flat=True):
    image = keras.Input((4, 4, 3), name="image")
    x = L.Conv2D(3, 1, activation="softmax", name="head")(L.GlobalAveragePooling2D(keepdims=True, name="pool")(image))
    return keras.Model(image, L.Flatten(name="flat")(x) if is_flat else x)


def test_a_flatten_at_the_end_is_one_difference_with_its_output():
    assert root(flat_end, is_flat=False).kind == "missing"


def causal(merge=L.Add):
    steps = keras.Input((6, 4), name="steps")
    x = L.Conv1D(4, 2, padding="causal", activation="relu", name="first")(steps)
    y = L.Conv1D(4, 2, padding="causal", dilation_rate=2, activation="relu", name="second")(x)
    x = L.ReLU(name="act")(merge(name="merge")([x, y]))
    return keras.Model(steps, L.Dense(3, name="head")(x[:, -1]))


def test_a_concatenation_behind_which_steps_are_taken():
    assert named(root(causal, merge=L.Concatenate)) == ("attribute", "merge", "layer")


def attending(is_shared=False):
    steps = keras.Input((4, 6), name="steps")
    layers = [L.MultiHeadAttention(2, 3, name=name) for name in ("first", "first" if is_shared else "second")]
    layers = layers[:1] * 2 if is_shared else layers
    x = L.ReLU(name="act")(layers[0](steps, steps))
    return keras.Model(steps, L.Dense(3, name="head")(layers[1](x, x)))


def test_shared_attention_that_should_be_two():
    difference = root(attending, is_shared=True)
    assert (difference.kind, difference.keras_layer) == ("constant", "first")
    assert difference.message.startswith("call a layer of its own in the place of one of the 2 calls of layer 'first'")


def batched(size=8):
    image = keras.Input((size, size, 3), name="image")
    x = ops.reshape(L.Conv2D(4, 1, name="stem")(image), (-1, 16, 4))
    x = ops.matmul(ops.softmax(ops.matmul(x, ops.transpose(x, (0, 2, 1))), axis=-1), x)
    return keras.Model(image, L.Dense(3, name="head")(x))


def test_a_product_for_each_of_several_is_that_of_one():
    difference = root(batched, {"size": 4}, size=8)
    assert (difference.kind, difference.attribute) == ("shape", "shape")


def crossed(is_wide=True):
    query, memory = keras.Input((4, 6), name="query"), keras.Input((5, 7), name="memory")
    x = L.LayerNormalization(name="norm")(query)
    y = x if is_wide else L.Dense(5, name="surplus")(x)
    y = L.Add(name="sum")([y, L.MultiHeadAttention(2, 3, name="attention")(y, memory)])
    return keras.Model([query, memory], L.Dense(3, name="head")(y))


def test_a_layer_too_many_whose_pair_is_another():
    """What attention is made of was made for the other width, and is made anew with it."""
    (difference,) = tflrecover.diff(zoo.convert(zoo.randomize(crossed(), 1)), crossed(is_wide=False)).differences
    assert (difference.kind, difference.keras_layer) == ("extra", "surplus")


def twins(has_both=True):
    one, two = keras.Input((8, 8, 3), name="one"), keras.Input((8, 8, 3), name="two")
    first = L.Conv2D(3, 3, activation="relu", name="first")
    second = L.Conv2D(4, 3, activation="relu", name="second")
    ends = [second(first(x) if has_both else x) for x in (one, two)]
    x = L.GlobalMaxPooling2D(name="pool")(L.Subtract(name="apart")(ends))
    return keras.Model([one, two], L.Dense(3, name="head")(x))


def test_what_is_missing_in_front_of_each_call_of_a_layer():
    assert root(twins, has_both=False).kind == "missing"
