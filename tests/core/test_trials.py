"""An argument of a layer that is several operators, or that changes shapes, is the one difference; the rest is its."""

import keras
import keras_models as zoo
import numpy as np
import pytest
from keras import layers as L

import tflrecover
from tflrecover.trials.candidates import candidates


def steps(function):
    def build(**settings):
        inputs = keras.Input((4, 8), name="steps")
        return keras.Model(inputs, L.Dense(3, name="head")(function(inputs, **settings)))

    return build


@steps
def attention(x, num_heads=2, key_dim=4, causal=True, **settings):
    return L.MultiHeadAttention(num_heads, key_dim, name="attention", **settings)(x, x, use_causal_mask=causal)


@steps
def norm(x, **settings):
    return L.LayerNormalization(name="norm", **settings)(L.Dense(8, name="before")(x))


@steps
def normalized_by(x, kind=L.LayerNormalization):
    return kind(name="norm")(L.Dense(8, name="before")(x))


@steps
def around(x, kind=L.LSTM):
    return L.Bidirectional(kind(4, unroll=True), name="both")(x)


@steps
def one_way(x, both=True):
    layer = L.GRU(4, return_sequences=True, unroll=True, name="memory")
    return (L.Bidirectional(layer, merge_mode="sum", name="memory") if both else layer)(x)


@steps
def gru(x, **settings):
    return L.GRU(5, unroll=True, name="gru", **settings)(x)


def lstm(**settings):
    # The converter takes a loop of a known batch only.
    inputs = keras.Input((4, 8), batch_size=1, name="steps")
    return keras.Model(inputs, L.Dense(3, name="head")(L.LSTM(5, name="lstm", **settings)(inputs)))


@steps
def both(x, activation="tanh", merge_mode="concat"):
    return L.Bidirectional(L.SimpleRNN(4, activation=activation, unroll=True), merge_mode=merge_mode, name="both")(x)


@steps
def convolution(x, **settings):
    return L.SimpleRNN(3, unroll=True)(L.Conv1D(8, 2, name="conv", **settings)(x))


@steps
def merge(x, layer=L.Add):
    return L.ReLU()(layer(name="merge")([L.Dense(8, activation="relu", name="left")(x), x]))


@steps
def surplus(x, extra=False):
    x = L.ZeroPadding1D(1, name="pad")(L.Dense(8, activation="relu", name="before")(x))
    x = L.Activation("tanh", name="surplus")(x) if extra else x
    return L.Conv1D(4, 3, activation="relu", name="conv")(x)


@steps
def scaled(x, axis=-1, activation=None):
    x = L.Conv1D(8, 1, use_bias=False, activation=activation, name="conv")(x)
    return L.ReLU(6.0)(L.BatchNormalization(axis=axis, name="scaling")(x))


def images(function):
    def build(**settings):
        inputs = keras.Input((6, 6, 4), name="image")
        return keras.Model(
            inputs, L.Conv2D(3, 2, name="head")(function(L.Conv2D(4, 3, name="stem")(inputs), **settings))
        )

    return build


@images
def prelu(x, axes=(1, 2)):
    return L.PReLU(shared_axes=axes, name="slopes")(x)


@images
def elu(x, alpha=0.7):
    return L.ELU(alpha=alpha, name="elu")(x)


@images
def capped(x, most=6.0):
    return L.ReLU(max_value=most, name="cap")(x)


@images
def activated(x, activation="silu"):
    return L.Activation(activation, name="act")(x)


@images
def turned(x, axis=-1):
    return L.Permute((2, 1, 3), name="turn")(L.Softmax(axis=axis, name="softmax")(x))


@images
def cropped(x, cropping=((1, 0), (0, 1))):
    return L.ReLU()(L.Cropping2D(cropping, name="crop")(x))


@steps
def reshaped(x, shape=(8, 4)):
    return L.Conv1D(3, 3, padding="same", name="conv")(L.Reshape(shape, name="shape")(L.Dense(8)(x)))


