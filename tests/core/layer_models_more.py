"""More kinds of layers, and every setting that changes their converted form."""

import keras
import numpy as np
from keras import layers as L
from keras import ops
from layer_models import STEPS, image, model, steps, vector

VOLUME = (5, 6, 7, 3)


def volume(function, shape=VOLUME):
    return lambda: model(function, shape)


def tokens(function):
    return lambda: model(function, (5,), dtype="int32")


class TiedEmbedding(keras.Layer):
    def __init__(self):
        super().__init__()
        self.embedding, self.dense = L.Embedding(10, 4), L.Dense(4, activation="relu")

    def build(self, shape):
        self.embedding.build(shape)
        self.dense.build((None, None, 4))

    def call(self, x):
        return ops.matmul(self.dense(self.embedding(x)), ops.transpose(self.embedding.embeddings))


def reversible(**settings):
    def function(x):
        embedding = L.ReversibleEmbedding(10, 4, **settings)
        return embedding(L.Dense(4)(embedding(x)), reverse=True)

    return tokens(function)


def settings_of_convolutions():
    """Padding, strides, dilation, groups, multiplier and rank; three convolutions in a model where that fits."""
    found = {}
    for padding in ("same", "valid"):
        p = {"padding": padding}
        found |= {
            f"conv_1d_{padding}": steps(lambda x, p=p: [L.Conv1D(5, 3, strides=s, **p)(x) for s in (2, 3)]),
            f"conv_2d_{padding}": image(
                lambda x, p=p: [L.Conv2D(5, (3, 2), strides=s, use_bias=s == 2, **p)(x) for s in (2, 3)], (9, 10, 4)
            ),
            f"conv_3d_{padding}": volume(lambda x, p=p: [L.Conv3D(4, 2, strides=s, **p)(x) for s in (1, 2)]),
            f"conv_groups_{padding}": steps(lambda x, p=p: L.Conv1D(4, 3, groups=2, **p)(x)),
            f"conv_3d_groups_{padding}": volume(lambda x, p=p: L.Conv3D(4, 2, groups=2, **p)(x), (4, 5, 6, 4)),
            f"conv_dilated_{padding}": image(
                lambda x, p=p: [
                    L.Conv2D(5, 3, dilation_rate=(2, 3), **p)(x),
                    L.Conv2D(8, 3, groups=2, dilation_rate=2, **p)(x),
                    L.DepthwiseConv2D(3, dilation_rate=2, **p)(x),
                ],
                (9, 10, 4),
            ),
            f"depthwise_{padding}": image(
                lambda x, p=p: [
                    L.DepthwiseConv2D(3, strides=2, depth_multiplier=2, **p)(x),
                    L.SeparableConv2D(5, 3, strides=2, depth_multiplier=2, use_bias=False, **p)(x),
                ],
                (9, 10, 4),
            ),
            f"depthwise_1d_{padding}": steps(
                lambda x, p=p: [
                    L.DepthwiseConv1D(3, strides=2, depth_multiplier=2, **p)(x),
                    L.SeparableConv1D(5, 3, strides=2, **p)(x),
                    L.DepthwiseConv1D(2, dilation_rate=2, **p)(x),
                ]
            ),
            f"transpose_{padding}": image(
                lambda x, p=p: [
                    L.Conv2DTranspose(5, 3, strides=2, output_padding=1, **p)(x),
                    L.Conv2DTranspose(3, (2, 4), strides=(2, 1), use_bias=False, **p)(x),
                ],
                (5, 6, 4),
            ),
            f"transpose_1d_{padding}": steps(
                lambda x, p=p: [
                    L.Conv1DTranspose(5, 3, strides=2, output_padding=1, **p)(x),
                    L.Conv1DTranspose(3, 3, strides=3, **p)(x),
                ]
            ),
            f"transpose_3d_{padding}": volume(
                lambda x, p=p: [
                    L.Conv3DTranspose(4, 3, strides=2, output_padding=1, **p)(x),
                    L.Conv3DTranspose(3, 2, **p)(x),
                ],
                (3, 4, 5, 2),
            ),
        }
    return found


