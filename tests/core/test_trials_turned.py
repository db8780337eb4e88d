"""A layer with its channels on the wrong side is told so, be it by what it transposes or by the axes that it takes."""

import keras
import keras_models as zoo
import pytest
from keras import layers as L

import tflrecover

FORMATS = ("channels_last", "channels_first")
# Whatever takes a data format and has no transposes of its own, or loses them to its neighbours.
CASES = {
    "pad": lambda **settings: L.ZeroPadding2D(1, **settings),
    "crop": lambda **settings: L.Cropping2D(((1, 0), (1, 0)), **settings),
    "flat": lambda **settings: L.Flatten(**settings),
    "conv": lambda **settings: L.Conv2D(6, 3, padding="same", activation="relu", **settings),
}


@pytest.mark.parametrize("right", FORMATS)
@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_a_data_format_is_told_of_the_layer_that_has_it(make, right):
    wrong = FORMATS[right == FORMATS[0]]

    def build(data_format):
        x = image = keras.Input((8, 6, 4) if right == FORMATS[0] else (4, 8, 6), name="image")
        x = L.Conv2D(8, 3, padding="same", activation="tanh", data_format=right, name="stem")(x)
        x = make(data_format=data_format, name="there")(x)
        if len(x.shape) > 2:
            x = L.Flatten(data_format=right)(L.MaxPooling2D(2, data_format=right)(x))
        return keras.Model(image, L.Dense(3, name="head")(x))

    file = zoo.convert(zoo.randomize(build(right), 1))
    (difference,) = tflrecover.diff(file, build(wrong)).differences
    told = difference.keras_layer, difference.attribute, difference.tflite_value, difference.keras_value
    assert told == ("there", "data_format", right, wrong)