@steps
def shortened(x, cropping=(1, 0)):
    return L.Conv1D(3, 2, name="conv")(L.Cropping1D(cropping, name="crop")(L.Conv1D(4, 1, activation="relu")(x)))


@steps
def squeezed(x, scale=True):
    x = L.LayerNormalization(scale=scale, name="norm")(L.Conv1D(8, 2, padding="causal", name="before")(x))
    return L.Conv1D(4, 2, padding="causal", dilation_rate=2, name="behind")(L.ReLU()(x))


@images
def windows(x, kind=L.Conv2D):
    return kind(4, 2, strides=2, activation="relu", name="windows")(x)


def prepared(scale=0.25):
    inputs = keras.Input((6, 6, 3), name="image")
    x = L.Rescaling(scale, name="rescaling")(inputs)
    x = L.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.1, 0.2, 0.3], name="normalization")(x)
    return keras.Model(inputs, L.Conv2D(3, 3, padding="same", name="head")(x))


FAULTS = {
    "sides of a cropping of steps": (shortened, {"cropping": (0, 1)}, "crop", "cropping", (1, 0)),
    "amounts of a cropping of steps": (shortened, {"cropping": (1, 1)}, "crop", "cropping", (1, 0)),
    "one of two transposes that became one": (turned, {"axis": 1}, "softmax", "axis", -1),
    "one of two reshapes that became one": (reshaped, {"shape": (2, 16)}, "shape", "target_shape", (8, 4)),
    "the same shape by another": (reshaped, {"shape": (16, 2)}, "shape", "target_shape", (8, 4)),
    "one axis of a cropping": (cropped, {"cropping": ((1, 0), (1, 0))}, "crop", "cropping", ((1, 0), (0, 1))),
    "a fault that looks like two": (scaled, {"axis": 1}, "scaling", "axis", -1),
    "the first of two alike": (scaled, {"activation": "relu6"}, "conv", "activation", None),
    "axes": (prelu, {"axes": None}, "slopes", "shared_axes", (1, 2)),
    "slope": (elu, {"alpha": 1.0}, "elu", "alpha", 0.7),
    "cap": (capped, {"most": None}, "cap", "max_value", 6.0),
    "other cap": (capped, {"most": 5.0}, "cap", "max_value", 6.0),
    "part of an activation": (activated, {"activation": "mish"}, "act", "activation", "silu"),
    "heads": (attention, {"num_heads": 4}, "attention", "num_heads", 2),
    "width": (attention, {"key_dim": 8}, "attention", "key_dim", 4),
    "mask": (attention, {"causal": False}, "attention", "use_causal_mask", True),
    "biases": (attention, {"use_bias": False}, "attention", "use_bias", True),
    "epsilon": (norm, {"epsilon": 0.1}, "norm", "epsilon", 0.001),
    "no center": (norm, {"center": False}, "norm", "center", True),
    "no scale": (norm, {"scale": False}, "norm", "scale", True),
    "scale after another way to part of it": (squeezed, {"scale": False}, "norm", "scale", True),
    "one way of two": (one_way, {"both": False}, "memory", "layer", "Bidirectional(GRU, merge_mode='sum')"),
    "convolution in two": (windows, {"kind": L.SeparableConv2D}, "windows", "layer", "Conv2D"),
    "one number for several": (prepared, {"scale": 0.5}, "rescaling", "scale", 0.25),
    "reset": (gru, {"reset_after": False}, "gru", "reset_after", True),
    "backwards": (gru, {"go_backwards": True}, "gru", "go_backwards", False),
    "biases of a cell": (lstm, {"use_bias": False}, "lstm", "use_bias", True),
    "wrapped": (both, {"activation": "relu"}, "both", "activation", "tanh"),
    "wrapper": (both, {"merge_mode": "sum"}, "both", "merge_mode", "concat"),
    "length": (convolution, {"strides": 2}, "conv", "strides", (1,)),
    "class": (merge, {"layer": L.Average}, "merge", "layer", "Add"),
    "layer": (surplus, {"extra": True}, "surplus", None, None),
    "norm of another class": (normalized_by, {"kind": L.RMSNormalization}, "norm", "layer", "LayerNormalization"),
    "norm that leaves no trace": (normalized_by, {"kind": L.BatchNormalization}, "norm", "layer", "LayerNormalization"),
    "wrapped layer of another class": (around, {"kind": L.GRU}, "both", "layer", "LSTM"),
}


