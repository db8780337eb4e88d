"""Scalings on edges: whoever has taken them in, and whoever else takes the value, both sides say the same."""

import keras
import keras_models as zoo
import numpy as np
import pytest
import yaml
from keras import layers as L
from test_rewrite import SAME, VALID, Build, kernel

import tflrecover
from tests.core.test_align import anonymous
from tflrecover import tolerances


def affine(b, x, size, shape):
    return b("ADD", b("MUL", x, b.const(kernel(size)), shape=shape), b.const(kernel(size)), shape=shape)


def test_scaling_between_pad_and_convolution_goes_forward():
    b = Build((1, 4, 4, 2))
    p = b("PAD", 0, b.const(np.array([[0, 0], [1, 0], [0, 1], [0, 0]])), shape=(1, 5, 5, 2))
    x = affine(b, p, 2, (1, 5, 5, 2))
    y = b("CONV_2D", x, b.const(kernel(3, 1, 1, 2)), b.const(kernel(3)), shape=(1, 5, 5, 3), **VALID)
    text, graph = b.text(y)
    assert text == "CONV_2D"
    assert next(graph.ops()).attributes["padding"] == ((1, 0), (0, 1))


def test_offset_between_pad_and_padded_convolution_stays():
    b = Build((1, 4, 4, 2))
    p = b("PAD", 0, b.const(np.array([[0, 0], [1, 0], [0, 1], [0, 0]])), shape=(1, 5, 5, 2))
    x = affine(b, p, 2, (1, 5, 5, 2))
    y = b("CONV_2D", x, b.const(kernel(3, 3, 3, 2)), b.const(kernel(3)), shape=(1, 5, 5, 3), **SAME)
    assert b.text(y)[0] == "PAD AFFINE CONV_2D"


def test_commuted_operands_are_the_same():
    b = Build((1, 4), (1, 4))
    x, y = (b("ADD", *order, shape=(1, 4)) for order in ((0, 1), (1, 0)))
    assert b.text(b("MAXIMUM", x, y, shape=(1, 4)))[0] == "ADD MAXIMUM"


def test_difference_has_an_order():
    b = Build((1, 4), (1, 4))
    x, y = (b("SUB", *order, shape=(1, 4)) for order in ((0, 1), (1, 0)))
    assert b.text(b("MUL", x, y, shape=(1, 4)))[0] == "SUB SUB MUL"


def test_factor_comes_out_of_a_product_and_stays_for_others():
    b = Build((1, 4), (1, 4))
    x = b("MUL", 0, b.const(np.float32(2.5)), shape=(1, 4))
    y = b("MUL", x, 1, shape=(1, 4))
    assert sorted(b.text(y, b("TANH", x, shape=(1, 4)))[0].split()) == ["AFFINE", "AFFINE", "MUL", "TANH"]
    assert b.text(y)[0] == "MUL AFFINE"


def test_reshape_moves_behind_an_activation_and_stays_for_others():
    b = Build((1, 4))
    x = b("RESHAPE", 0, b.const(np.array([2, 2])), shape=(2, 2))
    y = b("TANH", x, shape=(2, 2))
    assert sorted(b.text(y, x)[0].split()) == ["RESHAPE", "RESHAPE", "TANH"]
    assert b.text(y)[0] == "TANH RESHAPE"


def test_one_number_for_all_stands_behind_what_moves():
    b = Build((1, 4, 6, 3))
    x = b("MUL", b("TANH", 0, shape=(1, 4, 6, 3)), b.const(np.float32(2.5)), shape=(1, 4, 6, 3))
    y = b("TRANSPOSE", x, b.const(np.array([0, 2, 1, 3])), shape=(1, 6, 4, 3))
    z = b("CONV_2D", y, b.const(kernel(2, 3, 3, 3)), b.const(kernel(2)), shape=(1, 6, 4, 2), **SAME)
    assert b.text(z)[0] == "TANH TRANSPOSE AFFINE CONV_2D"


def test_prelu_of_what_is_never_negative():
    b = Build((1, 4))
    x = b("RELU", 0, shape=(1, 4))
    low = b("RELU", b("NEG", x, shape=(1, 4)), shape=(1, 4))
    y = b("ADD", x, b("MUL", low, b.const(kernel(4)), shape=(1, 4)), shape=(1, 4))
    assert b.text(y)[0] == "RELU PRELU"


