"""One small model per kind of layer, wiring or constant: what port() must take without a mapping."""

import keras
import numpy as np
from keras import layers as L
from keras import ops

STEPS = (6, 8)
IMAGE = (8, 8, 4)


def model(function, *shapes, batch=None, dtype="float32"):
    inputs = [keras.Input(shape, batch_size=batch, dtype=dtype) for shape in shapes]
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], function(*inputs))


def image(function, shape=IMAGE):
    return lambda: model(function, shape)


def steps(function):
    return lambda: model(function, STEPS)


def vector(function):
    return lambda: model(function, (4,))


def shared_with_a_norm_per_use(x):
    conv = L.Conv2D(4, 3, padding="same")
    return L.BatchNormalization()(conv(L.ReLU()(L.BatchNormalization()(conv(x)))))


def nested_three_deep(x):
    inner = keras.Sequential([L.Conv2D(4, 3), L.ReLU()], name="inner")
    middle = keras.Sequential([inner, L.Conv2D(3, 1)], name="middle")
    return keras.Sequential([middle, L.Flatten()], name="outer")(x)


def submodel_twice(x):
    twice = keras.Sequential([L.Dense(4, activation="relu"), L.Dense(4)])
    return twice(twice(x))


def norm_and_skip(x):
    y = L.Conv2D(6, 3)(x)
    return [L.BatchNormalization()(y), L.ReLU()(y)]


def squeeze_excite(x):
    y = L.Dense(2, activation="relu")(L.GlobalAveragePooling2D()(x))
    return x * L.Reshape((1, 1, 4))(L.Dense(4, activation="sigmoid")(y))


def transformer(x):
    x = L.LayerNormalization()(x + L.MultiHeadAttention(2, 4)(x, x))
    return L.LayerNormalization()(x + L.Dense(8)(L.Dense(16, activation="gelu")(x)))


def embedding():
    tokens = keras.Input((5,), dtype="int32")
    return keras.Model(tokens, L.Dense(3)(L.GlobalAveragePooling1D()(L.Embedding(10, 4)(tokens))))


def dict_outputs():
    inputs = keras.Input((4,))
    return keras.Model(inputs, {"zeta": L.Dense(3, name="p")(inputs), "alpha": L.Dense(3, name="q")(inputs)})


def split_and_join(x):
    first, second = ops.split(x, 2, axis=-1)
    return L.Concatenate()([L.Conv2D(2, 1)(first), second])