@pytest.mark.parametrize(("build", "fault", "layer", "attribute", "value"), FAULTS.values(), ids=FAULTS)
def test_one_argument_is_the_one_root(build, fault, layer, attribute, value):
    file, wrong = zoo.convert(zoo.randomize(build(), 1)), build(**fault)
    before = [np.array(variable) for variable in wrong.variables]
    (difference,) = tflrecover.diff(file, wrong).differences
    assert (difference.keras_layer, difference.attribute, difference.tflite_value) == (layer, attribute, value)
    assert layer in difference.message
    assert all(np.array_equal(*pair) for pair in zip(before, wrong.variables, strict=True))
    assert all(len(layer._inbound_nodes) == 1 for layer in wrong.layers)
    assert tflrecover.diff(file, build()).ok


class Block(keras.Model):
    """A model whose call says what it does; nothing can be built from its configuration."""

    def __init__(self, epsilon=1e-3):
        super().__init__()
        self.first, self.norm, self.last = L.Dense(8), L.LayerNormalization(epsilon=epsilon, name="norm"), L.Dense(3)

    def call(self, x):
        return self.last(self.norm(self.first(x)))


def built(**settings):
    model = Block(**settings)
    model(np.zeros((1, 4, 8), "float32"))
    return model


def test_a_subclassed_model_is_no_exception():
    file = zoo.convert(zoo.randomize(norm(epsilon=1e-3), 1))
    (difference,) = tflrecover.diff(file, built(epsilon=1e-2)).differences
    assert (difference.keras_layer, difference.attribute, difference.tflite_value) == ("norm", "epsilon", 0.001)


def normalized(mean=(0.5, 0.25, 0.4), variance=(0.04, 0.09, 0.25)):
    image = keras.Input((6, 6, 3), name="image")
    x = L.Rescaling(1 / 255, name="rescaling")(image)
    x = L.Normalization(mean=mean, variance=variance, name="normalization")(x)
    # Behind a padded border no kernel and bias can make up for another mean.
    return keras.Model(image, L.Conv2D(4, 3, padding="same", name="conv")(x))


@pytest.mark.parametrize(
    ("fault", "argument", "value"),
    [
        ({"mean": (0.5, 0.5, 0.5)}, "mean", (0.5, 0.25, 0.4)),
        ({"mean": (0.5, 0.25, 0.45)}, "mean", (0.5, 0.25, 0.4)),
    ],
)
def test_numbers_of_one_of_two_scalings_that_became_one(fault, argument, value):
    file = zoo.convert(zoo.randomize(normalized(), 1))
    (difference,) = tflrecover.diff(file, zoo.randomize(normalized(**fault), 2)).differences
    told = difference.keras_layer, difference.attribute, difference.tflite_value
    assert told == ("normalization", argument, value)


def test_a_block_too_many_is_told_whole():
    def build(count):
        x = inputs = keras.Input((4, 4, 3), name="image")
        x = L.Conv2D(4, 1, name="stem")(x)
        for n in range(count):
            y = L.Conv2D(4, 3, padding="same", activation="relu", name=f"wide_{n}")(x)
            x = L.Add(name=f"add_{n}")([x, L.DepthwiseConv2D(3, padding="same", name=f"narrow_{n}")(y)])
        return keras.Model(inputs, L.Dense(3, name="head")(L.GlobalAveragePooling2D()(x)))

    (difference,) = tflrecover.diff(zoo.convert(zoo.randomize(build(3), 1)), build(4)).differences
    assert difference.kind == "extra"
    assert {layer.partition("_")[0] for layer in difference.layers} == {"wide", "narrow", "add"}
    assert all(layer in difference.message for layer in difference.layers)