CONVOLUTIONS = settings_of_convolutions() | {
    "conv_1d_causal_strides": steps(lambda x: L.Conv1D(4, 3, strides=2, padding="causal")(x)),
    "conv_3d_norm": volume(lambda x: L.ReLU()(L.BatchNormalization()(L.Conv3D(4, 2)(x)))),
    "transpose_3d_norm": volume(lambda x: L.ReLU()(L.BatchNormalization()(L.Conv3DTranspose(4, 2)(x))), (3, 3, 3, 2)),
    "transpose_1d_norm": steps(lambda x: L.ReLU()(L.BatchNormalization()(L.Conv1DTranspose(4, 2, strides=2)(x)))),
    "depthwise_norms": image(
        lambda x: [
            L.ReLU(6)(L.BatchNormalization()(L.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False)(x))),
            L.ReLU()(L.BatchNormalization()(L.SeparableConv2D(5, 3)(x))),
            L.ReLU()(L.BatchNormalization()(L.Conv2D(6, 3, groups=2)(x))),
        ]
    ),
}

# Without weights: several in a model, each before a layer with some.
RESAMPLING = {
    "pools_1d_settings": steps(
        lambda x: [
            L.Dense(3)(pool(3, strides=s, padding=p)(x))
            for pool in (L.MaxPooling1D, L.AveragePooling1D)
            for s, p in ((1, "same"), (2, "valid"))
        ]
    ),
    "pools_2d_settings": image(
        lambda x: [
            L.Dense(3)(pool((3, 2), strides=s, padding=p)(x))
            for pool in (L.MaxPooling2D, L.AveragePooling2D)
            for s, p in ((1, "same"), (2, "valid"))
        ],
        (9, 10, 4),
    ),
    "global_pools": volume(
        lambda x: [
            L.Dense(3)(pool(keepdims=keep)(x))
            for pool in (L.GlobalAveragePooling3D, L.GlobalMaxPooling3D)
            for keep in (False, True)
        ]
    ),
    "adaptive_pools": image(
        lambda x: [L.Dense(3)(pool(3)(x)) for pool in (L.AdaptiveAveragePooling2D, L.AdaptiveMaxPooling2D)]
    ),
    "adaptive_pools_1d": steps(
        lambda x: [L.Dense(3)(pool(4)(x)) for pool in (L.AdaptiveAveragePooling1D, L.AdaptiveMaxPooling1D)]
    ),
    "upsampling_3d": volume(lambda x: L.Conv3D(2, 1)(L.UpSampling3D((2, 1, 3))(x)), (2, 3, 4, 3)),
    "resizing_settings": image(
        lambda x: [
            L.Conv2D(3, 1)(L.Resizing(5, 7, interpolation="nearest")(x)),
            L.Conv2D(3, 1)(L.Resizing(5, 7, crop_to_aspect_ratio=True)(x)),
            L.Conv2D(3, 1)(L.UpSampling2D((2, 3), interpolation="bilinear")(x)),
        ]
    ),
    "resizing_padded": image(lambda x: L.Conv2D(3, 1)(L.Resizing(6, 9, pad_to_aspect_ratio=True, fill_value=0.5)(x))),
    "center_crop": image(lambda x: [L.Conv2D(3, 1)(L.CenterCrop(*size)(x)) for size in ((5, 4), (10, 12))]),
    "cropping_settings": volume(
        lambda x: [L.Conv3D(3, 1)(L.Cropping3D(((1, 0), (1, 2), (0, 3)))(x)), L.Conv3D(2, 1)(L.Cropping3D(1)(x))]
    ),
    "cropping_1d": steps(lambda x: L.Dense(3)(L.Cropping1D((1, 2))(x))),
    "padding_1d": steps(lambda x: [L.Dense(3)(L.ZeroPadding1D((1, 2))(x)), L.Conv1D(3, 3)(L.ZeroPadding1D(2)(x))]),
    "padding_3d": volume(lambda x: L.Conv3D(3, 2)(L.ZeroPadding3D(((1, 0), (1, 2), (0, 3)))(x))),
    "padding_before_transpose": image(lambda x: L.Conv2DTranspose(3, 3)(L.ZeroPadding2D(((1, 0), (2, 3)))(x))),
}