MODELS = {
    "separable": image(lambda x: L.SeparableConv2D(6, 3, activation="relu")(x)),
    "one_filter": image(lambda x: L.DepthwiseConv2D(3)(L.Conv2D(1, 1, activation="sigmoid")(x))),
    "depthwise_multiplier": image(lambda x: L.DepthwiseConv2D(3, depth_multiplier=2)(x)),
    "transpose_same": image(lambda x: L.Conv2DTranspose(5, 3, strides=2, padding="same")(x)),
    "transpose_valid": image(lambda x: L.Conv2DTranspose(5, 3, strides=2)(x)),
    "transpose_norm": image(lambda x: L.ReLU()(L.BatchNormalization()(L.Conv2DTranspose(5, 3, strides=2)(x)))),
    "dense_rank_2": vector(lambda x: L.Dense(3)(L.Dense(5, activation="relu")(x))),
    "dense_rank_3": steps(lambda x: L.Dense(3)(L.Dense(5, activation="relu")(x))),
    "dense_rank_4": image(lambda x: L.Dense(3)(x)),
    "conv_1d": steps(lambda x: L.Conv1D(5, 3, padding="same", activation="relu")(x)),
    "conv_1d_norm": steps(lambda x: L.BatchNormalization()(L.Conv1D(5, 3)(x))),
    "conv_1d_causal": steps(lambda x: L.Conv1D(4, 3, dilation_rate=2, padding="causal")(x)),
    "conv_1d_transpose": steps(lambda x: L.Conv1DTranspose(4, 3, strides=2, padding="same")(x)),
    "depthwise_1d": steps(lambda x: L.DepthwiseConv1D(3)(x)),
    "separable_1d": steps(lambda x: L.SeparableConv1D(4, 3)(x)),
    "conv_3d": lambda: model(lambda x: L.Conv3D(3, 2)(x), (5, 5, 5, 2)),
    "dilated": image(lambda x: L.Conv2D(5, 3, dilation_rate=2, padding="same")(x), (9, 9, 4)),
    "dilated_norm": image(lambda x: L.BatchNormalization()(L.Conv2D(5, 3, dilation_rate=2, padding="same")(x))),
    "groups": image(lambda x: L.Conv2D(6, 3, groups=2)(x)),
    "norm_no_center": image(lambda x: L.ReLU()(L.BatchNormalization(center=False)(L.Conv2D(6, 3)(x)))),
    "norm_no_scale": image(lambda x: L.ReLU()(L.BatchNormalization(scale=False)(L.Conv2D(6, 3)(x)))),
    "norm_neither": image(lambda x: L.BatchNormalization(scale=False, center=False)(L.Conv2D(6, 3, use_bias=False)(x))),
    "norm_twice": image(lambda x: L.BatchNormalization()(L.BatchNormalization()(L.Conv2D(6, 3)(x)))),
    "norm_on_input": image(lambda x: L.Conv2D(6, 3)(L.BatchNormalization()(x))),
    "norm_relu_conv": image(lambda x: L.Conv2D(6, 3, padding="same")(L.ReLU()(L.BatchNormalization()(x)))),
    "norm_then_dense": vector(lambda x: L.Dense(6)(L.BatchNormalization()(L.ReLU()(x)))),
    "dense_then_norm": vector(lambda x: L.BatchNormalization()(L.Dense(6)(x))),
    "dense_rank_3_norm": steps(lambda x: L.BatchNormalization()(L.Dense(6)(x))),
    "norm_beside_a_skip": image(norm_and_skip),
    "shared_with_a_norm_per_use": image(shared_with_a_norm_per_use),
    "nested_three_deep": image(nested_three_deep),
    "submodel_twice": vector(submodel_twice),
    "flatten": image(lambda x: L.Dense(3)(L.Flatten()(L.Conv2D(3, 3)(x)))),
    "batch_of_four": lambda: model(lambda x: L.Dense(3)(L.Flatten()(L.Conv2D(3, 3)(x))), IMAGE, batch=4),
    "global_average_keepdims": image(lambda x: L.Conv2D(3, 1)(L.GlobalAveragePooling2D(keepdims=True)(x))),
    "global_max": image(lambda x: L.Dense(3)(L.GlobalMaxPooling2D()(x))),
    "average_pool_same": image(lambda x: L.AveragePooling2D(3, strides=2, padding="same")(L.Conv2D(3, 1)(x))),
    "max_pool_after_padding": image(lambda x: L.MaxPooling2D(3, 2)(L.ZeroPadding2D(1)(L.Conv2D(3, 1)(x)))),
    "pools_1d": steps(lambda x: L.Dense(3)(L.MaxPooling1D(2)(L.AveragePooling1D(2)(x)))),
    "cropping": image(lambda x: L.Conv2D(3, 1)(L.Cropping2D(1)(x))),
    "upsampling_nearest": image(lambda x: L.Conv2D(3, 1)(L.UpSampling2D(2)(x))),
    "upsampling_bilinear": image(lambda x: L.Conv2D(3, 1)(L.UpSampling2D(2, interpolation="bilinear")(x))),
    "upsampling_1d": steps(lambda x: L.Dense(3)(L.UpSampling1D(2)(x))),
    "resizing": image(lambda x: L.Conv2D(3, 1)(L.Resizing(7, 9)(x))),
    "prelu": image(lambda x: L.PReLU()(x)),
    "prelu_shared": image(lambda x: L.PReLU(shared_axes=[1, 2])(L.Conv2D(4, 1)(x))),
    "prelu_shared_steps": steps(lambda x: L.PReLU(shared_axes=[1])(x)),
    "prelu_dense": vector(lambda x: L.PReLU()(L.Dense(4)(x))),
    "leaky_relu": image(lambda x: L.LeakyReLU(0.3)(L.Conv2D(4, 1)(x))),
    "relu_slope_and_limit": image(lambda x: L.ReLU(max_value=4, negative_slope=0.1)(L.Conv2D(4, 1)(x))),
    "relu_threshold": image(lambda x: L.ReLU(threshold=0.2)(L.Conv2D(4, 1)(x))),
    "lambda": vector(lambda x: L.Dense(3)(L.Lambda(lambda t: t * 2.5 + 1.5)(L.ReLU()(x)))),
    "keras_ops": vector(lambda x: L.Dense(3)(ops.sqrt(ops.abs(x) + 0.5))),
    "flip": steps(lambda x: L.Dense(3)(ops.flip(x, axis=1))),
    "split": image(split_and_join),
    "rescaling_before_same": image(lambda x: L.Conv2D(3, 3, padding="same")(L.Rescaling(1 / 127.5, offset=-1)(x))),
    "rescaling_before_valid": image(lambda x: L.Conv2D(3, 3)(L.Rescaling(1 / 127.5, offset=-1)(x))),
    "scale_before_same": image(lambda x: L.Conv2D(3, 3, padding="same")(L.Rescaling(1 / 255)(x))),
    "normalization": image(
        lambda x: L.Conv2D(3, 3, padding="same")(L.Normalization(mean=[1.0, 2, 3, 4], variance=[2.0, 3, 4, 5])(x))
    ),
    "two_inputs": lambda: model(lambda a, b: L.Dense(3)(a) - L.Dense(3)(b), (4,), (4,)),
    "two_inputs_swapped": lambda: model(lambda a, b: L.Concatenate()([L.Dense(3)(b), L.Dense(3)(a)]), (4,), (4,)),
    "dot": lambda: model(lambda a, b: L.Dense(3)(L.Dot(axes=1)([L.Dense(4)(a), L.Dense(4)(b)])), (4,), (5,)),
    "dict_outputs": dict_outputs,
    "twelve_outputs": vector(lambda x: [L.Dense(3, name=f"head_{i}")(x) for i in range(12)]),
    "average_of_three": vector(lambda x: L.Average()([L.Dense(3)(x) for _ in range(3)])),
    "squeeze_excite": image(squeeze_excite),
    "permute": steps(lambda x: L.Dense(3)(L.Permute((2, 1))(x))),
    "repeat_vector": vector(lambda x: L.Dense(3)(L.RepeatVector(3)(x))),
    "reshape": vector(lambda x: L.Conv2D(3, 1)(L.Reshape((4, 4, 4))(L.Dense(64)(x)))),
    "masking": steps(lambda x: L.Dense(3)(L.Masking()(x))),
    "embedding": embedding,
    "time_distributed": steps(lambda x: L.TimeDistributed(L.Dense(3))(x)),
    "einsum_dense": steps(lambda x: L.EinsumDense("abc,cd->abd", output_shape=(None, 5), bias_axes="d")(x)),
    "einsum_heads": steps(lambda x: L.EinsumDense("abc,cde->abde", output_shape=(None, 2, 5), bias_axes="de")(x)),
    "layer_norm": steps(lambda x: L.Dense(4)(L.LayerNormalization(epsilon=1e-6)(x))),
    "layer_norm_no_scale": steps(lambda x: L.LayerNormalization(scale=False)(x)),
    "group_norm": image(lambda x: L.GroupNormalization(2)(x)),
    "rms_norm": steps(lambda x: L.RMSNormalization()(x)),
    "unit_norm": steps(lambda x: L.Dense(3)(L.UnitNormalization()(x))),
    "attention": steps(lambda x: L.MultiHeadAttention(2, 4)(x, x)),
    "cross_attention": lambda: model(lambda a, b: L.MultiHeadAttention(2, 4)(a, b), STEPS, (4, 8)),
    "grouped_query_attention": steps(lambda x: L.GroupQueryAttention(4, 4, 2)(x, x)),
    "transformer": steps(transformer),
}