def test_what_follows_is_told_under_the_root():
    file = zoo.convert(zoo.randomize(attention(), 1))
    (difference,) = tflrecover.diff(file, attention(use_bias=False)).differences
    assert {d.attribute for d in difference.consequences} == {"bias_axes"}
    assert len(difference.consequences) == 4


@pytest.mark.parametrize(("heads", "width"), [(4, 2), (1, 8)])
def test_two_arguments_of_one_layer(heads, width):
    file = zoo.convert(zoo.randomize(attention(num_heads=2, key_dim=4), 1))
    report = tflrecover.diff(file, zoo.randomize(attention(num_heads=heads, key_dim=width), 2))
    assert {d.keras_layer for d in report.differences} == {"attention"}


def test_two_faults_are_two_roots():
    file = zoo.convert(zoo.randomize(attention(), 1))
    wrong = attention(num_heads=4)
    wrong.get_layer("head").activation = keras.activations.tanh
    found = {(d.keras_layer, d.attribute) for d in tflrecover.diff(file, wrong).differences}
    assert found == {("attention", "num_heads"), ("head", "activation")}


def words(takes_mask, is_masked):
    tokens = keras.Input((4,), batch_size=1, dtype="int32", name="tokens")
    x = L.Embedding(9, 5, mask_zero=is_masked, name="embedding")(tokens)
    return keras.Model(tokens, L.Dense(3, name="head")(takes_mask()(L.Dense(4)(x))))


@pytest.mark.parametrize(
    ("takes_mask", "wanted", "is_loaded"),
    [
        (L.GlobalAveragePooling1D, True, False),
        (L.GlobalAveragePooling1D, False, True),
        (lambda: L.GRU(3), False, False),
    ],
    ids=["pool", "loaded", "loop"],
)
def test_a_mask_is_an_argument_of_the_layer_that_makes_it(takes_mask, wanted, is_loaded):
    file, wrong = zoo.convert(zoo.randomize(words(takes_mask, wanted), 1)), words(takes_mask, not wanted)
    wrong = keras.Model.from_config(wrong.get_config()) if is_loaded else wrong
    (difference,) = tflrecover.diff(file, wrong).differences
    told = difference.keras_layer, difference.attribute, difference.tflite_value
    assert told == ("embedding", "mask_zero", wanted)
    assert f"set `mask_zero={wanted}` on layer 'embedding'" in difference.message


def test_operations_that_make_a_mask_belong_to_the_layer_that_is_masked():
    # Keras counts the operations of a session in their names.
    keras.utils.clear_session()
    inputs = keras.Input((4, 8), name="steps")
    x = keras.ops.relu(inputs)
    masked = L.Masking(0.5, name="masking")(x)
    model = keras.Model(inputs, L.GRU(3, name="gru")(L.Dense(4, name="dense")(masked)))
    owners = {op.layer for op in tflrecover.trace(model).ops()}
    assert {"masking", "relu"} <= owners
    assert not any("equal" in layer or "any" in layer for layer in owners if layer)


def test_what_a_class_takes_by_itself_is_tried_before_other_words():
    layer = L.LSTM(3, recurrent_activation="relu")
    layer.build((1, 4, 8))
    tried = [(candidate.argument, candidate.value) for candidate in candidates(layer, "lstm", [], [])]
    assert tried.index(("recurrent_activation", "sigmoid")) < tried.index(("activation", "relu"))


