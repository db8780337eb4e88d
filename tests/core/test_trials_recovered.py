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
    assert difference.message.endswith(f"with it nothing differs: write `layers.{written}`")
    assert tried[-1] == kind
    assert len(tried) <= 2


@pytest.mark.parametrize("name", ["GRU", "LayerNormalization"])
def test_nothing_is_tried_where_a_whole_layer_is_missing(tried, name):
    layer = L.GRU(8, return_sequences=True) if name == "GRU" else L.LayerNormalization()
    (difference,) = tflrecover.diff(zoo.convert(zoo.randomize(network(layer), 1)), network()).differences
    assert difference.message.startswith(f"add {name} after 'before'")
    assert not tried
