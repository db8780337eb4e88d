"""A layer in another place than in the file is one difference; so is what a layer is called with."""

import keras
import pytest
from keras import layers as L

from tests.core.test_roots import Positions, named, root


def convolutional(norm_first=True, act_first=True):
    x = image = keras.Input((8, 8, 3), name="image")
    x = L.Conv2D(4, 3, padding="same", use_bias=False, name="stem")(x)
    order = [L.BatchNormalization(name="norm"), L.ReLU(name="relu")]
    for layer in order if norm_first else order[::-1]:
        x = layer(x)
    x = L.MaxPooling2D(2, name="pool")(x)
    y, act, add = L.Conv2D(4, 3, padding="same", name="conv")(x), L.Activation("tanh", name="act"), L.Add(name="add")
    x = add([x, act(y)]) if act_first else act(add([x, y]))
    return keras.Model(image, L.Dense(3, name="head")(L.Flatten(name="flat")(x)))


@pytest.mark.parametrize(
    ("wrong", "layer", "wanted", "have"),
    [({"norm_first": False}, "norm", "stem", "relu"), ({"act_first": False}, "act", "conv", "add")],
    ids=["norm", "activation"],
)
def test_a_layer_in_another_place(wrong, layer, wanted, have):
    difference = root(convolutional, **wrong)
    assert named(difference) == ("wiring", layer, "inputs")
    assert (difference.tflite_value, difference.keras_value) == (wanted, have)
    assert difference.message.startswith(f"move layer {layer!r}")


def tokens(is_early=False):
    steps = keras.Input((4, 6), name="steps")
    x = L.Dense(8, name="start")(steps)
    order = [L.ZeroPadding1D((1, 0), name="pad"), Positions(name="positions")]
    for layer in order[::-1] if is_early else order:
        x = layer(x)
    return keras.Model(steps, L.Dense(3, name="head")(L.LayerNormalization(name="norm")(x)))


def test_two_layers_in_the_other_order():
    difference = root(tokens, is_early=True)
    assert difference.kind == "wiring"
    assert "'pad'" in difference.message
    assert "'positions'" in difference.message


def crossing(arguments=lambda x, y: (x, y)):
    one, two = keras.Input((6, 8), name="one"), keras.Input((5, 8), name="two")
    x, y = L.Dense(8, name="narrow")(one), L.Dense(8, name="wide")(two)
    z = L.MultiHeadAttention(2, 4, name="attention")(*arguments(x, y))
    z = L.GlobalAveragePooling1D(name="pool")(z)
    return keras.Model([one, two], [L.Dense(3, name="head")(z), L.Dense(2, name="other")(y)])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(lambda x, y: (x, x), "connect layer 'attention' to 'wide'"), (lambda x, y: (y, x), "exchange the inputs")],
    ids=["the same", "exchanged"],
)
def test_what_a_layer_is_called_with_is_told_of_that_layer(arguments, told):
    """Keys and values are one argument, and no user has written the layers that take them."""
    difference = root(crossing, arguments=arguments)
    assert named(difference) == ("wiring", "attention", "inputs")
    assert difference.message.startswith(told)


def reading(steps=(2, 2), units=4, activation=None):
    image = keras.Input((8, 16, 1), batch_size=1, name="image")
    x = L.Conv2D(4, 3, padding="same", activation=activation, name="conv")(image)
    x = L.Permute((2, 1, 3), name="columns")(L.MaxPooling2D(steps, name="pool")(x))
    x = L.Dense(5, name="narrow")(L.Reshape((8, -1), name="steps")(x))
    x = L.Bidirectional(L.GRU(units, return_sequences=True), name="both")(x)
    return keras.Model(image, L.Dense(3, name="head")(x))


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"activation": "tanh"}, ("conv", "activation")),
        ({"steps": (2, 1)}, ("pool", "pool_size")),
        ({"units": 6}, ("both", "units")),
    ],
    ids=["activation", "pool", "units"],
)
def test_a_fault_before_a_recurrent_layer_brings_no_others(wrong, expected):
    """The one side has its steps in front by a transpose, the other by a reshape that was merged with another."""
    difference = root(reading, **wrong)
    assert (difference.keras_layer, difference.attribute) == expected


def bordered(is_reflected=True):
    x = image = keras.Input((8, 8, 3), name="image")
    x = L.Conv2D(4, 1, activation="relu", name="stem")(x)
    if is_reflected:
        x = keras.ops.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="reflect")
    x = L.Conv2D(4, 3, padding="valid" if is_reflected else "same", name="conv")(x)
    return keras.Model(image, L.ReLU(name="relu")(x))


def test_a_border_of_another_kind_is_one_difference_of_the_window():
    difference = root(bordered, is_reflected=False)
    assert named(difference) == ("attribute", "conv", "padding")
    assert "mode='reflect'" in difference.message
    assert [one.kind for one in difference.consequences] == ["missing"]


def pools(first=L.MaxPooling2D):
    x = image = keras.Input((8, 8, 4), name="image")
    kinds = {"a": first, "b": L.AveragePooling2D, "c": L.MaxPooling2D}
    made = [
        L.Add(name=f"{name}_add")([kind(2, name=name)(x), L.Conv2D(4, 2, 2, activation=act, name=f"{name}_conv")(x)])
        for (name, kind), act in zip(kinds.items(), ("tanh", "relu", "sigmoid"), strict=True)
    ]
    return keras.Model(image, L.Concatenate(name="join")(made))


def test_a_layer_that_computes_what_another_does_already():
    """Both sides have one operator of each kind: the one that the wrong layer shares now is another's."""
    difference = root(pools, first=L.AveragePooling2D)
    assert named(difference) == ("attribute", "a", "layer")