@pytest.mark.parametrize(("num_heads", "key_dim"), [(4, 2), (8, 1), (1, 8)])
def test_heads_and_what_is_in_each_are_changed_together(num_heads, key_dim):
    """Of another division of the same size neither argument alone explains anything."""
    file = zoo.convert(zoo.randomize(attention(), 1))
    (difference,) = tflrecover.diff(file, attention(num_heads=num_heads, key_dim=key_dim)).differences
    told = difference.keras_layer, difference.attribute, difference.tflite_value, difference.keras_value
    assert told == ("attention", "num_heads", 2, num_heads)
    advice = f"set `num_heads=2`, `key_dim=4` on layer 'attention': the model has {num_heads} and {key_dim}"
    assert difference.message.startswith(advice)


def test_an_axis_is_tried_before_the_layer_is_called_one_too_many():
    def build(axis):
        x = image = keras.Input((3, 8, 8), name="image")
        x = L.Conv2D(4, 3, data_format="channels_first", name="conv")(x)
        x = L.BatchNormalization(axis=axis, name="norm")(x)
        return keras.Model(image, L.Conv2D(2, 1, data_format="channels_first", name="last")(L.ReLU()(x)))

    file = zoo.convert(zoo.randomize(build(axis=1), 1))
    (difference,) = tflrecover.diff(file, build(axis=-1)).differences
    told = difference.keras_layer, difference.attribute, difference.tflite_value, difference.keras_value
    assert told == ("norm", "axis", 1, -1)
    assert [follower.kind for follower in difference.consequences] == ["extra"]


@pytest.mark.parametrize("layer", ["conv", "pool"])
@pytest.mark.parametrize("right", ["channels_last", "channels_first"])
def test_channels_on_the_wrong_side_of_one_layer(layer, right):
    """It transposes, or its neighbours do, and what it computes by itself is the file's."""
    wrong = {"channels_last": "channels_first", "channels_first": "channels_last"}[right]

    def build(**formats):
        # Keras adds a bias along the last axis wherever that is as long as there are channels.
        x = image = keras.Input((4, 8, 4), name="image")
        settings = {name: {"data_format": formats.get(name, right)} for name in ("stem", "conv", "pool")}
        x = L.Conv2D(6, 3, padding="same", activation="relu", name="stem", **settings["stem"])(x)
        x = L.Conv2D(6, 3, padding="same", activation="tanh", name="conv", **settings["conv"])(x)
        x = L.AveragePooling2D(3, strides=1, padding="same", name="pool", **settings["pool"])(x)
        return keras.Model(image, L.Activation("sigmoid", name="end")(x))

    file = zoo.convert(zoo.randomize(build(), 1))
    (difference,) = tflrecover.diff(file, build(**{layer: wrong})).differences
    told = difference.keras_layer, difference.attribute, difference.tflite_value, difference.keras_value
    assert told == (layer, "data_format", right, wrong)


def test_a_shared_layer_behind_is_built_anew_once():
    """In the place of one layer with one kernel stands one, however often it is called, and whatever calls it."""

    def build(units):
        x = steps = keras.Input((3, 6), batch_size=1, name="steps")
        x = L.SimpleRNN(units, return_sequences=True, unroll=True, name="rnn")(x)
        x = L.TimeDistributed(L.Dense(5, activation="tanh", name="inner"), name="each")(x)
        return keras.Model(steps, L.Dense(2, name="head")(x))

    file = zoo.convert(zoo.randomize(build(units=4), 1))
    (difference,) = tflrecover.diff(file, build(units=8)).differences
    told = difference.keras_layer, difference.attribute, difference.tflite_value, difference.keras_value
    assert told == ("rnn", "units", 4, 8)


def test_only_what_takes_the_same_arguments_is_of_a_kind():
    kinds = {one.value for one in candidates(L.CenterCrop(2, 2), "crop", (), ()) if one.argument == "layer"}
    assert kinds <= {"Resizing", "RandomCrop"}
