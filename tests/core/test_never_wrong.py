"""What once was ported wrongly, or refused though it was right, without a word: each beside its right twin."""

import keras
import ml_dtypes
import numpy as np
import porting
import pytest
import tensorflow as tf
from file_builders import File
from keras import layers, ops

import tflrecover


@keras.saving.register_keras_serializable("never_wrong")
class Tables(layers.Layer):
    """Two terms, from slices of one table or from a table each."""

    def __init__(self, shapes, starts, **kwargs):
        super().__init__(**kwargs)
        self.shapes, self.starts = shapes, starts

    def build(self, _):
        self.tables = [self.add_weight(shape, "random_normal", name=f"t{i}") for i, shape in enumerate(self.shapes)]

    def call(self, x):
        for i, start in enumerate(self.starts):
            table = self.tables[min(i, len(self.tables) - 1)]
            x = ops.tanh(x + (table if start is None else table[start : start + 6]))
        return x


def tables(shapes, starts, size=(6, 6, 3)):
    def make():
        x = keras.Input(size)
        return keras.Model(x, Tables(shapes, starts, name="tables")(layers.Dense(3, activation="tanh")(x)))

    return make


ROWS, COLUMNS = [tables([shape], [None]) for shape in [(6, 1, 3), (1, 6, 3)]]
SLICES, APART = tables([(9, 3)], [0, 3], (6, 3)), tables([(6, 3), (6, 3)], [None, None], (6, 3))


class Anchored(keras.Model):
    """Returns a constant besides what it computes."""

    def __init__(self, anchors):
        super().__init__()
        self.head, self.anchors = layers.Dense(3), anchors

    def call(self, x):
        return self.head(x), tf.constant(self.anchors)


def anchored(shift):
    def make():
        model = Anchored(np.random.default_rng(0).normal(size=(5, 4)).astype("float32") + np.float32(shift))
        model(np.zeros((1, 4), "float32"))
        return model

    return make


def last_step():
    """The step that each example ends with, by an index of its own."""
    x = keras.Input((6, 3))
    y = layers.Dense(4, activation="tanh")(x)
    last = ops.cast(ops.sum(ops.cast(y[:, :, 0] > 0, "int32"), axis=1), "int32") % 5
    taken = layers.Lambda(lambda given: tf.gather(*given, axis=1, batch_dims=1), (4,))([y, last])
    return keras.Model(x, layers.Dense(2)(taken))


@pytest.mark.parametrize("make", [ROWS, COLUMNS, SLICES, APART, last_step])
def test_right_model(make):
    porting.assert_ports(make)


def test_right_constant_output():
    porting.assert_ports(anchored(0), inputs=[np.float32([[0.2, -0.4, 0.6, 0.1]])])


@pytest.mark.parametrize(
    ("right", "wrong"), [(ROWS, COLUMNS), (COLUMNS, ROWS), (APART, SLICES), (anchored(0), anchored(1))]
)
def test_wrong_model(right, wrong):
    porting.assert_refused(right, wrong)


class Divided(layers.Layer):
    def build(self, _):
        self.count = self.add_weight((), "ones", dtype="int32", trainable=False, name="count")

    def call(self, x):
        return ops.tanh(x / ops.cast(self.count, "float32"))


def test_whole_numbers_are_not_cut():
    """1 / (1 / 7) is a little less than 7 in float32, and an integer variable would take 6 of it."""

    def make(count):
        x = keras.Input((4,))
        model = keras.Model(x, Divided(name="divided")(layers.Dense(3, activation="tanh")(x)))
        model.get_layer("divided").count.assign(count)
        return model

    model = make(2)
    assert tflrecover.port(tf.lite.TFLiteConverter.from_keras_model(make(7)).convert(), model).ok
    assert model.get_layer("divided").count.numpy() == 7


def test_unpacked_weights_are_not_taken_for_each_other():
    """Two kernels in bfloat16, each unpacked for as long as it is looked at, may do so in the same place."""
    rng = np.random.default_rng(1)
    kernels = [rng.normal(size=(3, 4)).astype(ml_dtypes.bfloat16) for _ in range(2)]
    file = File()
    x = file.input((1, 4))
    stored = [file.const(kernel.view(np.uint8), "bfloat16", (3, 4)) for kernel in kernels]
    made = [file.op("FULLY_CONNECTED", (x, w, -1), (1, 3), options="FullyConnectedOptions") for w in stored]
    y = file.op("MUL", made, (1, 3), options="MulOptions")

    inputs = keras.Input((4,))
    outputs = layers.Multiply()([layers.Dense(3, use_bias=False, name=name)(inputs) for name in "ab"])
    model = keras.Model(inputs, outputs)
    assert tflrecover.port(file.content(y), model).ok
    found = sorted(model.get_layer(name).kernel.numpy().sum() for name in "ab")
    assert np.allclose(found, sorted(float(kernel.astype("float32").sum()) for kernel in kernels), atol=1e-6)


def test_a_bias_that_is_computed_is_no_weight():
    file = File()
    x, bias = file.input((1, 4)), file.input((3,))
    kernel = file.const(np.random.default_rng(2).normal(size=(3, 4)).astype("float32"))
    content = file.content(file.op("FULLY_CONNECTED", (x, kernel, bias), (1, 3), options="FullyConnectedOptions"))
    inputs = [keras.Input((4,), name="x"), keras.Input((3,), batch_size=1, name="bias")]
    model = keras.Model(inputs, layers.Dense(3)(inputs[0]))
    with pytest.raises(tflrecover.TFLRecoverError):
        tflrecover.port(content, model)


class Boxed(layers.Layer):
    """With arguments that no layer of Keras has."""

    def __init__(self, ratios=((1.0, 2.0), (3.0,)), table=None, factor=0.2, **kwargs):
        super().__init__(**kwargs)
        self.ratios, self.table, self.factor = ratios, table, factor

    def call(self, x):
        return ops.leaky_relu(x, self.factor)

    def get_config(self):
        given = {"ratios": self.ratios, "table": np.arange(3), "factor": self.factor}
        return {**super().get_config(), **given}


def test_what_a_layer_keeps_in_its_configuration_does_not_stop_a_diff():
    def make(factor):
        def model():
            x = keras.Input((4,))
            return keras.Model(x, layers.Dense(2)(Boxed(factor=factor, name="boxed")(layers.Dense(3)(x))))

        return model

    assert porting.differences(make(0.2), make(0.3))