RANKS = {2: (6, 4), 3: (5, 6, 4), 4: (3, 4, 5, 4)}
NORMS = {
    **{f"group_norm_rank_{r + 1}": volume(lambda x: L.GroupNormalization(2)(x), s) for r, s in RANKS.items()},
    **{f"group_norm_groups_{g}": image(lambda x, g=g: L.GroupNormalization(g)(x)) for g in (-1, 1, 4)},
    "group_norm_axis_1": image(lambda x: L.GroupNormalization(2, axis=1)(x)),
    "group_norm_neither": image(
        lambda x: L.ReLU()(L.GroupNormalization(3, center=False, scale=False)(L.Conv2D(6, 3)(x)))
    ),
    **{f"layer_norm_axis_{a}": image(lambda x, a=a: L.LayerNormalization(axis=a)(x), (3, 5, 4)) for a in (1, 2)},
    "layer_norm_two_axes": image(lambda x: L.LayerNormalization(axis=(2, 3))(x), (3, 5, 4)),
    "layer_norm_all_axes": image(lambda x: L.LayerNormalization(axis=(1, 2, 3), center=False)(x), (3, 5, 4)),
    "layer_norm_one_feature": steps(lambda x: [L.LayerNormalization()(L.Dense(1)(x)), L.Dense(3)(x)]),
    "layer_norm_vector": vector(lambda x: L.Dense(3)(L.LayerNormalization()(L.Dense(6)(x)))),
    "rms_norm_two_axes": image(lambda x: L.RMSNormalization(axis=(2, 3))(x), (3, 5, 4)),
    "unit_norm_axes": image(lambda x: [L.Conv2D(3, 1)(L.UnitNormalization(axis=a)(x)) for a in (1, (2, 3))], (3, 5, 4)),
    **{f"batch_norm_axis_{a}": image(lambda x, a=a: L.BatchNormalization(axis=a)(x), (3, 5, 4)) for a in (1, 2)},
    "batch_norm_axis_steps": steps(lambda x: L.Dense(3)(L.BatchNormalization(axis=1)(x))),
    "spectral_norm": image(lambda x: L.Dense(3)(L.SpectralNormalization(L.Conv2D(5, 3))(x))),
    "normalization_axis": steps(
        lambda x: L.Dense(3)(L.Normalization(axis=1, mean=np.arange(6.0) + 1, variance=np.arange(6.0) + 2)(x))
    ),
    "normalization_scalar": steps(lambda x: L.Dense(3)(L.Normalization(axis=None, mean=2.0, variance=3.0)(x))),
    "normalization_inverted": image(
        lambda x: L.Conv2D(3, 3, padding="same")(
            L.Normalization(mean=[1.0, 2, 3, 4], variance=[2.0, 3, 4, 5], invert=True)(x)
        )
    ),
    "rescaling_vector": image(
        lambda x: L.Conv2D(3, 3, padding="same")(L.Rescaling([1.0, 2, 3, 4], offset=[0.1, 0.2, 0.3, 0.4])(x))
    ),
}

# What changes nothing in inference.
_QUIET = (L.Identity, L.Dropout, L.AlphaDropout, L.GaussianNoise, L.GaussianDropout, L.SpatialDropout2D)
_AUGMENT = (L.RandomFlip, L.RandomBrightness, L.RandomContrast, L.RandomRotation, L.RandomZoom, L.RandomInvert)


def quiet(x):
    for layer in _QUIET:
        x = L.Conv2D(3, 1)(layer(0.3)(x) if layer is not L.Identity else layer()(x))
    return L.Conv2D(3, 1)(L.ActivityRegularization(0.1, 0.1)(x))


def augment(x):
    for layer in _AUGMENT:
        x = L.Conv2D(3, 1)(layer(0.2)(x) if layer not in (L.RandomFlip, L.RandomInvert) else layer()(x))
    return L.Conv2D(3, 1)(L.Pipeline([L.Rescaling(0.5), L.CenterCrop(4, 4)])(x))


