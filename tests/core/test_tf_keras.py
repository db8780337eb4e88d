"""tf_keras (Keras 2) models: ported from files without tensor names, within Keras 2 and across to Keras 3."""

import keras
import keras_models as zoo
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from keras import layers as L

import tflrecover
from tests.core.lite import stripped
from tflrecover import tolerances

K = tf_keras.layers
IM, ST = (8, 8, 4), (6, 8)


def randomize(model, seed):
    """Random weights; tf_keras names variables ``layer/gamma:0``."""
    rng = np.random.default_rng(seed)
    for v in model.variables:
        if tf.as_dtype(v.dtype).is_floating:
            is_positive = any(name in v.name for name in ("gamma", "moving_variance"))
            v.assign(rng.uniform(*((0.5, 1.5) if is_positive else (-0.5, 0.5)), v.shape))
    return model


def fn(function, *shapes, dtype="float32"):
    inputs = [tf_keras.Input(shape, dtype=dtype) for shape in shapes]
    return tf_keras.Model(inputs if len(inputs) > 1 else inputs[0], function(*inputs))


def im(function):
    return lambda: fn(function, IM)


def st(function):
    return lambda: fn(function, ST)


def ve(function):
    return lambda: fn(function, (4,))


MODELS = {
    "dense_rank_3": st(lambda x: K.Dense(3)(K.Dense(5, activation="relu")(x))),
    "conv_bn": im(lambda x: K.ReLU()(K.BatchNormalization()(K.Conv2D(6, 3, padding="same")(x)))),
    "hard_sigmoid": im(lambda x: K.Conv2D(3, 1)(K.Activation("hard_sigmoid")(K.Conv2D(4, 1)(x)))),
    "layer_norm": st(lambda x: K.Dense(4)(K.LayerNormalization()(x))),
    "layer_norm_no_scale": st(lambda x: K.LayerNormalization(scale=False)(x)),
    "layer_norm_image": im(lambda x: K.LayerNormalization()(x)),
    "layer_norm_three_axes": im(lambda x: K.LayerNormalization(axis=[1, 2, 3])(x)),
    "attention_heads": st(lambda x: K.MultiHeadAttention(2, 4)(x, x)),
    "attention_heads_cross": lambda: fn(lambda a, b: K.MultiHeadAttention(2, 4)(a, b), ST, (4, 8)),
    "additive_attention": lambda: fn(lambda a, b: K.Dense(3)(K.AdditiveAttention()([a, b])), ST, (4, 8)),
    "einsum": st(lambda x: K.EinsumDense("abc,cde->abde", output_shape=(None, 2, 5), bias_axes="de")(x)),
    "separable": im(lambda x: K.SeparableConv2D(6, 3, activation="relu")(x)),
    "transpose_same": im(lambda x: K.Conv2DTranspose(5, 3, strides=2, padding="same")(x)),
    "dilated_norm": im(lambda x: K.BatchNormalization()(K.Conv2D(5, 3, dilation_rate=2, padding="same")(x))),
    "prelu": im(lambda x: K.PReLU(shared_axes=[1, 2])(K.Conv2D(4, 1)(x))),
    "thresholded_relu": im(lambda x: K.ThresholdedReLU(0.2)(K.Conv2D(4, 1)(x))),
    "relu_limits": im(lambda x: K.ReLU(max_value=4, negative_slope=0.1, threshold=0.2)(K.Conv2D(4, 1)(x))),
    "embedding_masked": lambda: fn(
        lambda t: K.Dense(3)(K.GlobalAveragePooling1D()(K.Embedding(10, 4, mask_zero=True)(t))), (5,), dtype="int32"
    ),
    "normalization": im(
        lambda x: K.Conv2D(3, 3, padding="same")(K.Normalization(mean=[1.0, 2, 3, 4], variance=[2.0, 3, 4, 5])(x))
    ),
    "time_distributed_conv": lambda: fn(lambda x: K.TimeDistributed(K.Conv2D(3, 3))(x), (3, 6, 6, 2)),
    "transformer": st(
        lambda x: K.LayerNormalization()(
            K.LayerNormalization()(x + K.MultiHeadAttention(2, 4)(x, x)) + K.Dense(8)(K.Dense(16, activation="gelu")(x))
        )
    ),
    "swish": im(lambda x: K.Conv2D(3, 1)(K.Activation("swish")(K.Conv2D(4, 1)(x)))),
    "gelu": im(lambda x: K.Conv2D(3, 1)(K.Activation("gelu")(K.Conv2D(4, 1)(x)))),
    "twelve_outputs": ve(lambda x: [K.Dense(3, name=f"h{i}")(x) for i in range(12)]),
}


class Two(tf_keras.Model):
    def __init__(self):
        super().__init__()
        self.p, self.q, self.drop = K.Dense(3), K.Dense(3), K.Dropout(0.5)

    def call(self, x, training=None):
        return self.drop(self.p(x[0]), training=training) * 2 - self.q(x[1])


