"""What a difference tells one to do is what a Keras user would do, and it is true: doing it removes the difference."""

import re
from functools import partial

import keras
import keras_models as zoo
import pytest
from keras import layers

import tflrecover


def one_conv(dilation=1, padding="same", strides=1, pad=None):
    x = y = keras.Input((16, 16, 3), name="image")
    if pad is not None:
        y = layers.ZeroPadding2D(pad, name="conv1_pad")(y)
    y = layers.Conv2D(4, 3, strides=strides, dilation_rate=dilation, padding=padding, name="conv1_conv")(y)
    return keras.Model(x, layers.ReLU()(y))


def activated(activation):
    x = keras.Input((16, 16, 3), name="image")
    y = layers.Conv2D(4, 3, name="stem")(x)
    y = layers.Activation(activation, name="stemact")(y)
    return keras.Model(x, layers.Conv2D(4, 3, name="body")(y))


def scaled(*before):
    x = y = keras.Input((16, 16, 3), name="image")
    for layer in before:
        y = layer()(y)
    return keras.Model(x, layers.Conv2D(4, 3, padding="same", name="stem")(y))


def inside(activation=None):
    x = keras.Input((8, 8, 3), name="image")
    y = layers.Conv2D(4, 3, activation=activation, name="stem")(x)
    return keras.Model(x, layers.Conv2D(4, 3, name="body")(y))


def sized(size, batch=None):
    x = keras.Input((size, size, 3), batch_size=batch, name="image")
    return keras.Model(x, layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, name="stem")(x)))


def rescaling():
    return layers.Rescaling(1 / 255, offset=-1, name="rescaling")


def normalization():
    return layers.BatchNormalization(name="bn")


def enlarged(**settings):
    x = keras.Input((4, 4, 2), name="image")
    return keras.Model(x, layers.Conv2DTranspose(3, 3, strides=2, padding="same", name="larger", **settings)(x))


def resized(size):
    x = keras.Input((6, 6, 2), name="image")
    y = layers.Resizing(*size, name="resized")(x)
    return keras.Model(x, layers.Conv2D(3, 2)(layers.Cropping2D(1, name="cropped")(y)))


def subtracted(exchanged):
    x = keras.Input((6,), name="x")
    y = layers.Dense(4, activation="tanh")(x), layers.Dense(4, activation="relu")(x)
    return keras.Model(x, layers.Dense(2)(layers.Subtract(name="less")(y[::-1] if exchanged else y)))


def powered(exponent):
    x = keras.Input((6,), name="x")
    return keras.Model(x, layers.Dense(2)(keras.ops.power(layers.Dense(4, activation="relu")(x), exponent)))


def reshaped(shape):
    x = keras.Input((12,), name="x")
    return keras.Model(x, layers.Activation("tanh")(layers.Reshape(shape, name="shaped")(layers.Dense(12)(x))))


def padded(mode):
    x = keras.Input((4, 6), name="steps")
    return keras.Model(x, layers.Conv1D(2, 2)(keras.ops.pad(x, ((0, 0), (1, 0), (0, 0)), mode=mode)))


def surrounded(amount):
    is_steps = isinstance(amount[0], int)
    x = keras.Input((6, 2) if is_steps else (6, 6, 2), name="x")
    y = (layers.ZeroPadding1D if is_steps else layers.ZeroPadding2D)(amount, name="pad")(x)
    return keras.Model(x, layers.Softmax()(y))


def filled(value):
    x = keras.Input((6, 6, 2), name="x")
    around = ((0, 0), (1, 1), (1, 1), (0, 0))
    y = layers.ZeroPadding2D(name="pad")(x) if value == 0 else keras.ops.pad(x, around, constant_values=value)
    return keras.Model(x, layers.MaxPooling2D(3)(y))


def contracted(equation, made, bias):
    x = keras.Input((5, 6), name="steps")
    return keras.Model(x, layers.Softmax()(layers.EinsumDense(equation, made, bias_axes=bias, name="heads")(x)))