PRELU_AXES = ((2,), (3,), (1, 3), (2, 3), (1, 2, 3))
OTHERS = {
    "quiet": image(quiet),
    "augment": image(augment, (8, 8, 3)),
    **{
        f"prelu_{''.join(map(str, a))}": image(lambda x, a=a: L.PReLU(shared_axes=a)(L.Conv2D(4, 1)(x)), (3, 5, 4))
        for a in PRELU_AXES
    },
    "prelu_input": image(lambda x: L.PReLU(shared_axes=[1])(x), (3, 5, 4)),
    "dense_rank_5": volume(lambda x: L.Dense(4)(x)),
    "dense_norm_rank_4": image(lambda x: L.BatchNormalization()(L.Dense(4)(x))),
    "dot_axes": lambda: model(lambda a, b: L.Dense(3)(L.Dot(axes=2)([a, b])), STEPS, (4, 8)),
    "dot_other_axes": lambda: model(
        lambda a, b: L.Dense(3)(L.Dot(axes=(2, 1))([L.Dense(4)(a), b])), STEPS, (4, 5), batch=1
    ),
    "dot_steps_normalized": lambda: model(
        lambda a, b: L.Dense(3)(L.Dot(axes=2, normalize=True)([a, b])), STEPS, (4, 8), batch=1
    ),
    "dot_normalized": lambda: model(lambda a, b: L.Dense(3)(L.Dot(axes=-1, normalize=True)([a, b])), (5,), (5,)),
    "spectrum": steps(lambda x: L.Dense(3)(ops.concatenate(ops.rfft(L.Dense(8)(x)), axis=-1))),
    "spectrogram": lambda: model(lambda x: L.Dense(3)(ops.add(*map(ops.square, ops.stft(x, 16, 8, 16)))), (40,)),
    "concatenate_axis": lambda: model(lambda a, b: L.Dense(3)(L.Concatenate(axis=1)([a, b])), STEPS, (4, 8)),
    "permute_image": image(lambda x: L.Conv2D(3, 1)(L.Permute((2, 3, 1))(x)), (3, 5, 4)),
    "time_distributed_norm": volume(
        lambda x: L.TimeDistributed(L.BatchNormalization())(L.TimeDistributed(L.Conv2D(3, 3))(x)), (3, 6, 6, 2)
    ),
    "softmax_axes": steps(lambda x: [L.Dense(3)(L.Softmax(axis=a)(L.Dense(4)(x))) for a in (1, -1)]),
    "softmax_mask": lambda: model(lambda x, m: L.Softmax()(L.Dense(4)(x), mask=m), (6,), (4,)),
    "masking_average": steps(lambda x: L.Dense(3)(L.GlobalAveragePooling1D()(L.Masking()(x)))),
    "category_one_hot": lambda: model(
        lambda x: L.Dense(3)(L.CategoryEncoding(6, output_mode="one_hot")(x)), (1,), dtype="int32"
    ),
    "discretization": vector(lambda x: L.Embedding(4, 3)(L.Discretization([-0.3, 0.0, 0.4])(x))),
}

EINSUM = {
    f"einsum_{equation}": steps(lambda x, e=equation, o=out, b=bias: L.EinsumDense(e, output_shape=o, bias_axes=b)(x))
    for equation, out, bias in (
        ("abc,bd->adc", (5, 8), "dc"),
        ("abc,bcd->ad", 5, "d"),
        ("abc,cde->adbe", (2, 6, 5), "de"),
        ("...c,cd->...d", 5, "d"),
        ("abc,c->ab", (6,), None),
        ("abc,bc->abc", (6, 8), "bc"),
        ("abc,cd->adb", (5, 6), None),
        ("abc,bcd->abd", (6, 5), "bd"),
        ("abc,bc->ab", (6,), "b"),
        ("abc,bc->ac", (8,), "c"),
    )
} | {
    "einsum_two_axes": image(lambda x: L.EinsumDense("abcd,cde->abe", output_shape=(None, 5), bias_axes="e")(x)),
}


def attend(layer, **call):
    return lambda: model(lambda a, b: layer([L.Dense(8)(a), L.Dense(8)(b)], **call), STEPS, (4, 8))


