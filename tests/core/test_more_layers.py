"""More kinds of layers, without names and without a mapping; weights in unusual places; what must be refused."""

import numpy as np
import pytest
from keras import layers as L
from layer_models import model
from layer_models_more import MODELS
from porting import assert_ports, assert_refused, built, differences, file_without_names
from weight_models import QUERIES, REFUSED, WEIGHTS

import tflrecover


@pytest.mark.parametrize("name", sorted(MODELS))
def test_layer(name):
    assert_ports(MODELS[name])


@pytest.mark.parametrize("name", sorted(WEIGHTS))
def test_weight(name):
    assert_ports(WEIGHTS[name])


@pytest.mark.parametrize("batch", [None, 1, 2])
def test_norm_and_projection_of_learned_queries(batch):
    assert_ports(lambda: QUERIES(batch))


def test_queries_of_which_a_file_has_only_the_projection():
    """They stay as they are, and the kernel is found to them."""
    content, twin = file_without_names(lambda: QUERIES(1)), built(lambda: QUERIES(1), 2)
    before = {v.path: np.asarray(v).copy() for v in twin.variables}
    report = tflrecover.port(content, twin)
    kept = {a.variable: a.recipe for a in report.assignments if a.state == "kept"}
    assert set(kept.values()) == {"the file has only a product of it"}
    assert {name.split("/")[-1] for name in kept} == {"gamma", "beta"}
    changed = {v.path for v in twin.variables if not np.array_equal(before[v.path], v)}
    assert not changed & {path for path in before if "layer_norm" in path}
    assert any(path.endswith("query/kernel") for path in changed)


def test_queries_that_are_all_alike_tell_no_kernel():
    """Nothing projects one row to several."""
    content, twin = file_without_names(lambda: QUERIES(1)), built(lambda: QUERIES(1), 2)
    (gamma,) = [v for v in twin.variables if "layer_norm" in v.path and v.name == "gamma"]
    gamma.assign(np.zeros(gamma.shape))
    with pytest.raises(tflrecover.PortError, match="PRODUCT of several unknowns"):
        tflrecover.port(content, twin)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused(name):
    assert_refused(REFUSED[name])


def named(make, *values, shape):
    """The model with each value of one setting of its layer ``wrong``."""
    return [lambda value=value: model(lambda x: make(value)(x), shape) for value in values]


VOLUME = (5, 6, 7, 3)
# Family to two models and the difference that must be told.
WRONG = {
    "conv_3d": (
        *named(lambda s: L.Conv3D(4, 3, strides=s, name="wrong"), 2, 1, shape=VOLUME),
        ("wrong", "strides", (2, 2, 2), (1, 1, 1)),
    ),
    "conv_3d_transpose": (
        *named(lambda s: L.Conv3DTranspose(4, 3, strides=s, name="wrong"), 2, 1, shape=(3, 3, 4, 2)),
        ("wrong", "strides", (2, 2, 2), (1, 1, 1)),
    ),
    "einsum": (
        *named(lambda n: L.EinsumDense("abc,cd->adb", output_shape=(n, 6), name="wrong"), 5, 4, shape=(6, 8)),
        ("wrong", "units", 5, 4),
    ),
    "upsampling_3d": (
        *named(lambda n: L.UpSampling3D(n, name="wrong"), (2, 1, 1), (3, 1, 1), shape=VOLUME),
        ("wrong", "multiples", (1, 1, 2, 1, 1, 1), (1, 1, 3, 1, 1, 1)),
    ),
    "discretization": (
        *named(lambda b: L.Discretization(b, name="wrong"), [-0.5, 0.5], [-0.5, 0.25], shape=(4,)),
        ("wrong", "bin_boundaries", (-0.5, 0.5), (-0.5, 0.25)),
    ),
}


@pytest.mark.parametrize("family", sorted(WRONG))
def test_wrong_model_is_told(family):
    right, wrong, difference = WRONG[family]
    assert difference in differences(right, wrong)
