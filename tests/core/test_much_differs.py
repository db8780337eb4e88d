"""Where each layer differs, each is told by itself: layers with weights are read in their order."""

import keras
import keras_models as zoo
import pytest
from keras import layers as L

import tflrecover
from tflrecover import PortError


def unet(activation="relu", *, has_skips=True):
    x = image = keras.Input((16, 16, 3), name="image")
    skips = []
    for stage, width in enumerate((4, 8)):
        x = L.Conv2D(width, 3, padding="same", activation=activation, name=f"down{stage}")(x)
        skips.append(x)
        x = L.MaxPooling2D(name=f"pool{stage}")(x)
    x = L.Conv2D(16, 3, padding="same", activation=activation, name="middle")(x)
    for stage, width in enumerate((8, 4)):
        x = L.Conv2DTranspose(width, 2, strides=2, name=f"up{stage}")(x)
        x = L.Concatenate(name=f"skip{stage}")([skips.pop(), x]) if has_skips else x
        for half in "ab":
            x = L.Conv2D(width, 3, padding="same", activation=activation, name=f"join{stage}{half}")(x)
    return keras.Model(image, L.Conv2D(2, 1, activation="sigmoid", name="mask")(x))


def chain(activation="relu"):
    x = vector = keras.Input((8,), name="vector")
    for number in range(4):
        x = L.Dense(8, activation=activation, name=f"dense{number}")(x)
    return keras.Model(vector, L.Dense(3, name="head")(x))


def block(x, number, *, has_skip, has_norm, activation):
    """Of a transformer; the converter and Keras compute query, key and value in other orders."""
    y = L.MultiHeadAttention(2, 4, name=f"attention{number}")(x, x)
    x = L.LayerNormalization(name=f"first{number}")(x + y if has_skip else y)
    y = L.Dense(8, name=f"narrow{number}")(L.Dense(16, activation=activation, name=f"wide{number}")(x))
    return L.LayerNormalization(name=f"second{number}")(x + y) if has_norm else x + y


def transformer(activation="gelu", *, without_skip=None, without_norm=None):
    x = steps = keras.Input((6, 8), name="steps")
    for number in range(3):
        has_skip, has_norm = number != without_skip, number != without_norm
        x = block(x, number, has_skip=has_skip, has_norm=has_norm, activation=activation)
    return keras.Model(steps, L.Dense(3, name="head")(x))


@pytest.mark.parametrize(("build", "count"), [(unet, 7), (chain, 4)])
def test_another_activation_at_every_layer(build, count):
    file, twin = zoo.convert(zoo.randomize(build(), 1)), build("silu")
    found = tflrecover.diff(file, twin).differences
    assert {(d.attribute, d.tflite_value, d.keras_value) for d in found} == {("activation", "relu", "silu")}
    assert len({d.keras_layer for d in found}) == len(found) == count
    # A reading of what differs is no reason to copy anything.
    before = twin.get_weights()
    with pytest.raises(PortError):
        tflrecover.port(file, twin)
    assert all((a == b).all() for a, b in zip(before, twin.get_weights(), strict=True))


def test_every_skip_is_missing():
    file = zoo.convert(zoo.randomize(unet(), 1))
    found = tflrecover.diff(file, unet(has_skips=False)).differences
    assert [d.kind for d in found] == ["missing", "missing"]
    assert all("insert `layers.Concatenate()`" in d.message for d in found)


def test_layers_that_stand_side_by_side_are_told_apart_by_what_takes_them():
    file = zoo.convert(zoo.randomize(transformer(), 1))
    found = tflrecover.diff(file, transformer("silu", without_skip=1, without_norm=0)).differences
    assert [d.keras_layer for d in found if d.kind == "attribute"] == ["wide0", "wide1", "wide2"]
    assert {d.kind for d in found} == {"attribute", "missing"}


def recurrent(units):
    x = steps = keras.Input((4, 3), batch_size=1, name="steps")
    for number in range(2):
        x = L.Bidirectional(L.LSTM(units, return_sequences=True), name=f"both{number}")(x)
    return keras.Model(steps, L.Dense(2, name="head")(x))


def test_units_of_a_cell_are_those_of_one_gate():
    file = zoo.convert(zoo.randomize(recurrent(4), 1))
    found = tflrecover.diff(file, recurrent(6)).differences
    assert {(d.attribute, d.tflite_value, d.keras_value) for d in found} == {("units", 4, 6)}


def normed(epsilon):
    x = steps = keras.Input((6, 8), name="steps")
    for number in range(3):
        x = x + L.Dense(8, activation="gelu", name=f"dense{number}")(
            L.LayerNormalization(epsilon=epsilon, name=f"norm{number}")(x)
        )
    return keras.Model(steps, L.Dense(3, name="head")(x))


def test_what_settled_one_layer_is_tried_of_the_others():
    file = zoo.convert(zoo.randomize(normed(1e-6), 1))
    found = tflrecover.diff(file, normed(1e-3)).differences
    told = [(d.keras_layer, d.attribute, d.tflite_value, d.keras_value) for d in found]
    assert told == [(f"norm{number}", "epsilon", 1e-6, 1e-3) for number in range(3)]