ACTIVATIONS = (
    "elu exponential gelu hard_sigmoid hard_silu leaky_relu linear log_softmax mish relu relu6 selu sigmoid silu "
    "softmax softplus softsign tanh"
)
MERGES = "Add Average Concatenate Maximum Minimum Multiply Subtract"


def activation(name):
    return image(lambda x: L.Conv2D(3, 1)(L.Activation(name)(L.Conv2D(4, 1)(x))))


def behind_dense(function):
    """A function of a dense layer over steps without a bias: nothing stands between its reshape and the function."""
    return steps(lambda x: L.Dense(4)(L.Lambda(function)(L.Dense(6, use_bias=False)(x))))


def merge(name):
    layer = getattr(L, name)
    return image(lambda x: layer()([L.Conv2D(4, 1, activation="relu")(x), L.Conv2D(4, 1, activation="relu")(x)]))


MODELS |= {f"activation_{name}": activation(name) for name in ACTIVATIONS.split()}
MODELS |= {
    "gelu_behind_dense": behind_dense(lambda x: keras.ops.gelu(x, approximate=False)),
    "unrolled_behind_convolution": steps(lambda x: L.LSTM(3, unroll=True)(L.Conv1D(6, 3)(x))),
    "unrolled_behind_dense": steps(lambda x: L.SimpleRNN(3, unroll=True)(L.Dense(6, activation="tanh")(x))),
    "gelu_tanh_behind_dense": behind_dense(lambda x: keras.ops.gelu(x, approximate=True)),
}
MODELS |= {f"merge_{name}": merge(name) for name in MERGES.split()}


def example_inputs(built):
    rng = np.random.default_rng(5)
    shapes = [(i.shape[0] or 1, *i.shape[1:]) for i in built.inputs]
    return [
        rng.integers(0, 9, shape) if "int" in str(i.dtype) else rng.uniform(-1, 1, shape).astype("float32")
        for i, shape in zip(built.inputs, shapes, strict=True)
    ]
