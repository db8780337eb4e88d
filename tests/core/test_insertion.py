"""What is missing is told with the lines to insert."""

import keras
import keras_models as zoo
import numpy as np
import pytest
import recurrent_models as recurrent
from keras import layers as L

import tflrecover


def image(function, batch_size=None):
    inputs = keras.Input((16, 16, 4), batch_size=batch_size)
    x = function(L.Conv2D(8, 3, padding="same", activation="relu", name="before")(inputs))
    x = L.Conv2D(8, 3, padding="same", activation="tanh", name="behind")(x)
    return keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling2D()(x)))


def steps(function, batch_size=1):
    # A loop is a WHILE where the batch is fixed.
    inputs = keras.Input((12, 8), batch_size=batch_size)
    x = function(L.Dense(8, activation="relu", name="before")(inputs))
    x = L.Dense(8, activation="tanh", name="behind")(x)
    return keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling1D()(x)))


def excite(x):
    y = L.Conv2D(2, 1, activation="relu")(L.GlobalAveragePooling2D(keepdims=True)(x))
    return L.Multiply()([x, L.Conv2D(8, 1, activation="sigmoid")(y)])


# Each is built anew: of the layer, what is written.
CASES = {
    "rescaling": (
        image,
        lambda x: L.Rescaling(1 / 127.5, offset=-1)(x),
        "`layers.Rescaling(scale=1 / 127.5, offset=-1)`",
    ),
    "pool": (
        image,
        lambda x: L.AveragePooling2D(3, 2, "same")(x),
        '`layers.AveragePooling2D(pool_size=3, strides=2, padding="same")`',
    ),
    "slope": (image, lambda x: L.LeakyReLU(0.15)(x), "`layers.LeakyReLU(negative_slope=0.15)`"),
    "resize": (
        image,
        lambda x: L.UpSampling2D(2, interpolation="bilinear")(x),
        '`layers.UpSampling2D(interpolation="bilinear")`',
    ),
    "groups": (image, lambda x: L.GroupNormalization(4)(x), "`layers.GroupNormalization(groups=4, epsilon=0.001)`"),
    "excite": (
        image,
        excite,
        "`y = layers.GlobalAveragePooling2D(keepdims=True)(x)`, then "
        '`y = layers.Conv2D(filters=2, kernel_size=1, activation="relu")(y)`, then '
        '`y = layers.Conv2D(filters=8, kernel_size=1, activation="sigmoid")(y)`, then `x = layers.Multiply()([x, y])`',
    ),
    "norm": (steps, lambda x: L.LayerNormalization(epsilon=1e-5)(x), "`layers.LayerNormalization(epsilon=1e-05)`"),
    "steps": (
        steps,
        lambda x: L.Conv1D(8, 3, padding="causal", activation="relu")(x),
        '`layers.Conv1D(filters=8, kernel_size=3, padding="causal", activation="relu")`',
    ),
    "loop": (
        steps,
        lambda x: L.LSTM(8, return_sequences=True)(x),
        "`layers.LSTM(units=8, return_sequences=True)`",
    ),
    "attention": (
        steps,
        lambda x: L.Add()([x, L.MultiHeadAttention(2, 4)(x, x)]),
        "`y = layers.MultiHeadAttention(num_heads=2, key_dim=4)(x, x)`, then `x = layers.Add()([x, y])`",
    ),
}


def message(network, function):
    content = zoo.convert(zoo.randomize(network(function), 1))
    (difference,) = tflrecover.diff(content, network(lambda x: x)).differences
    return difference.message


@pytest.mark.parametrize(("network", "layer", "written"), CASES.values(), ids=list(CASES))
def test_layers_that_are_missing_are_written(network, layer, written):
    assert message(network, layer).endswith(f"the model has nothing for it: insert {written}")


@pytest.mark.parametrize(
    ("case", "name"),
    {"norm": "LayerNormalization", "groups": "GroupNormalization", "loop": "LSTM"}.items(),
)
def test_what_is_several_operators_is_named_as_the_layer_that_it_is(case, name):
    network, layer, _ = CASES[case]
    assert message(network, layer).startswith(f"add {name} after 'before': the file has ")


@pytest.mark.parametrize("case", ["norm", "groups", "loop"])
def test_what_stands_in_the_place_of_another_layer_is_written(case):
    network, layer, written = CASES[case]
    content = zoo.convert(zoo.randomize(network(layer), 1))
    (difference,) = tflrecover.diff(content, network(lambda x: L.Activation("sigmoid", name="there")(x))).differences
    assert difference.tflite_value == written.removeprefix("`layers.").partition("(")[0]
    assert difference.message.startswith(f"use {written} instead of sigmoid at layer 'there': the file has ")


