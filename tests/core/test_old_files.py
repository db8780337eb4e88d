"""Files as TOCO wrote them, operator by operator: LiteRT agrees with the Keras model, and the port gives it back."""

import keras
import keras_models as zoo
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as L
from keras import ops

import tflrecover
from tests.core.file_builders import FUSED, File, run
from tflrecover import tolerances

IMAGE = (2, 6, 6, 4)
ROWS = (2, 8)


def model(function, shape=IMAGE):
    inputs = keras.Input(shape[1:], batch_size=shape[0])
    return keras.Model(inputs, function(inputs))


def weights(layer):
    """Kernel and bias in the file's layout."""
    kernel, *bias = (np.asarray(w) for w in layer.weights)
    if isinstance(layer, L.DepthwiseConv2D):
        kernel = kernel.reshape(1, *kernel.shape[:2], -1)
    elif isinstance(layer, L.Conv2DTranspose):
        kernel = kernel.transpose(2, 0, 1, 3)
    else:
        kernel = np.moveaxis(kernel, -1, 0)
    return kernel, bias[0] if bias else None


class Toco(File):
    """The operators of Keras layers, with the options that old converters wrote."""

    def linear(self, layer, x, fused=0, bias="given", **values):
        kernel, found = weights(layer)
        rest = [] if bias == "short" else [-1 if found is None else self.const(found)]
        shape = values.pop("shape", None) or layer.output.shape
        if isinstance(layer, L.Dense):
            options = "FullyConnectedOptions"
            kind = "FULLY_CONNECTED"
        else:
            is_depthwise = isinstance(layer, L.DepthwiseConv2D)
            kind, options = ("DEPTHWISE_CONV_2D" if is_depthwise else "CONV_2D"), "Conv2DOptions"
            options = "DepthwiseConv2DOptions" if is_depthwise else options
            values = {
                "strideH": layer.strides[0],
                "strideW": layer.strides[1],
                "padding": int(layer.padding == "valid"),
                **({"depthMultiplier": layer.depth_multiplier} if is_depthwise else {}),
                **values,
            }
        return self.op(
            kind,
            (x, self.const(kernel), *rest),
            shape,
            options=options,
            fusedActivationFunction=fused,
            **values,
        )


def clip(low, high):
    return lambda x: ops.clip(x, low, high)


ACTIVATIONS = {
    FUSED.NONE: lambda x: x,
    FUSED.RELU: ops.relu,
    FUSED.RELU6: ops.relu6,
    FUSED.RELU_N1_TO_1: clip(-1.0, 1.0),
}
OF_CODE = {**ACTIVATIONS, FUSED.TANH: ops.tanh}


def fused_behind(kind, code):
    """A network whose operator ``kind`` has the activation fused behind it."""
    activation = OF_CODE[code]

    def build():
        def function(x):
            first, second = L.Conv2D(4, 1, name="a")(x), L.Conv2D(4, 1, name="b")(x)
            made = {
                "CONV_2D": lambda: L.Conv2D(5, 3, padding="same", name="c")(first),
                "DEPTHWISE_CONV_2D": lambda: L.DepthwiseConv2D(3, depth_multiplier=2, name="c")(first),
                "FULLY_CONNECTED": lambda: L.Dense(5, name="c")(L.Flatten()(first)),
                "MAX_POOL_2D": lambda: L.MaxPooling2D(2)(first),
                "AVERAGE_POOL_2D": lambda: L.AveragePooling2D(2)(first),
                "ADD": lambda: first + second,
                "SUB": lambda: first - second,
                "MUL": lambda: first * second,
                "DIV": lambda: first / second,
                "CONCATENATION": lambda: L.Concatenate()([first, second]),
            }[kind]()
            return activation(made)

        return model(function)

    def write(m):
        file = Toco()
        x = file.input(IMAGE)
        a = file.linear(m.get_layer("a"), x)
        shape = m.output.shape
        if kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            return file.content(file.linear(m.get_layer("c"), a, code))
        if "POOL" in kind:
            window = {"filterWidth": 2, "filterHeight": 2, "strideW": 2, "strideH": 2, "padding": 1}
            y = file.op(kind, (a,), shape, options="Pool2DOptions", fusedActivationFunction=code, **window)
            return file.content(y)
        b = file.linear(m.get_layer("b"), x)
        extra = {"axis": 3} if kind == "CONCATENATION" else {}
        options = f"{kind.capitalize()}Options"
        y = file.op(kind, (a, b), shape, options=options, fusedActivationFunction=code, **extra)
        return file.content(y)

    return build, write