class Named(Two):
    def call(self, x, training=False):
        return {"zeta": self.p(x["zeta"]) * 2, "alpha": self.q(x["alpha"])}


class Deep(tf_keras.Model):
    def __init__(self):
        super().__init__()
        blocks = ((K.Conv2D(4, 3, padding="same"), K.BatchNormalization(), K.ReLU()) for _ in range(2))
        self.blocks = [tf_keras.Sequential(list(block)) for block in blocks]
        self.head = K.Dense(3)

    def call(self, x):
        for block in self.blocks:
            x = block(block(x))
        return self.head(tf.reshape(x, (tf.shape(x)[0], -1)))


def subclassed(cls, shapes):
    def build():
        model = cls()
        model(tf.nest.map_structure(lambda shape: tf.zeros(shape.shape), shapes))
        return model

    return build


ONE = np.zeros((1, 4))
MODELS |= {
    "subclassed_list": subclassed(Two, [ONE, ONE]),
    "subclassed_dict": subclassed(Named, {"zeta": ONE, "alpha": ONE}),
    "subclassed_deep": subclassed(Deep, np.zeros((1, *IM))),
}


def convert(model):
    return tf.lite.TFLiteConverter.from_keras_model(model).convert()


def example(model):
    specs = model.save_spec()[0]
    rng = np.random.default_rng(5)

    def numbers(spec):
        shape = [1 if n is None else n for n in spec.shape]
        return rng.integers(0, 9, shape) if spec.dtype.is_integer else rng.uniform(-1, 1, shape).astype("float32")

    return tf.nest.map_structure(numbers, specs)


def assert_same(original, twin, args):
    results = [tf.nest.flatten(model(*args)) for model in (original, twin)]
    for want, got in zip(*results, strict=True):
        want, got = np.asarray(want), np.asarray(got)
        assert np.abs(want - got).max() <= tolerances.OUTPUT * np.abs(want).max()


@pytest.mark.parametrize("name", sorted(MODELS))
def test_port(name):
    tf_keras.backend.clear_session()
    original, twin = randomize(MODELS[name](), 1), randomize(MODELS[name](), 2)
    assert tflrecover.port(stripped(convert(original)), twin).ok
    assert_same(original, twin, example(original))


def network(module):
    """One architecture under either Keras; no layer in it computes something else there."""
    layers = module.layers
    inputs = module.Input(IM)
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(6, 3, padding="same")(inputs)))
    x = layers.SeparableConv2D(6, 3, activation="relu")(x)
    x = layers.Dense(5)(layers.Flatten()(layers.MaxPooling2D()(x)))
    return module.Model(inputs, layers.Softmax()(x))


@pytest.mark.parametrize(("source", "target"), [(tf_keras, keras), (keras, tf_keras)])
def test_port_across_keras_versions(source, target):
    original, twin = randomize(network(source), 1), randomize(network(target), 2)
    assert tflrecover.port(stripped(convert(original)), twin).ok
    assert_same(original, twin, [np.random.default_rng(5).uniform(-1, 1, (1, *IM)).astype("float32")])


def attention(module):
    inputs = module.Input(ST)
    return module.Model(inputs, module.layers.MultiHeadAttention(2, 4)(inputs, inputs))


@pytest.mark.parametrize(("source", "target"), [(tf_keras, keras), (keras, tf_keras)])
def test_attention_across_keras_versions(source, target):
    """Keras 3 scales the scores, tf_keras the query, where the converter takes it into the projection."""
    original, twin = randomize(attention(source), 1), randomize(attention(target), 2)
    assert tflrecover.port(stripped(convert(original)), twin).ok
    assert_same(original, twin, [np.random.default_rng(5).uniform(-1, 1, (1, *ST)).astype("float32")])


def words(module):
    inputs = module.Input((5,), dtype="int32")
    return module.Model(inputs, module.layers.Dense(3)(module.layers.Embedding(9, 4)(inputs)))


@pytest.mark.parametrize(("source", "target"), [(tf_keras, keras), (keras, tf_keras)])
def test_embeddings_across_keras_versions(source, target):
    """Keras 3 counts negative indices from the end, tf_keras knows none."""
    original, twin = randomize(words(source), 1), randomize(words(target), 2)
    assert tflrecover.port(stripped(convert(original)), twin).ok
    assert_same(original, twin, [np.random.default_rng(5).integers(0, 9, (1, 5)).astype("int32")])


def test_attention_of_other_heads_across_keras_versions_is_refused():
    original = randomize(attention(tf_keras), 1)
    given = keras.Input(ST)
    twin = zoo.randomize(keras.Model(given, L.MultiHeadAttention(4, 2)(given, given)), 2)
    with pytest.raises(tflrecover.PortError, match="multi_head_attention"):
        tflrecover.port(stripped(convert(original)), twin)
