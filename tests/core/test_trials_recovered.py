"""What the file has in the place of a layer is recovered, and tried before anything else."""

import keras
import keras_models as zoo
import pytest
from keras import layers as L

import tflrecover
from tflrecover import trials


@pytest.fixture
def tried(monkeypatch):
    """The layers that were put in the place of others, in order."""
    found = []
    left = trials._left

    def told(comparison, stand_ins, known):
        found.append(type(stand_ins[-1].layer).__name__)
        return left(comparison, stand_ins, known)

    monkeypatch.setattr(trials, "_left", told)
    return found


def network(*middle):
    inputs = keras.Input((12, 8), batch_size=1, name="steps")
    x = L.Dense(8, activation="tanh", name="before")(inputs)
    for layer in middle:
        x = layer(x)
    x = L.Dense(8, activation="tanh", name="behind")(x)
    return keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling1D()(x)))


# The file's layer, the model's of another kind or with another number besides, and how the first is written.
CASES = {
    "recurrent": (
        lambda: L.GRU(6, return_sequences=True),
        lambda: L.Conv1D(6, 3, padding="same", name="there"),
        "GRU(units=6, return_sequences=True)",
    ),
    "norm": (
        lambda: L.LayerNormalization(epsilon=1e-5),
        lambda: L.RMSNormalization(name="there"),
        "LayerNormalization(epsilon=1e-05)",
    ),
}


@pytest.mark.parametrize(("right", "wrong", "written"), CASES.values(), ids=CASES)
def test_the_first_that_is_tried_is_what_the_file_has(tried, right, wrong, written):
    file = zoo.convert(zoo.randomize(network(right()), 1))
    (difference,) = tflrecover.diff(file, network(wrong())).differences
    kind = written.partition("(")[0]
    assert (difference.keras_layer, difference.attribute, difference.tflite_value) == ("there", "layer", kind)
    assert difference.message.startswith(f"use `layers.{written}` instead of ")
    assert tried[-1] == kind
    assert len(tried) <= 2


@pytest.mark.parametrize("name", ["GRU", "LayerNormalization"])
def test_nothing_is_tried_where_a_whole_layer_is_missing(tried, name):
    layer = L.GRU(8, return_sequences=True) if name == "GRU" else L.LayerNormalization()
    (difference,) = tflrecover.diff(zoo.convert(zoo.randomize(network(layer), 1)), network()).differences
    assert difference.message.startswith(f"add {name} after 'before'")
    assert not tried


def recurrent(before="relu", behind="tanh"):
    inputs = keras.Input((6, 4), batch_size=1, name="steps")
    x = L.LSTM(4, return_sequences=True, name="first")(inputs)
    x = L.Dense(4, activation=before, name="before")(x)
    x = L.LSTM(4, name="second")(x)
    return keras.Model(inputs, L.Dense(3, activation=behind, name="behind")(x))


@pytest.mark.parametrize("place", ["before", "behind"])
def test_nothing_is_tried_where_an_activation_is_missing_beside_a_recurrent_layer(tried, place):
    file = zoo.convert(zoo.randomize(recurrent(), 1))
    (difference,) = tflrecover.diff(file, recurrent(**{place: None})).differences
    assert difference.message.startswith(f"add {'relu' if place == 'before' else 'tanh'} after {place!r}: ")
    assert not tried


def activated(joined=True):
    inputs = keras.Input((8, 8, 4), name="image")
    x = L.Activation("relu", name="relu_a")(L.Conv2D(4, 3, padding="same", name="conv_a")(inputs))
    y = L.Activation("relu", name="relu_b")(L.Conv2D(4, 3, padding="same", name="conv_b")(x))
    x = L.Add(name="add")([x, y]) if joined else y
    return keras.Model(inputs, L.Conv2D(4, 3, name="last")(x))


def test_nothing_is_tried_where_what_joins_activations_is_missing(tried):
    """None of them takes the other: they are no parts of a function."""
    file = zoo.convert(zoo.randomize(activated(), 1))
    (difference,) = tflrecover.diff(file, activated(joined=False)).differences
    assert difference.message.startswith("add Add after 'relu_a' and 'relu_b': ")
    assert not tried


class Block(L.Layer):
    """As people write them: each of its layers can be changed in its code."""

    def __init__(self, num_heads=4, key_dim=4, norm=L.LayerNormalization, epsilon=1e-5):
        super().__init__(name="block")
        self.attention = L.MultiHeadAttention(num_heads, key_dim, name="attention")
        self.norm = norm(epsilon=epsilon, name="norm")

    def call(self, x):
        return self.norm(x + self.attention(x, x))


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    {
        "recurrent": (
            lambda: L.LSTM(6, return_sequences=True, go_backwards=True),
            lambda: L.LSTM(8, return_sequences=True, name="there"),
            "set `go_backwards=True`, `units=6` on layer 'there': the model has False and 8",
        ),
        "attention": (
            lambda: Block(),
            lambda: Block(2, 6),
            "set `num_heads=4`, `key_dim=4` on layer 'attention': the model has 2 and 6",
        ),
        "groups": (
            lambda: L.GroupNormalization(4, epsilon=1e-5),
            lambda: L.GroupNormalization(2, name="there"),
            "set `groups=4`, `epsilon=1e-05` on layer 'there': the model has 2 and 0.001",
        ),
    }.values(),
    ids=["recurrent", "attention", "groups"],
)
def test_several_arguments_of_one_layer_are_one_difference(tried, right, wrong, told):
    file = zoo.convert(zoo.randomize(network(right()), 1))
    (difference,) = tflrecover.diff(file, network(wrong())).differences
    assert difference.message.startswith(told)
    assert len(tried) <= 5


@pytest.mark.parametrize(
    ("fault", "told"),
    {
        "heads": ({"num_heads": 2}, "set `num_heads=4` on layer 'attention': the model has 2"),
        "epsilon": ({"epsilon": 1e-3}, "set `epsilon=1e-05` on layer 'norm': the model has 0.001"),
        "norm": ({"norm": L.RMSNormalization}, "use `layers.LayerNormalization(epsilon=1e-05)` instead of"),
    }.values(),
    ids=["heads", "epsilon", "norm"],
)
def test_layer_in_a_layer_of_the_users(fault, told):
    file = zoo.convert(zoo.randomize(network(Block()), 1))
    (difference,) = tflrecover.diff(file, network(Block(**fault))).differences
    assert difference.message.startswith(told)


def steps(is_active, seed):
    """Depthwise steps, whose batch norm the file has taken into them."""
    inputs = keras.Input((12, 6))
    x = L.DepthwiseConv1D(5, padding="same", name="depthwise")(L.Dense(8)(inputs))
    x = L.BatchNormalization(name="norm")(x)
    x = L.Activation("silu")(x) if is_active else x
    return zoo.randomize(keras.Model(inputs, L.Dense(3)(L.LayerNormalization()(L.Conv1D(8, 1)(x)))), seed)


def test_activation_behind_a_norm_that_was_folded_is_missing():
    """It stands in nobody's place, though without the norm the function would be the same."""
    (difference,) = tflrecover.diff(zoo.convert(steps(True, 1)), steps(False, 2)).differences
    assert difference.message.startswith("add silu after 'norm'")