def one_op(function, kind, options=None, shape=IMAGE, operands=(), **values):
    """A convolution or dense layer, then ``function``: in the file one operator of that kind."""

    def build():
        return model(
            lambda x: function((L.Dense(8, name="a") if len(shape) == 2 else L.Conv2D(4, 1, name="a"))(x)), shape
        )

    def write(m):
        file = Toco()
        a = file.linear(m.get_layer("a"), file.input(shape))
        rest = [file.const(np.asarray(operand, "int32")) for operand in operands]
        return file.content(file.op(kind, (a, *rest), m.output.shape, options=options, **values))

    return build, write


def missing_biases(bias):
    def build():
        return model(
            lambda x: L.Dense(3, use_bias=False, name="d")(L.Flatten()(L.Conv2D(4, 3, use_bias=False, name="c")(x)))
        )

    def write(m):
        file = Toco()
        c = file.linear(m.get_layer("c"), file.input(IMAGE), bias=bias)
        return file.content(file.linear(m.get_layer("d"), c, bias=bias))

    return build, write


def depth_multiplier_zero():
    def write(m):
        file = Toco()
        return file.content(file.linear(m.get_layer("c"), file.input(IMAGE), depthMultiplier=0))

    return lambda: model(lambda x: L.DepthwiseConv2D(3, depth_multiplier=2, name="c")(x)), write


CASES = {
    **{
        f"{kind} {code}": fused_behind(kind, code)
        for kind in ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MAX_POOL_2D", "AVERAGE_POOL_2D"]
        for code in ACTIVATIONS
    },
    **{
        f"{kind} {code}": fused_behind(kind, code)
        for kind in ["ADD", "SUB", "MUL", "DIV", "CONCATENATION"]
        for code in ACTIVATIONS
    },
    **{f"{kind} {FUSED.TANH}": fused_behind(kind, FUSED.TANH) for kind in ["CONV_2D", "FULLY_CONNECTED"]},
    "softmax beta": one_op(lambda x: ops.softmax(0.5 * x), "SOFTMAX", "SoftmaxOptions", ROWS, beta=0.5),
    "l2 normalization of tf": one_op(
        lambda x: L.Lambda(lambda t: tf.nn.l2_normalize(t, axis=-1))(x), "L2_NORMALIZATION", "L2NormOptions", IMAGE
    ),
    "local response normalization": one_op(
        lambda x: L.Lambda(lambda t: tf.nn.local_response_normalization(t, 2, 0.9, 0.2, 0.6))(x),
        "LOCAL_RESPONSE_NORMALIZATION",
        "LocalResponseNormalizationOptions",
        radius=2,
        bias=0.9,
        alpha=0.2,
        beta=0.6,
    ),
    "reshape in options": one_op(L.Flatten(), "RESHAPE", "ReshapeOptions", newShape=[2, -1]),
    "reshape without a shape": one_op(L.Reshape((9, 16)), "RESHAPE"),
    "squeeze without options": one_op(L.Reshape((8,)), "SQUEEZE", None, ROWS),
    "squeeze without axes": one_op(L.Reshape((8,)), "SQUEEZE", "SqueezeOptions", ROWS),
    "mean over two axes": one_op(
        L.GlobalAveragePooling2D(), "MEAN", "ReducerOptions", operands=[[1, 2]], keepDims=False
    ),
    "mean that keeps them": one_op(
        L.GlobalAveragePooling2D(keepdims=True), "MEAN", "ReducerOptions", operands=[[-3, -2]], keepDims=True
    ),
    "average pool over everything": one_op(
        L.GlobalAveragePooling2D(keepdims=True),
        "AVERAGE_POOL_2D",
        "Pool2DOptions",
        filterWidth=6,
        filterHeight=6,
        strideW=1,
        strideH=1,
        padding=1,
    ),
    "no bias": missing_biases("given"),
    "no third operand": missing_biases("short"),
    "depth multiplier 0": depth_multiplier_zero(),
}


