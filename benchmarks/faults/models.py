"""The models that faults are planted in: small ones that hold every kind of layer, and BlazePalm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.zoo import models as zoo
from benchmarks.zoo.worker import file_of
from tests.core.keras_models import convert, randomize


def vision() -> Any:
    """Convolutions of every kind, pools, skips, concatenation, paddings, two heads."""
    import keras
    from keras import layers

    x = image = keras.Input((24, 24, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="rescaling")(x)
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name="pad")(x)
    x = layers.Conv2D(8, 3, strides=2, use_bias=False, name="stem")(x)
    x = layers.BatchNormalization(name="stem_bn")(x)
    x = skip = layers.ReLU(max_value=6.0, name="stem_relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = layers.BatchNormalization(name="depthwise_bn")(x)
    x = layers.LeakyReLU(negative_slope=0.2, name="leaky")(x)
    x = layers.Conv2D(8, 1, name="point")(x)
    x = layers.Add(name="add")([x, skip])
    x = high = layers.PReLU(shared_axes=[1, 2], name="prelu")(x)
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="max_pool")(x)
    x = layers.Conv2D(8, 3, padding="same", dilation_rate=2, activation="elu", name="dilated")(x)
    x = layers.Conv2D(8, 3, padding="same", groups=2, activation="silu", name="grouped")(x)
    x = layers.SeparableConv2D(12, 3, padding="same", activation="relu", name="separable")(x)
    x = layers.AveragePooling2D(2, name="average_pool")(x)
    x = layers.Conv2DTranspose(8, 3, strides=2, padding="same", activation="tanh", name="transposed")(x)
    x = layers.UpSampling2D(2, interpolation="bilinear", name="upsampling")(x)
    x = layers.Concatenate(name="concatenate")([x, high])
    x = layers.Cropping2D(((1, 0), (1, 0)), name="crop")(x)
    x = layers.Conv2D(8, 3, activation="softplus", name="neck")(x)
    x = layers.LayerNormalization(name="layer_norm", epsilon=1e-3)(x)
    y = layers.GlobalAveragePooling2D(name="pool_a")(x)
    z = layers.GlobalMaxPooling2D(name="pool_b")(x)
    boxes = layers.Dense(4, name="boxes")(layers.Subtract(name="subtract")([y, z]))
    scores = layers.Dense(4, activation="softmax", name="scores")(y)
    return keras.Model(image, [boxes, scores], name="vision")


def transformer() -> Any:
    """Embedding, attention, layer norm, GELU, residuals."""
    import keras
    from keras import layers, ops

    tokens = keras.Input((12,), dtype="int32", name="tokens")
    x = layers.Embedding(30, 16, name="embedding")(tokens)
    for block in ("a", "b"):
        y = layers.LayerNormalization(epsilon=1e-3, name=f"norm_{block}")(x)
        y = layers.MultiHeadAttention(2, 8, name=f"attention_{block}")(y, y, use_causal_mask=True)
        x = layers.Add(name=f"residual_{block}")([x, y])
        y = layers.LayerNormalization(epsilon=1e-3, name=f"norm_{block}2")(x)
        y = ops.gelu(layers.Dense(32, name=f"wide_{block}")(y), approximate=block == "a")
        y = layers.Dense(16, name=f"narrow_{block}")(y)
        x = layers.Add(name=f"residual_{block}2")([x, y])
    x = layers.GlobalAveragePooling1D(name="pool")(x)
    return keras.Model(tokens, layers.Dense(5, activation="softmax", name="head")(x), name="transformer")


def recurrent() -> Any:
    """Recurrent layers and convolutions over steps."""
    import keras
    from keras import layers

    x = steps = keras.Input((10, 6), name="steps")
    x = layers.Conv1D(8, 3, padding="causal", activation="relu", name="conv")(x)
    x = layers.MaxPooling1D(2, name="pool")(x)
    x = layers.LSTM(6, return_sequences=True, unroll=True, name="lstm")(x)
    x = layers.GRU(5, return_sequences=True, go_backwards=True, unroll=True, name="gru")(x)
    x = layers.Bidirectional(layers.SimpleRNN(4, unroll=True), name="both")(x)
    return keras.Model(steps, layers.Dense(3, activation="sigmoid", name="dense")(x), name="recurrent")


def unet() -> Any:
    """Down and up again, with skips by concatenation."""
    import keras
    from keras import layers

    x = image = keras.Input((32, 32, 3), name="image")
    skips = []
    for level, filters in enumerate((8, 12)):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"down_{level}")(x)
        skips.append(x)
        x = layers.MaxPooling2D(2, name=f"pool_{level}")(x)
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="bottom")(x)
    for level, filters in ((1, 12), (0, 8)):
        x = layers.UpSampling2D(2, name=f"up_{level}")(x)
        x = layers.Concatenate(name=f"join_{level}")([x, skips[level]])
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"fuse_{level}")(x)
    return keras.Model(image, layers.Conv2D(2, 1, activation="softmax", name="mask")(x), name="unet")


def blazepalm() -> Any:
    """The reference example, as of 2021."""
    from examples.blazepalm.model import blazepalm_2021

    return blazepalm_2021("lite")


MODELS: dict[str, Callable[[], Any]] = {
    model.__name__: model for model in (vision, transformer, recurrent, unet, blazepalm)
}


def case(name: str) -> tuple[Any, Any, bytes]:
    """``(model, the same with other weights, its file)`` of a name here or in Keras Applications."""
    if name in MODELS:
        model, twin = (randomize(MODELS[name](), seed) for seed in (1, 2))
        return model, twin, convert(model)
    # The weights that `make zoo` converts.
    model, twin = (zoo.randomize(zoo.build(name), seed) for seed in (1, 2))
    return model, twin, file_of(name, "fp32", Path("build/zoo"), anew=False)[0]
