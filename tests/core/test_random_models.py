"""Random networks with branches, skips, shared layers and two heads: a port is exact or it is refused, never wrong."""

import os

import keras
import keras_models as zoo
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers as L

import tflrecover
from tests.core.test_blazepalm import stripped
from tflrecover import tolerances

# A sweep asks for more: TFLRECOVER_RANDOM_MODELS=500.
COUNT = int(os.environ.get("TFLRECOVER_RANDOM_MODELS", "25"))
STEPS = ("conv", "depthwise", "norm", "relu", "act", "pool", "add", "multiply", "concat", "pad", "again", "scale", "up")


def build(plan):
    """A model from a list of ``(step, two numbers)``; numbers choose operands and settings."""
    keras.utils.clear_session()
    inputs = keras.Input((8, 8, 3))
    values, shared = [inputs], []
    for step, a, b in plan:
        x = values[-1 - a % min(len(values), 3)]
        y = step_of(step, x, values, shared, a, b)
        if y is not None and max(y.shape[1:3]) <= 16:
            values.append(y)
    head = L.Dense(3, activation="softmax")(L.GlobalAveragePooling2D()(values[-1]))
    other = values[len(values) // 2]
    return keras.Model(inputs, [head, L.Flatten()(L.Conv2D(2, 1)(other))])


def step_of(step, x, values, shared, a, b):
    same = [v for v in values if v.shape == x.shape and v is not x]
    if step == "conv":
        layer = L.Conv2D(3 + b % 2, 1 + 2 * (a % 2), strides=1 + b // 3 % 2, padding="same", use_bias=bool(a % 3))
        shared.append((layer, x.shape))
        return layer(x)
    if step == "again":
        fitting = [layer for layer, shape in shared if shape[-1] == x.shape[-1]]
        return fitting[a % len(fitting)](x) if fitting else None
    if step in ("add", "multiply", "concat"):
        if not same:
            return None
        other = same[b % len(same)]
        return {"add": L.Add, "multiply": L.Multiply, "concat": L.Concatenate}[step]()([x, other])
    makers = {
        "depthwise": lambda: L.DepthwiseConv2D(3, padding=("same", "valid")[b % 2 if min(x.shape[1:3]) > 2 else 0]),
        "norm": lambda: L.BatchNormalization(center=bool(a % 4), scale=bool(b % 4)),
        "relu": lambda: L.ReLU(max_value=(None, 6.0)[b % 2]),
        "act": lambda: L.Activation(("tanh", "sigmoid", "silu", "elu")[b % 4]),
        "pool": lambda: (L.MaxPooling2D, L.AveragePooling2D)[b % 2](2, strides=1 + a % 2, padding="same"),
        "pad": lambda: L.ZeroPadding2D(((0, 1), (1, a % 2))),
        "scale": lambda: L.Rescaling(0.5 + b / 4, offset=a / 8),
        "up": lambda: L.UpSampling2D(2),
    }
    return makers[step]()(x)


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 11), st.integers(0, 11)), min_size=2, max_size=14))
@settings(
    max_examples=COUNT,
    deadline=None,
    derandomize="TFLRECOVER_RANDOM_MODELS" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
def test_port_is_exact_or_refused(plan):
    original = zoo.randomize(build(plan), 1)
    content = stripped(zoo.convert(original))
    twin = zoo.randomize(build(plan), 2)
    before = [np.asarray(v).copy() for v in twin.variables]
    if not tflrecover.diff(content, twin).ok:
        # A scaling that the converter took into one of two convolutions, and not into the other, is not undone yet.
        with pytest.raises(tflrecover.PortError):
            tflrecover.port(content, twin)
        assert all(np.array_equal(a, b) for a, b in zip(before, twin.variables, strict=True))
        return
    tflrecover.port(content, twin)
    x = np.random.default_rng(3).uniform(-1, 1, (1, 8, 8, 3)).astype("float32")
    for a, b in zip(original(x, training=False), twin(x, training=False), strict=True):
        assert np.abs(np.asarray(a) - np.asarray(b)).max() <= tolerances.OUTPUT * max(np.abs(np.asarray(a)).max(), 1e-3)