ATTENTION = {
    "attention_causal": steps(lambda x: L.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)),
    "attention_scores": steps(lambda x: list(L.MultiHeadAttention(2, 4)(x, x, return_attention_scores=True))),
    "attention_sizes": steps(lambda x: L.MultiHeadAttention(2, 4, value_dim=3, output_shape=5, use_bias=False)(x, x)),
    "attention_plain": steps(lambda x: L.MultiHeadAttention(1, 4, dropout=0.2, flash_attention=False)(x, x)),
    "attention_axes": image(lambda x: L.MultiHeadAttention(2, 4, attention_axes=2)(x, x), (3, 4, 8)),
    "attention_axes_around_another": lambda: model(
        lambda x: L.MultiHeadAttention(2, 3, attention_axes=(1, 3))(x, x), VOLUME, batch=1
    ),
    "attention_other_axis": lambda: model(
        lambda a, b: L.MultiHeadAttention(2, 4, attention_axes=1)(a, b), (3, 4, 8), (5, 4, 8)
    ),
    "attention_mask": lambda: model(lambda x, m: L.MultiHeadAttention(2, 4)(x, x, attention_mask=m), STEPS, (6, 6)),
    "attention_keys": lambda: model(lambda a, b, c: L.MultiHeadAttention(2, 4)(a, b, c), STEPS, (4, 8), (4, 7)),
    "attention_masking": steps(lambda x: (lambda y: L.MultiHeadAttention(2, 4)(y, y))(L.Masking()(x))),
    "grouped_causal": steps(lambda x: L.GroupQueryAttention(4, 4, 2)(x, x, use_causal_mask=True)),
    "grouped_all": steps(lambda x: L.GroupQueryAttention(4, 4, 4, use_bias=False)(x, x)),
    "dot_attention": attend(L.Attention(use_scale=True)),
    "dot_attention_causal": attend(L.Attention(), use_causal_mask=True),
    "concat_attention": attend(L.Attention(score_mode="concat", use_scale=True)),
    "additive_attention": attend(L.AdditiveAttention()),
}


def patches(x):
    """As in a vision transformer: a grid of them becomes a sequence, of which one place is read in the end."""
    x = L.Dense(12, activation="gelu")(L.Reshape((8, 16))(L.Conv2D(8, 4, strides=4)(x)))
    y = L.LayerNormalization()(x)
    return L.Dense(5)(L.Add()([x, L.MultiHeadAttention(2, 4)(y, y)])[:, 0])


def positions(*shape):
    """Numbers of the code, one per place."""
    return np.random.default_rng(3).uniform(-1, 1, shape).astype("float32")


TURNED = {
    "rows_dense": image(lambda x: L.Dense(5)(L.Reshape((16, 32))(x)), (8, 8, 8)),
    "rows_twice": image(lambda x: L.Dense(5)(L.Dense(6, use_bias=False)(L.Reshape((4, 4, 2, 16))(x))), (8, 8, 8)),
    "rows_norm": image(lambda x: L.Dense(5)(L.BatchNormalization()(L.Reshape((16, 32))(x))), (8, 8, 8)),
    "rows_skip": image(lambda x: (lambda y: L.Add()([y, L.Dense(32)(y)]))(L.Reshape((16, 32))(x)), (8, 8, 8)),
    "rows_groups": image(lambda x: L.Dense(4)(L.GroupNormalization(4)(x)), (8, 8, 8)),
    "patches": image(patches, (16, 16, 3)),
    # Its kernel is made by an operator that no file has: a diagonal matrix of ones.
    "patches_extracted": image(lambda x: L.Dense(5)(ops.image.extract_patches(x, 4)), (16, 16, 3)),
    "positions_dense": steps(lambda x: L.LayerNormalization()(L.Dense(8)(x) + positions(*STEPS))),
    "positions_conv": image(lambda x: L.ReLU()(L.BatchNormalization()(L.Conv2D(4, 3)(x)) + positions(6, 6, 1))),
    "positions_offset": steps(lambda x: L.Dense(3)(L.ReLU()(x) + positions(STEPS[-1]) + positions(*STEPS))),
    "positions_norm": steps(lambda x: L.Dense(3)(L.BatchNormalization()(L.ReLU()(x)) + positions(*STEPS))),
}

TOKENS = {
    "embedding_alone": tokens(lambda x: L.Embedding(10, 4)(x)),
    "embedding_mask": tokens(lambda x: L.Dense(3)(L.GlobalAveragePooling1D()(L.Embedding(10, 4, mask_zero=True)(x)))),
    "embedding_tied": tokens(lambda x: TiedEmbedding()(x)),
    "embedding_reversible": reversible(),
    "embedding_untied": reversible(tie_weights=False),
    "embedding_capped": reversible(logit_soft_cap=5.0),
}

MODELS = CONVOLUTIONS | RESAMPLING | NORMS | OTHERS | EINSUM | ATTENTION | TURNED | TOKENS
