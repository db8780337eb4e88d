"""The acceptance list of the reference example, on the real files."""

from pathlib import Path

import numpy as np
import pytest

import tflrecover
from tests.core.lite import stripped

DATA = Path(__file__).parents[3] / "shared" / "data" / "blazepalm"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real BlazePalm files (../shared/data) are not here")
FILE = str(DATA / "palm_detection_2019.tflite")
POOLS = ["max_pooling2d", "max_pooling2d_1", "max_pooling2d_2", "max_pooling2d_3"]


@pytest.fixture(scope="module")
def image():
    # The recorded answer belongs to numpy's legacy generator.
    return np.random.RandomState(0).rand(1, 3, 256, 256).astype("float32").transpose(0, 2, 3, 1)


@pytest.fixture(scope="module")
def recorded():
    return np.load(DATA / "regressors_seed0.npy")


def build(*args, **kwargs):
    from examples.blazepalm.model import blazepalm_2019

    return blazepalm_2019(*args, **kwargs)


def boxes(model, image):
    return np.asarray(model(image)[0])


@pytest.mark.parametrize(("strip", "first"), [(False, "boxes"), (True, "boxes"), (False, "classes")])
def test_port_without_mapping(image, recorded, strip, first):
    model = build(heads_first=first)
    source = stripped(Path(FILE).read_bytes()) if strip else FILE
    report = tflrecover.port(source, model)
    assert report.ok
    assert [a.state for a in report.assignments] == ["assigned"] * 182
    assert np.abs(boxes(model, image) - recorded).max() < 1e-4


@pytest.mark.measured
def test_famous_fault(image, recorded):
    model = build(pool_size=5)
    report = tflrecover.diff(FILE, model)
    assert [(d.keras_layer, d.attribute, d.tflite_value, d.keras_value) for d in report.differences] == [
        (pool, "pool_size", (2, 2), (5, 5)) for pool in POOLS
    ]
    before = [np.asarray(v).copy() for v in model.variables]
    with pytest.raises(tflrecover.PortError):
        tflrecover.port(FILE, model)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.variables, strict=True))
    tflrecover.port(FILE, model, strict=False)
    checked = tflrecover.verify(FILE, model, inputs=[image])
    assert checked.first_divergence.keras_layer == POOLS[0]
    (regressors,) = [c for c in checked.checks if c.output == "regressors"]
    assert regressors.rms_rel == pytest.approx(0.48, abs=0.005)
    error = boxes(model, image) - recorded
    assert np.sqrt((error**2).mean() / (recorded**2).mean()) == pytest.approx(0.48, abs=0.005)


def test_single_output():
    model = build(single_output=True)
    report = tflrecover.diff(FILE, model)
    assert [(d.kind, d.keras_layer) for d in report.differences] == [("extra", "predictions")]
    assert [a.state for a in report.assignments] == ["assigned"] * 182
    assert tflrecover.port(FILE, model, {"tflrecover": 1, "accept": [{"layer": "predictions"}]}).ok


def test_new_head_is_skipped():
    heads = ["conv2d_45", "conv2d_46", "conv2d_47"]
    report = tflrecover.port(FILE, build(classes=7), {"tflrecover": 1, "skip": heads})
    states = [a.state for a in report.assignments]
    assert report.ok
    assert (states.count("assigned"), states.count("kept")) == (176, 6)


def test_seven_classes_in_half_precision():
    model = build(classes=7)
    path = str(DATA / "palm_detection_7class_fp16.tflite")
    assert tflrecover.port(path, model).ok
    report = tflrecover.verify(path, model)
    assert report.ok
    assert sum(c.output is not None for c in report.checks) == 2