def model(function, shape=(5,)):
    inputs = keras.Input(shape)
    return keras.Model(inputs, function(inputs))


def dense(use_bias=True):
    return L.Dense(5, use_bias=use_bias)


def scaled_for_one_of_two(x):
    x = L.Rescaling(2.5, offset=0.5)(L.ReLU()(x))
    return [L.Conv2D(3, 1)(x), L.ReLU()(L.Conv2D(3, 3, padding="same")(x)), L.Activation("tanh")(x)]


def average_of_what_is_moved(x):
    """The half is in the kernel of the file, and the transpose between it and the convolution."""
    x = L.Permute((2, 1, 3))(x)
    limited = L.ReLU(6.0)(x)
    return [L.Conv2D(2, 1)(L.Average()([x * (x + 0.5), limited])), L.DepthwiseConv2D(3, padding="same")(limited)]


def norms_in_a_row(x):
    x = L.BatchNormalization()(L.ReLU()(x))
    return [L.Conv2D(3, 1)(L.BatchNormalization()(x)), L.Activation("tanh")(x)]


def norm_before_a_dense_layer_without_bias(x):
    return dense(use_bias=False)(L.BatchNormalization()(L.ReLU()(x)))


def gate(x):
    y = dense()(L.ReLU()(x))
    return y * L.Dense(5, activation="sigmoid")(y)


def shared_before_a_dense_layer(x):
    layer = dense()
    return dense()(layer(L.ReLU()(layer(x))))


def norm_between_uses(x):
    inner = keras.Sequential([dense(), L.ReLU(), dense()])
    return inner(L.BatchNormalization()(inner(x)))


def norm_for_one_use(x):
    layer = dense()
    return [L.ReLU()(L.BatchNormalization()(layer(x))), L.Activation("tanh")(layer(L.ReLU()(x)))]


def constants_between_dense_layers(x):
    return dense()(L.Rescaling(2.0, offset=-0.5)(dense(use_bias=False)(x)))


def one_tower_scaled(x):
    return L.Multiply()([L.ReLU()(x), L.ReLU()(L.BatchNormalization()(x))])


def towers_of_other_constants(x):
    return L.Add()([L.Activation("tanh")(L.Rescaling(s, offset=0.5)(x)) for s in (0.5, 2.0)])


def one_tower_shared(x):
    layer = dense()
    first, second = L.ReLU()(layer(x)), L.ReLU()(dense()(x))
    return [L.Add()([first, second]), L.Activation("tanh")(layer(L.Activation("sigmoid")(x)))]


VECTORS = (
    norm_before_a_dense_layer_without_bias,
    gate,
    shared_before_a_dense_layer,
    norm_between_uses,
    norm_for_one_use,
    constants_between_dense_layers,
    one_tower_scaled,
    towers_of_other_constants,
    one_tower_shared,
)
IMAGES = (scaled_for_one_of_two, average_of_what_is_moved, norms_in_a_row)
CASES = [*((f, (5,)) for f in VECTORS), *((f, (6, 6, 4)) for f in IMAGES)]


@pytest.mark.parametrize(("function", "shape"), CASES, ids=[f.__name__ for f, _ in CASES])
def test_port(function, shape):
    original, twin = (zoo.randomize(model(function, shape), seed) for seed in (1, 2))
    assert tflrecover.port(anonymous(zoo.convert(original)), twin).ok
    x = np.random.default_rng(0).uniform(-1, 1, (1, *shape)).astype("float32")
    for a, b in zip(*(keras.tree.flatten(m(x, training=False)) for m in (original, twin)), strict=True):
        assert np.abs(np.asarray(a) - np.asarray(b)).max() <= tolerances.OUTPUT * np.abs(np.asarray(a)).max()


def test_norm_that_the_model_lacks_is_told():
    def towers(norm):
        return model(
            lambda x: L.Multiply()([L.ReLU()(x), L.Activation("tanh")(L.BatchNormalization()(x) if norm else x)])
        )

    file = anonymous(zoo.convert(zoo.randomize(towers(norm=True), 1)))
    assert [d.kind for d in tflrecover.diff(file, towers(norm=False)).differences] == ["missing"]
    file = anonymous(zoo.convert(towers(norm=False)))
    assert [d.kind for d in tflrecover.diff(file, towers(norm=True)).differences] == ["extra"]


