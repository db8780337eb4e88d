"""Small Keras models with random weights, and their TFLite files; made once per process."""

import contextlib
import functools
import io
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
from keras import layers


def randomize(model, seed):
    """Random weights, never zeros or ones: the converter folds those away."""
    rng = np.random.default_rng(seed)
    for v in model.variables:
        if not str(v.dtype).startswith("float"):
            continue
        low, high = (0.5, 1.5) if v.name in ("gamma", "moving_variance") else (-0.5, 0.5)
        v.assign(rng.uniform(low, high, v.shape).astype("float32"))
    return model


def convert(model):
    import tensorflow as tf

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return tf.lite.TFLiteConverter.from_keras_model(model).convert()


def plain(
    pool_size=2, activation="relu", filters=8, padding="same", kernel_size=3, skip=True, merge=layers.Add, extra=False
):
    x = inputs = keras.Input((16, 16, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="conv")(x)
    x = layers.BatchNormalization(name="bn")(x)
    x = skipped = layers.ReLU(name="relu")(x)
    x = layers.DepthwiseConv2D(kernel_size, padding=padding if padding != "pad" else "valid", name="depthwise")(x)
    x = layers.Conv2D(8, 1, name="point")(x)
    if skip:
        x = merge(name="merge")([x, skipped])
    x = layers.Activation(activation, name="act")(x)
    if extra:
        x = layers.Activation("tanh", name="surplus")(x)
    x = layers.MaxPooling2D(pool_size, strides=2, padding="same", name="pool")(x)
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name="pad")(x)
    x = layers.Conv2D(filters, 3, strides=2, name="down")(x)
    x = layers.BatchNormalization(scale=False, name="bn_down")(x)
    x = layers.PReLU(shared_axes=[1, 2], name="prelu")(x)
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    x = layers.Dense(5, activation="softmax", name="dense")(x)
    return keras.Model(inputs, x, name="plain")


def two_heads(swapped=False):
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, activation="relu", name="stem")(inputs)
    heads = {}
    for name in ("second", "first") if swapped else ("first", "second"):
        heads[name] = layers.Flatten(name=f"flat_{name}")(layers.Conv2D(2, 1, name=f"head_{name}")(x))
    return keras.Model(inputs, [heads["first"], heads["second"]], name="two_heads")


def shared():
    inputs = keras.Input((8, 8, 4))
    conv = layers.Conv2D(4, 3, padding="same", name="shared")
    x = layers.ReLU()(conv(inputs))
    return keras.Model(inputs, layers.Conv2D(2, 1, name="last")(layers.ReLU()(conv(x))), name="shared_conv")


def affine():
    inputs = keras.Input((6, 6, 4))
    x = layers.ReLU()(layers.BatchNormalization(name="first")(inputs))
    y = layers.BatchNormalization(center=False, name="second")(layers.Add()([x, inputs]))
    return keras.Model(inputs, layers.Conv2D(3, 1, name="conv")(layers.ReLU()(y)), name="affine")


class Nested(keras.Model):
    def __init__(self):
        super().__init__(name="nested")
        self.body = keras.Sequential(
            [layers.Dense(4, activation="relu", name="dense"), layers.Dense(3, name="dense_1")], name="body"
        )
        self.head = layers.Dense(3, name="dense")

    def call(self, x):
        return keras.ops.tanh(self.body(x)) * self.head(x)


def nested():
    model = Nested()
    model(np.zeros((1, 5), "float32"))
    return model


BUILDERS = {f.__name__: f for f in (plain, two_heads, shared, affine, nested)}


@functools.cache
def file_of(name):
    """The TFLite file of a model with the weights of seed 1."""
    return convert(randomize(BUILDERS[name](), 1))


def original(name):
    return randomize(BUILDERS[name](), 1)