# What the schema allows and LiteRT's kernels do not run.
UNRUN = {f"CONCATENATION {code}" for code in ACTIVATIONS if code} | {
    "no bias",
    "no third operand",
    "reshape without a shape",
    "CONV_2D 4",
    "FULLY_CONNECTED 4",
}


@pytest.mark.parametrize("name", CASES)
def test_port(name):
    build, write = CASES[name]
    keras.utils.clear_session()
    original, twin = zoo.randomize(build(), 1), zoo.randomize(build(), 2)
    content = write(original)
    x = np.random.default_rng(0).normal(size=original.input_shape).astype("float32")
    wanted = np.asarray(original(x))
    scale = np.abs(wanted).max()
    if name not in UNRUN:
        lite = run(content, x)[0]
        assert np.abs(wanted - lite).max() <= tolerances.OUTPUT * scale, "the file is not what the test means"
    assert tflrecover.port(content, twin).ok
    assert np.abs(np.asarray(twin(x)) - wanted).max() <= tolerances.OUTPUT * scale


def test_shuffled_weights_are_refused():
    """Their order is not that of the schema's shape: even a square kernel must not be taken as it lies."""
    original = zoo.randomize(model(lambda x: L.Dense(8, name="d")(x), ROWS), 1)
    twin = zoo.randomize(model(lambda x: L.Dense(8, name="d")(x), ROWS), 2)
    before = [np.asarray(w) for w in twin.weights]
    file = Toco()
    content = file.content(file.linear(original.get_layer("d"), file.input(ROWS), weightsFormat=1))
    with pytest.raises(tflrecover.PortError, match="unreadable"):
        tflrecover.port(content, twin)
    tflrecover.port(content, twin, strict=False)
    assert all(np.array_equal(a, b) for a, b in zip(before, twin.weights, strict=True))


@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"])
def test_operators_without_options_are_refused(kind):
    """Nothing says how they are computed (LiteRT leaves their parameters undefined)."""
    layers = {
        "CONV_2D": lambda x: L.Conv2D(4, 3, name="c")(x),
        "DEPTHWISE_CONV_2D": lambda x: L.DepthwiseConv2D(3, name="c")(x),
        "FULLY_CONNECTED": lambda x: L.Dense(4, name="c")(L.Flatten()(x)),
    }
    twin = zoo.randomize(model(layers[kind]), 2)
    kernel, bias = weights(twin.get_layer("c"))
    file = Toco()
    x = file.input(IMAGE)
    content = file.content(file.op(kind, (x, file.const(kernel), file.const(bias)), twin.output.shape))
    if kind == "FULLY_CONNECTED":
        # A dense layer has nothing to be said.
        assert tflrecover.port(content, twin).ok
        return
    with pytest.raises(tflrecover.PortError, match="unreadable"):
        tflrecover.port(content, twin)


def test_unknown_activation_is_told():
    """SIGN_BIT: in the schema, in no kernel."""
    twin = zoo.randomize(model(lambda x: L.Conv2D(4, 1, name="c")(x)), 2)
    file = Toco()
    content = file.content(file.linear(twin.get_layer("c"), file.input(IMAGE), FUSED.SIGN_BIT))
    (difference,) = tflrecover.diff(content, twin).differences
    assert difference.kind == "missing"
    assert "SIGN_BIT" in difference.message
