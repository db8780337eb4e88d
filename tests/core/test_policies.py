"""Dtype policies, distribution, and models in states that a port must take or refuse."""

import subprocess
import sys

import keras
import keras_models as zoo
import numpy as np
import pytest
from keras import layers as L

import tflrecover
from tests.conftest import ROOT
from tests.core.lite import stripped

X = np.random.default_rng(3).uniform(-1, 1, (1, 8, 8, 3)).astype("float32")
# What the model's own arithmetic rounds to, relative to the largest output; sums of a hundred products.
ROUNDING = {"mixed_float16": 2e-3, "mixed_bfloat16": 2e-2, "float64": 1e-5}


def network():
    inputs = keras.Input((8, 8, 3))
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(4, 3, padding="same")(inputs)))
    return keras.Model(inputs, L.Dense(3)(L.Dropout(0.5)(L.Flatten()(x))))


@pytest.fixture(scope="module")
def original():
    return zoo.randomize(network(), 1)


@pytest.fixture(scope="module")
def content(original):
    return stripped(zoo.convert(original))


def assert_same(original, twin, tolerance=1e-5):
    want, got = (np.asarray(m(X, training=False)).astype("float32") for m in (original, twin))
    assert np.abs(want - got).max() <= tolerance * np.abs(want).max()


@pytest.mark.parametrize("policy", sorted(ROUNDING))
def test_policy(policy, original, content):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        twin = zoo.randomize(network(), 2)
    finally:
        keras.config.set_dtype_policy(before)
    assert tflrecover.port(content, twin).ok
    assert_same(original, twin, ROUNDING[policy])


def with_numbers(factor=0.1):
    """With numbers of the code: a factor that becomes another's, those of GELU, and the clamps of a cast."""
    inputs = keras.Input((8, 8, 3))
    x = L.Activation(lambda y: keras.ops.gelu(y, approximate=True))(L.Conv2D(4, 3, padding="same")(inputs))
    x = L.Conv2D(4, 3)(L.Resizing(12, 12)(x))
    return keras.Model(inputs, 1 - keras.ops.exp(-keras.ops.relu(x) * factor))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_numbers_of_the_code_have_the_digits_of_the_policy(policy):
    original = zoo.randomize(with_numbers(), 1)
    content = stripped(zoo.convert(original))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        twin, other = zoo.randomize(with_numbers(), 2), zoo.randomize(with_numbers(0.102), 2)
    finally:
        keras.config.set_dtype_policy(before)
    assert tflrecover.port(content, twin).ok
    assert all(np.abs(a - b).max() <= 1e-5 for a, b in zip(original.weights, twin.weights, strict=True))
    with pytest.raises(tflrecover.PortError, match=r"use -0\.1 instead of|use 0\.1 instead of"):
        tflrecover.port(content, other)


def test_frozen(original, content):
    twin = zoo.randomize(network(), 2)
    twin.trainable = False
    assert tflrecover.port(content, twin).ok
    assert_same(original, twin)
    assert not twin.trainable_variables


def test_optimizer_is_not_touched(original, content):
    twin = zoo.randomize(network(), 2)
    twin.compile("adam", "mse", metrics=["mae"])
    twin.fit(X, np.ones((1, 3)), verbose=0)
    before = [np.asarray(v).copy() for v in twin.optimizer.variables]
    assert tflrecover.port(content, twin).ok
    assert_same(original, twin)
    assert all(np.array_equal(a, b) for a, b in zip(before, twin.optimizer.variables, strict=True))


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_loaded(ending, original, content, tmp_path):
    zoo.randomize(network(), 2).save(tmp_path / f"model.{ending}")
    twin = keras.models.load_model(tmp_path / f"model.{ending}")
    assert tflrecover.port(content, twin).ok
    assert_same(original, twin)


def test_seeds_are_kept(original, content):
    report = tflrecover.port(content, zoo.randomize(network(), 2))
    assert [a.state for a in report.assignments if "seed" in a.variable] == ["kept"]


@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
def test_quantized_is_refused(mode, content):
    twin = zoo.randomize(network(), 2)
    twin.quantize(mode)
    with pytest.raises(tflrecover.InvalidModel, match=f"quantized to {mode}"):
        tflrecover.port(content, twin)


def test_lora_is_refused(content):
    twin = zoo.randomize(network(), 2)
    twin.layers[-1].enable_lora(2)
    with pytest.raises(tflrecover.InvalidModel, match="enable_lora"):
        tflrecover.port(content, twin)


def test_saved_model_layer_is_refused(content, tmp_path):
    network().export(tmp_path / "saved", verbose=False)
    inputs = keras.Input((8, 8, 3))
    twin = keras.Model(inputs, L.TFSMLayer(tmp_path / "saved", call_endpoint="serve")(inputs))
    with pytest.raises(tflrecover.InvalidModel, match="TFSMLayer"):
        tflrecover.port(content, twin)


MIRRORED = """
import sys
sys.path[:0] = [{root!r}, {source!r}, {tests!r}]
import numpy as np, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
import {module} as k
import keras_models as zoo, tflrecover

def network():
    inputs = k.Input((8, 8, 3))
    x = k.layers.ReLU()(k.layers.BatchNormalization()(k.layers.Conv2D(4, 3, padding="same")(inputs)))
    return k.Model(inputs, k.layers.Dense(3)(k.layers.Flatten()(x)))

def randomize(model, seed):
    rng = np.random.default_rng(seed)
    for v in model.variables:
        v.assign(rng.uniform(0.5, 1.5, v.shape).astype("float32"))
    return model

original = randomize(network(), 1)
content = zoo.convert(original)
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    twin = randomize(network(), 2)
assert tflrecover.port(content, twin).ok
x = np.random.default_rng(3).uniform(-1, 1, (1, 8, 8, 3)).astype("float32")
want, got = np.asarray(original(x)), np.asarray(twin(x))
assert np.abs(want - got).max() <= 1e-4 * np.abs(want).max()
kernel = twin.layers[1].kernel
raw = kernel if hasattr(kernel, "values") else kernel.value
copies = [np.asarray(copy) for copy in getattr(raw, "values", [raw, raw])]
assert len(copies) == 2 and np.array_equal(*copies)
"""


@pytest.mark.parametrize("module", ["keras", "tf_keras"])
def test_mirrored(module):
    folders = {"root": str(ROOT), "source": str(ROOT / "src"), "tests": str(ROOT / "tests/core")}
    program = MIRRORED.format(**folders, module=module)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
