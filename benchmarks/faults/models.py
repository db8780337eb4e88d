"""The models that faults are planted in: small ones that hold every kind of layer, and BlazePalm."""

from __future__ import annotations

import functools
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


@functools.cache
def positions() -> Any:
    """The class of a layer that adds a learned vector to each of its tokens."""
    import keras

    @keras.saving.register_keras_serializable("faults")
    class Positions(keras.layers.Layer):  # type: ignore[misc]
        def build(self, shape: Any) -> None:
            self.table = self.add_weight(shape=shape[1:], name="table")

        def call(self, x: Any) -> Any:
            return x + self.table

    return Positions


def segmenter() -> Any:
    """Down and up again by transposed convolutions, with group norms and a border that is reflected."""
    import keras
    from keras import layers, ops

    x = image = keras.Input((16, 16, 4), name="image")
    x = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    x = layers.Conv2D(8, 3, name="stem")(x)
    x = layers.GroupNormalization(4, name="stem_norm")(x)
    x = skip = layers.Activation("mish", name="stem_act")(x)
    x = layers.Conv2D(12, 3, strides=2, padding="same", name="down")(x)
    x = layers.GroupNormalization(3, epsilon=1e-2, name="down_norm")(x)
    x = layers.ELU(alpha=0.7, name="down_act")(x)
    x = layers.Conv2D(12, 3, dilation_rate=2, padding="same", activation="hard_swish", name="wide")(x)
    x = layers.Conv2DTranspose(8, 2, strides=2, use_bias=False, name="up")(x)
    x = layers.BatchNormalization(name="up_norm")(x)
    x = layers.Concatenate(name="join")([x, skip])
    x = layers.Dropout(0.3, name="dropout")(x)
    x = layers.Conv2D(8, 3, padding="same", activation="leaky_relu", name="fuse")(x)
    x = layers.Conv2DTranspose(8, 4, strides=2, padding="same", activation="relu", name="larger")(x)
    x = layers.Conv2D(3, 1, name="logits")(x)
    return keras.Model(image, layers.Softmax(name="mask")(x), name="segmenter")


def detector() -> Any:
    """A pyramid of features, heads that both levels share, boxes of all levels in one tensor."""
    import keras
    from keras import layers

    image = keras.Input((32, 32, 3), name="image")
    x = layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.05, 0.06, 0.07], name="normalization")(image)
    x = layers.Conv2D(8, 5, strides=2, padding="same", activation="relu6", name="stem")(x)
    fine = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="c3")(x)
    coarse = layers.Conv2D(12, 3, strides=2, padding="same", activation="relu", name="c4")(fine)
    top = layers.Conv2D(8, 1, name="lateral4")(coarse)
    up = layers.UpSampling2D(2, interpolation="nearest", name="up")(top)
    bottom = layers.Add(name="merge")([layers.Conv2D(8, 1, name="lateral3")(fine), up])
    tower = layers.Conv2D(8, 3, padding="same", activation="silu", name="tower")
    boxes, scores = [], []
    box, score = layers.Conv2D(8, 3, padding="same", name="box"), layers.Conv2D(6, 3, padding="same", name="score")
    for level, features in (("3", bottom), ("4", top)):
        y = tower(features)
        boxes.append(layers.Reshape((-1, 4), name=f"boxes{level}")(box(y)))
        scores.append(layers.Reshape((-1, 3), name=f"scores{level}")(score(y)))
    all_boxes = layers.Concatenate(axis=1, name="boxes")(boxes)
    all_scores = layers.Concatenate(axis=1, name="scores")(scores)
    return keras.Model(
        image, [all_boxes, layers.Activation("sigmoid", name="probabilities")(all_scores)], name="detector"
    )


def encoder() -> Any:
    """A vision transformer: patches, learned positions, attention over all, layers scaled by learned numbers."""
    import keras
    from keras import layers

    image = keras.Input((16, 16, 3), name="image")
    x = layers.Conv2D(16, 4, strides=4, name="patches")(image)
    x = layers.Reshape((16, 16), name="tokens")(x)
    x = positions()(name="positions")(x)
    y = layers.LayerNormalization(epsilon=1e-3, name="norm_a")(x)
    y = layers.MultiHeadAttention(4, 6, value_dim=5, name="attention")(y, y)
    x = layers.Add(name="residual_a")([x, y])
    y = layers.LayerNormalization(epsilon=1e-3, name="norm_b")(x)
    y = layers.Dense(32, activation="gelu", name="wide")(y)
    y = layers.Dense(16, name="narrow")(y)
    x = layers.Add(name="residual_b")([x, y])
    x = layers.LayerNormalization(epsilon=1e-3, name="norm")(x)
    x = layers.GlobalAveragePooling1D(name="pool")(x)
    return keras.Model(image, layers.Dense(5, name="head")(x), name="encoder")