ADVICE = {
    "bias of an einsum": (
        partial(contracted, "abc,cd->abd", (None, 4), "d"),
        partial(contracted, "abc,cd->abd", (None, 4), None),
        "set `bias_axes='d'` on layer 'heads':",
    ),
    "bias of heads": (
        partial(contracted, "abc,cde->abde", (None, 2, 3), "de"),
        partial(contracted, "abc,cde->abde", (None, 2, 3), None),
        "set `bias_axes='de'` on layer 'heads':",
    ),
    "padding of an image": (
        partial(surrounded, ((1, 0), (0, 2))),
        partial(surrounded, ((0, 1), (2, 0))),
        "set `padding=((1, 0), (0, 2))` on layer 'pad':",
    ),
    "padding of steps": (
        partial(surrounded, (1, 2)),
        partial(surrounded, (2, 1)),
        "set `padding=(1, 2)` on layer 'pad':",
    ),
    "value of padding": (
        partial(filled, float("-inf")),
        partial(filled, 0),
        "put `keras.ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=float('-inf'))` in the place of",
    ),
    "output padding": (
        partial(enlarged),
        partial(enlarged, output_padding=0),
        "set `output_padding=None` on layer 'larger':",
    ),
    "no output padding": (
        partial(enlarged, output_padding=0),
        partial(enlarged),
        "set `output_padding=(0, 0)` on layer 'larger':",
    ),
    "resizing": (partial(resized, (8, 9)), partial(resized, (10, 12)), "set `height=8, width=9` on layer 'resized':"),
    "width": (partial(resized, (8, 9)), partial(resized, (8, 12)), "set `width=9` on layer 'resized':"),
    "exchanged": (partial(subtracted, False), partial(subtracted, True), "exchange the inputs of layer 'less':"),
    "number": (partial(powered, 1.7), partial(powered, 2.2), "use 1.7 instead of 2.2 as the y of layer 'power"),
    "mode": (partial(padded, "reflect"), partial(padded, "constant"), "set `mode='reflect'` on layer 'pad"),
    "shape": (partial(reshaped, (3, 4)), partial(reshaped, (4, 3)), "set `target_shape=(3, 4)` on layer 'shaped':"),
    "dilation": (partial(one_conv), partial(one_conv, 2), "set `dilation_rate=(1, 1)` on layer 'conv1_conv':"),
    "no dilation": (partial(one_conv, 2), partial(one_conv), "set `dilation_rate=(2, 2)` on layer 'conv1_conv':"),
    "dilated padding": (
        partial(one_conv, 2),
        partial(one_conv, 2, "valid"),
        "set `padding='same'` on layer 'conv1_conv':",
    ),
    "padding layer": (
        partial(one_conv, strides=2),
        partial(one_conv, strides=2, padding="valid", pad=1),
        "remove layer 'conv1_pad' (ZeroPadding2D) and set `padding='same'` on layer 'conv1_conv':",
    ),
    "no padding layer": (
        partial(one_conv, strides=2, padding="valid", pad=1),
        partial(one_conv, strides=2),
        "put ZeroPadding2D(((1, 1), (1, 1))) before layer 'conv1_conv' and set its `padding='valid'`:",
    ),
    "padding that has a name": (
        partial(one_conv, padding="valid", pad=1),
        partial(one_conv, padding="valid"),
        "set `padding='same'` on layer 'conv1_conv':",
    ),
    "other padding layer": (
        partial(one_conv, strides=2, padding="valid", pad=((1, 0), (1, 0))),
        partial(one_conv, strides=2, padding="valid", pad=((0, 1), (0, 1))),
        "set `padding=((1, 0), (1, 0))` on layer 'conv1_pad':",
    ),
    "silu": (partial(activated, "relu"), partial(activated, "silu"), "set `activation='relu'` on layer 'stemact': the"),
    "no silu": (
        partial(activated, "silu"),
        partial(activated, "relu"),
        "set `activation='silu'` on layer 'stemact': the",
    ),
    "mish": (partial(activated, "mish"), partial(activated, "relu"), "set `activation='mish'` on layer 'stemact': the"),
    "hard sigmoid": (
        partial(activated, "relu"),
        partial(activated, "hard_sigmoid"),
        "set `activation='relu'` on layer 'stemact': the file has 'relu' at",
    ),
    "rescaling": (partial(scaled), partial(scaled, rescaling), "remove layer 'rescaling' (Rescaling):"),
    "no rescaling": (partial(scaled, rescaling), partial(scaled), "add Rescaling before 'stem':"),
    "batch norm": (partial(scaled), partial(scaled, normalization), "remove layer 'bn' (BatchNormalization):"),
    "no batch norm": (
        partial(scaled, normalization),
        partial(scaled),
        "add Normalization (or another scaling per channel) before 'stem':",
    ),
    "activation inside": (partial(inside), partial(inside, "relu"), "set `activation=None` on layer 'stem':"),
    "size": (
        partial(sized, 16),
        partial(sized, 8),
        "build the model for inputs of shape (16, 16, 3), keras.Input((16, 16, 3)):",
    ),
    "batch": (
        partial(sized, 16, 2),
        partial(sized, 16, 1),
        "build the model for inputs of shape (16, 16, 3), keras.Input(batch_shape=(",
    ),
}


@pytest.mark.parametrize(("right", "wrong", "advice"), ADVICE.values(), ids=ADVICE)
def test_advice(right, wrong, advice):
    (difference,) = tflrecover.diff(zoo.convert(zoo.randomize(right(), 1)), wrong()).differences
    assert difference.message.startswith(advice)


def test_what_computes_what_is_named_on_both_sides():
    file = zoo.convert(zoo.randomize(activated("silu"), 1))
    (difference,) = tflrecover.diff(file, activated("hard_sigmoid")).differences
    assert (difference.tflite_value, difference.keras_value) == ("silu", "hard_sigmoid")


def test_names_of_merged_operators_are_cut():
    file = zoo.convert(zoo.randomize(zoo.plain(), 1))
    report = tflrecover.diff(file, zoo.plain(kernel_size=5, activation="tanh"))
    assert any(";" in str(d.tflite_name) for d in report.differences)
    assert not any(";" in d.message for d in report.differences)


