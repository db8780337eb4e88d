"""Functions that a file writes otherwise than people do: what one of them lacks is one difference."""

import keras
import keras_models as zoo
import pytest
from keras import layers as L
from keras import ops

import tflrecover


def functions(then):
    def build():
        x = vector = keras.Input((6,), name="vector")
        x = L.Dense(5, activation="tanh", name="before")(x)
        y = L.Dense(5, activation="softplus", name="beside")(x)
        return keras.Model(vector, L.Dense(3, name="head")(then(x, y)))

    return build


JOIN = {"name": "join"}
# The file's function, the model's, and what is told: kind, layer, attribute.
CASES = {
    "no root": (lambda x, y: x / ops.sqrt(y + 0.1), lambda x, y: x / (y + 0.1), ("missing", None, None)),
    "turned quotient": (
        lambda x, y: ops.divide(x, ops.sqrt(y + 0.1)),
        lambda x, y: ops.divide(ops.sqrt(y + 0.1), x),
        ("wiring", "divide", "inputs"),
    ),
    "no test": (
        lambda x, y: ops.where(x > 0.1, x, y),
        lambda x, y: ops.where(x, x, y),
        ("missing", None, None),
    ),
    # Without the factor the square is one of a difference.
    "no factor": (
        lambda x, y: ops.where((x - y) * 0.5 > 0.1, (x - y) * 0.5, ops.square((x - y) * 0.5)),
        lambda x, y: ops.where(x - y > 0.1, x - y, ops.square(x - y)),
        ("missing", None, None),
    ),
    "a product with one": (
        lambda x, y: L.Concatenate(**JOIN)([x, ops.add(x, 1.0)]),
        lambda x, y: L.Concatenate(**JOIN)([x, ops.multiply(x, 1.0)]),
        ("missing", None, None),
    ),
    "turned join": (
        lambda x, y: L.Concatenate(**JOIN)([x, x * 1.5 + 1.0]),
        lambda x, y: L.Concatenate(**JOIN)([x * 1.5 + 1.0, x]),
        ("wiring", "join", "inputs"),
    ),
}


@pytest.mark.parametrize(("right", "wrong", "wanted"), CASES.values(), ids=CASES)
def test_one_function_is_one_difference(right, wrong, wanted):
    file = zoo.convert(zoo.randomize(functions(right)(), 1))
    (difference,) = tflrecover.diff(file, functions(wrong)()).differences
    kind, layer, attribute = wanted
    told = difference.keras_layer and difference.keras_layer.split("_")[0]
    assert (difference.kind, told, difference.attribute) == (kind, layer, attribute)
    # What would be written for the file's own function, an inverse root, is not what is missing.
    assert "rsqrt" not in difference.message


def test_a_function_of_a_number_beside_several_differences_is_no_layer_with_weights():
    """It has no variables to ask for, and is looked at like any layer that the file has something else for."""
    file = zoo.convert(zoo.randomize(functions(lambda x, y: ops.minimum(x, ops.square(y + 0.1)))(), 1))
    wrong = functions(lambda x, y: ops.maximum(x, y + 0.1))()
    told = tflrecover.diff(file, wrong).differences
    assert {difference.kind for difference in told} == {"missing", "attribute"}