def tagger() -> Any:
    """Recurrent layers as loops, both ways, over masked tokens."""
    import keras
    from keras import layers

    # A converter knows loops of a fixed batch only.
    tokens = keras.Input((8,), batch_size=1, dtype="int32", name="tokens")
    x = layers.Embedding(30, 6, name="embedding")(tokens)
    x = layers.Bidirectional(layers.LSTM(5, return_sequences=True), name="both")(x)
    x = layers.GRU(7, return_sequences=True, name="gru")(x)
    x = layers.SimpleRNN(4, return_sequences=True, go_backwards=True, name="simple")(x)
    x = layers.TimeDistributed(layers.Dense(6, activation="tanh"), name="each")(x)
    x = layers.LSTM(5, name="last")(x)
    return keras.Model(tokens, layers.Dense(3, activation="softmax", name="tags")(x), name="tagger")


def wavenet() -> Any:
    """Causal dilated convolutions over steps with gates, skips that are added up."""
    import keras
    from keras import layers

    steps = keras.Input((24, 2), name="steps")
    x = layers.Conv1D(6, 2, padding="causal", name="start")(steps)
    skips = []
    for rate in (1, 2, 4):
        y = layers.Conv1D(6, 2, padding="causal", dilation_rate=rate, activation="tanh", name=f"filter{rate}")(x)
        z = layers.Conv1D(6, 2, padding="causal", dilation_rate=rate, activation="sigmoid", name=f"gate{rate}")(x)
        y = layers.Multiply(name=f"gated{rate}")([y, z])
        skips.append(layers.Conv1D(8, 1, name=f"skip{rate}")(y))
        x = layers.Add(name=f"residual{rate}")([x, layers.Conv1D(6, 1, name=f"out{rate}")(y)])
    x = layers.ReLU(name="sum_act")(layers.Add(name="sum")(skips))
    x = layers.Conv1D(8, 1, activation="relu", name="post")(x)
    x = layers.AveragePooling1D(4, name="pool")(x)
    return keras.Model(steps, layers.Conv1D(5, 1, activation="softmax", name="classes")(x), name="wavenet")


def convnext() -> Any:
    """Blocks of a large depthwise convolution, a layer norm, two dense layers and a learned scale."""
    import keras
    from keras import layers
    from keras.src.applications.convnext import LayerScale

    image = keras.Input((16, 16, 3), name="image")
    x = layers.Conv2D(8, 4, strides=4, name="stem")(image)
    x = layers.LayerNormalization(epsilon=1e-6, name="stem_norm")(x)
    for block in ("a", "b"):
        y = layers.DepthwiseConv2D(3, padding="same", name=f"depthwise_{block}")(x)
        y = layers.LayerNormalization(epsilon=1e-6, name=f"norm_{block}")(y)
        y = layers.Dense(16, name=f"wide_{block}")(y)
        y = layers.Activation("gelu", name=f"gelu_{block}")(y)
        y = layers.Dense(8, name=f"narrow_{block}")(y)
        y = LayerScale(1e-6, 8, name=f"scale_{block}")(y)
        x = layers.Add(name=f"residual_{block}")([x, y])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    return keras.Model(image, layers.Dense(4, name="head")(x), name="convnext")


def siamese() -> Any:
    """One tower for two images, and what is between them."""
    import keras
    from keras import layers, ops

    x = image = keras.Input((16, 16, 3))
    x = layers.Conv2D(6, 3, strides=2, activation="relu", name="conv")(x)
    x = layers.MaxPooling2D(3, strides=2, name="max")(x)
    x = layers.Flatten(name="flat")(x)
    tower = keras.Model(image, layers.Dense(8, name="embed")(x), name="tower")
    left, right = keras.Input((16, 16, 3), name="left"), keras.Input((16, 16, 3), name="right")
    shared = layers.Dense(6, activation="relu", name="shared")
    one, two = shared(tower(left)), shared(tower(right))
    apart = layers.Subtract(name="apart")([one, two])
    together = layers.Dot(axes=1, normalize=True, name="cosine")([one, two])
    x = layers.Concatenate(name="all")([ops.abs(apart), together, one])
    return keras.Model([left, right], layers.Dense(2, activation="softmax", name="same")(x), name="siamese")


def two_by_two() -> Any:
    """Two inputs of different kinds, two outputs."""
    import keras
    from keras import layers

    image, numbers = keras.Input((12, 12, 3), name="image"), keras.Input((5,), name="numbers")
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="conv")(image)
    x = layers.SpatialDropout2D(0.1, name="dropout")(x)
    x = layers.GlobalMaxPooling2D(name="pool")(x)
    y = layers.Dense(6, activation="tanh", name="dense")(numbers)
    y = layers.BatchNormalization(name="bn")(y)
    z = layers.Multiply(name="product")([x, y])
    z = layers.Concatenate(name="joined")([z, x, y])
    z = layers.Dense(8, name="trunk")(z)
    z = layers.PReLU(name="prelu")(z)
    one = layers.Dense(3, activation="softmax", name="kind")(z)
    two = layers.Dense(3, activation="exponential", name="amount")(z)
    return keras.Model([image, numbers], [one, two], name="two_by_two")