@pytest.mark.parametrize(("shape", "pool", "name"), [((6, 3), 1, "1D"), ((6, 6, 3), 2, "2D")])
def test_a_pool_is_called_by_the_rank_of_what_it_takes(shape, pool, name):
    axes = tuple(range(1, pool + 1))

    def build(pooled):
        inputs = keras.Input(shape, name="input")
        return keras.Model(inputs, layers.Dense(2)(pooled(layers.Dense(4, activation="relu")(inputs))))

    file = zoo.convert(zoo.randomize(build(getattr(layers, f"GlobalAveragePooling{name}")()), 1))
    (difference,) = tflrecover.diff(file, build(lambda x: keras.ops.max(x, axis=axes))).differences
    assert difference.tflite_value == f"GlobalAveragePooling{name}"
    assert difference.message.startswith(
        f"use `layers.GlobalAveragePooling{name}()` instead of GlobalMaxPooling{name} at"
    )


def test_a_mean_of_channels_is_no_pool():
    def build(norm):
        x = inputs = keras.Input((6, 8), name="input")
        for name in ("first", "second"):
            x = layers.Dense(8, activation="relu")(norm(name=name)(x))
        return keras.Model(inputs, x)

    file = zoo.convert(zoo.randomize(build(layers.LayerNormalization), 1))
    messages = [difference.message for difference in tflrecover.diff(file, build(layers.RMSNormalization)).differences]
    assert any("keras.ops.mean" in message for message in messages)
    assert not any("Pooling" in message for message in messages)


@pytest.mark.parametrize(("shape", "rank"), [((8, 3), 1), ((8, 8, 3), 2)])
def test_a_missing_upsampling_is_called_by_its_class(shape, rank):
    def network(*, is_enlarged):
        conv = getattr(layers, f"Conv{rank}D")
        x = inputs = keras.Input(shape)
        x = conv(4, 3, padding="same", activation="relu", name="a")(x)
        x = getattr(layers, f"UpSampling{rank}D")(2)(x) if is_enlarged else x
        return keras.Model(inputs, getattr(layers, f"GlobalMaxPooling{rank}D")()(conv(2, 3, name="b")(x)))

    content = zoo.convert(zoo.randomize(network(is_enlarged=True), 1))
    (difference,) = tflrecover.diff(content, network(is_enlarged=False)).differences
    assert difference.message.startswith(f"add UpSampling{rank}D after 'a': ")


def in_code(made):
    image = keras.Input((8, 8, 3), name="image")
    return keras.Model(image, layers.Conv2D(4, 3, padding="same", name="conv")(made(image)))


@pytest.mark.parametrize(
    ("made", "attribute", "advice"),
    [
        (lambda x: x / 127.5 - 1.5, "offset", "use -1.0 instead of -1.5 as the offset of layer 'subtract'"),
        (lambda x: x / 127.5 + 1.0, "offset", "use -1.0 instead of 1.0 as the offset of layer 'add'"),
        (lambda x: x / 255.0 - 1.0, "divisor", "use 127.5 instead of 255.0 as the divisor of layer 'true_divide'"),
        (lambda x: x - 1.0, "scale", "multiply by 0.007843138 at layer 'subtract'"),
        (lambda x: x / 127.5, "offset", "add -1.0 at layer 'true_divide'"),
    ],
)
def test_numbers_of_the_code_are_told_as_they_stand_there(made, attribute, advice):
    """Behind a padded border nothing makes up for them, though only their ratio is certain then."""
    file = zoo.convert(zoo.randomize(in_code(lambda x: x / 127.5 - 1.0), 1))
    (difference,) = tflrecover.diff(file, in_code(made)).differences
    assert (difference.kind, difference.attribute) == ("constant", attribute)
    # Keras counts the calls of a process.
    assert re.sub(r"_\d+'", "'", difference.message).startswith(advice)


def test_a_sum_in_the_place_of_a_product_is_one_difference():
    def build(merge):
        image = keras.Input((8, 8, 3), name="image")
        return keras.Model(image, keras.ops.square(merge(keras.ops.sin(image))))

    (difference,) = tflrecover.diff(zoo.convert(build(lambda x: x * 0.5)), build(lambda x: x + 0.5)).differences
    assert (difference.kind, difference.attribute, difference.tflite_value) == ("constant", "scale", 0.5)
    assert [(d.attribute, d.keras_value) for d in difference.consequences] == [("offset", 0.5)]


def test_an_axis_counted_from_the_end_is_the_same_of_another_rank():
    def build(keepdims):
        x = keras.Input((4, 8), name="x")
        y = keras.ops.sum(keras.ops.sin(x), axis=1, keepdims=keepdims)
        return keras.Model(x, layers.Concatenate(axis=-1, name="joined")([y, keras.ops.cos(y)]))

    (difference,) = tflrecover.diff(zoo.convert(build(keepdims=False)), build(keepdims=True)).differences
    assert (difference.attribute, difference.tflite_value, difference.keras_value) == ("keepdims", False, True)