def towers_with_heads(count):
    def function(x):
        x = L.Conv2D(6, 3, activation="relu")(x)
        towers = [L.GlobalAveragePooling2D()(L.Conv2D(4, 3, activation="relu")(x)) for _ in range(count)]
        return [L.Dense(2, name=f"head_{i}")(tower) for i, tower in enumerate(towers)]

    return model(function, (8, 8, 3))


@pytest.mark.parametrize("count", [2, 3])
def test_mapping_lines_settle_what_is_ambiguous(count):
    file = anonymous(zoo.convert(zoo.randomize(towers_with_heads(count), 1)))
    twin = zoo.randomize(towers_with_heads(count), 2)
    report = tflrecover.diff(file, twin)
    assert report.ambiguities
    assert not report.differences
    pasted = {layer: op for a in report.ambiguities for layer, op in yaml.safe_load(a.mapping)["match"].items()}
    assert tflrecover.port(file, twin, {"tflrecover": 1, "match": pasted}).ok


def squeezed(count):
    """Blocks that look alike, with layers that are several operators each."""

    def function(x):
        for i in range(count):
            x = L.Conv2D(8, 3, padding="same", activation="relu", name=f"conv_{i}")(x)
            pooled = L.GlobalAveragePooling2D(keepdims=True, name=f"pool_{i}")(x)
            gate = L.Conv2D(2, 1, activation="relu", name=f"squeeze_{i}")(pooled)
            x = L.Multiply(name=f"gate_{i}")([x, L.Conv2D(8, 1, activation="sigmoid", name=f"excite_{i}")(gate)])
        return L.Dense(3, name="head")(L.Conv2D(6, 3, strides=2, name="last")(x))

    return model(function, (8, 8, 8))


def test_one_line_settles_all_that_is_next_to_it():
    """Of three blocks the model lacks one: which, a mapping says with the first operator of another."""
    file = anonymous(zoo.convert(zoo.randomize(squeezed(3), 1)))
    (told,) = tflrecover.diff(file, squeezed(2)).ambiguities
    lines = yaml.safe_load(told.mapping)["match"]
    assert len(lines) == len(set(told.keras_layers))
    for match in (lines, dict([next(iter(lines.items()))])):
        report = tflrecover.diff(file, squeezed(2), {"tflrecover": 1, "match": match})
        assert len(report.differences) == 1
        assert not report.ambiguities


def test_towers_with_heads_are_not_swapped():
    file = anonymous(zoo.convert(zoo.randomize(towers_with_heads(2), 1)))
    with pytest.raises(tflrecover.PortError):
        tflrecover.port(file, towers_with_heads(2))


def siamese(is_shared=True, is_scaled=False):
    inputs = keras.Input((6,)), keras.Input((6,))
    tower = [L.Dense(5, "relu"), L.Dense(4)]
    others = tower if is_shared else [L.Dense(5, "relu"), L.Dense(4)]
    a, b = (second(first(x)) for x, (first, second) in zip(inputs, (tower, others), strict=True))
    merged = keras.ops.square(a - keras.ops.tanh(b)) if is_scaled else keras.ops.square(a - b)
    return keras.Model(inputs, L.Dense(1, "sigmoid")(merged))


def test_inputs_of_towers_with_the_same_layers_may_change_places():
    file = anonymous(zoo.convert(zoo.randomize(siamese(), 1)))
    model = zoo.randomize(siamese(), 2)
    tflrecover.port(file, model)
    assert tflrecover.verify(file, model).ok


def test_inputs_of_towers_with_layers_of_their_own_may_not():
    file = anonymous(zoo.convert(zoo.randomize(siamese(is_shared=False), 1)))
    with pytest.raises(tflrecover.PortError):
        tflrecover.port(file, siamese(is_shared=False))
    with pytest.raises(tflrecover.PortError):
        tflrecover.port(file, siamese())


def test_towers_of_the_same_layers_that_end_otherwise_are_told_apart():
    file = anonymous(zoo.convert(zoo.randomize(siamese(is_scaled=True), 1)))
    model = zoo.randomize(siamese(is_scaled=True), 2)
    tflrecover.port(file, model)
    assert tflrecover.verify(file, model).ok