def channels_first() -> Any:
    """Convolutions whose channels come before height and width."""
    import keras
    from keras import layers

    first = {"data_format": "channels_first"}
    image = keras.Input((3, 16, 16), name="image")
    x = layers.ZeroPadding2D(1, name="pad", **first)(image)
    x = layers.Conv2D(8, 3, name="conv", **first)(x)
    x = layers.BatchNormalization(axis=1, name="bn")(x)
    x = skip = layers.ReLU(name="relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise", **first)(x)
    x = layers.LeakyReLU(negative_slope=0.1, name="leaky")(x)
    x = layers.Add(name="add")([x, skip])
    x = layers.MaxPooling2D(2, name="pool", **first)(x)
    x = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu", name="down", **first)(x)
    x = layers.Flatten(name="flat", **first)(x)
    return keras.Model(image, layers.Dense(4, name="dense")(x), name="channels_first")


def conformer() -> Any:
    """Attention and a gated convolution over steps, between two layers of half a weight, and one step of the result."""
    import keras
    from keras import layers, ops

    steps = keras.Input((12, 6), name="steps")
    x = layers.Dense(8, name="start")(steps)
    y = layers.LayerNormalization(name="norm_a")(x)
    y = layers.Dense(8, name="narrow_a")(layers.Dense(16, activation="silu", name="wide_a")(y))
    x = layers.Add(name="residual_a")([x, y * 0.5])
    y = layers.LayerNormalization(name="norm_b")(x)
    x = layers.Add(name="residual_b")([x, layers.MultiHeadAttention(2, 4, name="attention")(y, y)])
    y = layers.Conv1D(16, 1, name="gates")(layers.LayerNormalization(name="norm_c")(x))
    y, gate = ops.split(y, 2, axis=-1)
    y = layers.Multiply(name="gated")([y, layers.Activation("sigmoid", name="gate")(gate)])
    y = layers.DepthwiseConv1D(5, padding="same", name="depthwise")(y)
    y = layers.Activation("silu", name="silu")(layers.BatchNormalization(name="bn")(y))
    x = layers.Add(name="residual_c")([x, layers.Conv1D(8, 1, name="point")(y)])
    x = layers.LayerNormalization(name="norm")(x)[:, -1, :]
    return keras.Model(steps, layers.Dense(4, name="head")(x), name="conformer")


def functions() -> Any:
    """Calls of keras.ops and of Python's operators between layers."""
    import keras
    from keras import layers, ops

    image = keras.Input((16, 16, 3), name="image")
    x = image / 127.5 - 1.0
    x = layers.Conv2D(8, 3, padding="same", name="conv")(x)
    x = ops.clip(x, -1.5, 2.5)
    y = layers.Conv2D(8, 3, padding="same", name="other")(x)
    x = ops.subtract(ops.sigmoid(y), x) * 0.5
    x = ops.where(x > 0.1, x, ops.square(x))
    x = ops.max_pool(x, 2, strides=2)
    z = ops.mean(x, axis=(1, 2), keepdims=True)
    x = x * ops.relu6(layers.Conv2D(8, 1, name="gate")(z) + 3.0) / 6.0
    x = ops.leaky_relu(x, negative_slope=0.3)
    x = ops.reshape(x, (-1, 64, 8))
    scores = ops.softmax(ops.matmul(x, ops.transpose(x, (0, 2, 1))) * 0.35, axis=-1)
    x = ops.matmul(scores, x)
    x = ops.sum(x, axis=1) / ops.sqrt(ops.sum(ops.square(x), axis=1) + 1e-3)
    return keras.Model(image, layers.Dense(4, name="dense")(ops.concatenate([x, x + 1.0], axis=-1)), name="functions")


def blazepalm() -> Any:
    """The reference example, as of 2021."""
    from examples.blazepalm.model import blazepalm_2021

    return blazepalm_2021("lite")


MODELS: dict[str, Callable[[], Any]] = {
    model.__name__: model
    for model in (
        *(vision, transformer, recurrent, unet, segmenter, detector, encoder, tagger, wavenet, convnext),
        *(siamese, two_by_two, channels_first, conformer, functions, blazepalm),
    )
}


def case(name: str) -> tuple[Any, Any, bytes]:
    """``(model, the same with other weights, its file)`` of a name here or in Keras Applications."""
    if name in MODELS:
        model, twin = (randomize(MODELS[name](), seed) for seed in (1, 2))
        return model, twin, convert(model)
    # The weights that `make zoo` converts.
    model, twin = (zoo.randomize(zoo.build(name), seed) for seed in (1, 2))
    return model, twin, file_of(name, "fp32", Path("build/zoo"), anew=False)[0]