@pytest.mark.parametrize(
    ("layer", "written"),
    [
        (lambda: L.GRU(8, return_sequences=True), "`layers.GRU(units=8, return_sequences=True)`"),
        (
            lambda: L.Bidirectional(L.LSTM(4, return_sequences=True)),
            "`layers.Bidirectional(layer=layers.LSTM(units=4, return_sequences=True))`",
        ),
    ],
    ids=["loop", "two loops"],
)
def test_loop_over_a_list_is_written(layer, written):
    """What it begins with, and what makes the list, are no canonical operators."""
    content = recurrent.convert(zoo.randomize(steps(lambda x: layer()(x), batch_size=None), 1), "flex")
    (difference,) = tflrecover.diff(content, steps(lambda x: x, batch_size=None)).differences
    assert difference.message.endswith(f"the model has nothing for it: insert {written}")


@pytest.mark.parametrize(
    ("function", "name"),
    {
        "sum": (lambda x: keras.ops.sum(x, axis=-1, keepdims=True), "keras.ops.sum"),
        "exp": (keras.ops.exp, "keras.ops.exp"),
        "mean": (lambda x: keras.ops.mean(x, axis=-1, keepdims=True), "keras.ops.mean"),
        "flip": (lambda x: keras.ops.flip(x, axis=1), "keras.ops.flip"),
    }.values(),
    ids=["sum", "exp", "mean", "flip"],
)
def test_functions_have_the_names_that_keras_has_for_them(function, name):
    assert message(steps, function).startswith(f"add {name} after 'before': ")


def test_fused_activation_is_written_without_its_convolution():
    def network(is_there):
        inputs = keras.Input((8, 8, 3))
        x = L.Conv2D(4, 3, name="before")(inputs)
        return keras.Model(inputs, L.Conv2D(4, 3)(L.ReLU()(x) if is_there else x))

    content = zoo.convert(zoo.randomize(network(True), 1))
    (difference,) = tflrecover.diff(content, network(False)).differences
    assert difference.message.endswith("insert `layers.ReLU()`")


def test_what_a_folded_norm_was_is_not_written():
    assert message(image, lambda x: L.BatchNormalization()(x)).endswith("nothing for it")


def test_a_table_is_no_line():
    table = np.random.default_rng(0).normal(size=(12, 8)).astype("float32")
    told = message(steps, lambda x: x + table)
    assert told.startswith("add Add with a constant of shape [12, 8] after 'before': ")
    assert told.endswith("nothing for it")


def test_a_table_that_is_computed_as_the_model_is_built_is_said_to_be_no_variable():
    """As by an Embedding that is called on numbers instead of tensors of the model."""
    rng = np.random.default_rng(0)
    files, twin = (steps(lambda x: x + rng.normal(size=(12, 8)).astype("float32")) for _ in range(2))
    (difference,) = tflrecover.diff(zoo.convert(zoo.randomize(files, 1)), twin).differences
    assert difference.message.endswith("this is a constant, computed when it was built, and no variable to write to")


def normalized(behind="relu", joined=True):
    x = inputs = keras.Input((8, 8, 3), name="image")
    for name in ("first", "second"):
        y = L.Conv2D(3, 3, padding="same", name=f"conv_{name}")(x)
        y = L.BatchNormalization(name=f"norm_{name}")(y)
        x = y if behind is None and name == "first" else L.ReLU(name=f"relu_{name}")(y)
    y = L.BatchNormalization(name="scaled")(L.MaxPooling2D(3, 1, "same", name="pool")(x))
    x = L.Add(name="add")([y, x]) if joined else y
    return keras.Model(inputs, L.ReLU(name="last")(x))


@pytest.mark.parametrize(
    ("fault", "told", "written"),
    [
        ({"behind": None}, "add relu after 'norm_first': ", "`layers.ReLU()`"),
        ({"joined": False}, "add Add after 'relu_second' and 'scaled': ", "`layers.Add()`"),
    ],
)
def test_what_is_missing_stands_behind_the_norm_that_was_folded(fault, told, written):
    """An activation that the file has in the operator before it is a layer of its own."""
    (difference,) = tflrecover.diff(zoo.convert(zoo.randomize(normalized(), 1)), normalized(**fault)).differences
    assert difference.message.startswith(told)
    assert difference.message.endswith(f": insert {written}")


def scaled(norm=None):
    # A convolution over steps gets an axis before the numbers of the channels are seen.
    inputs = keras.Input((12, 3), name="steps")
    x = L.Conv1D(4, 3, padding="same", name="first")(inputs if norm is None else norm(inputs))
    return keras.Model(inputs, L.ReLU()(x))


def test_numbers_per_channel_of_an_input_are_written():
    given = L.Normalization(mean=[0.485, 0.456, 0.406], variance=[0.0524, 0.0502, 0.0506])
    content = zoo.convert(zoo.randomize(scaled(given), 1))
    (difference,) = tflrecover.diff(content, scaled()).differences
    assert difference.message.startswith("add Normalization (or another scaling per channel) before 'first': ")
    line = difference.message.rpartition("insert `")[2].removesuffix("`")
    assert not tflrecover.diff(content, scaled(eval(line, {"layers": L}))).differences
