"""The example's models, scripts and mappings."""

import sys
from pathlib import Path

import numpy as np
import pytest

import tflrecover

ROOT = Path(__file__).parents[2]
MAPPINGS = sorted((ROOT / "mappings").glob("*.yaml"))
SHARED = ROOT.parent / "shared" / "data" / "blazepalm"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the real BlazePalm files (../shared/data) are not here")


@pytest.mark.parametrize("path", MAPPINGS, ids=lambda p: p.stem)
def test_mapping_is_well_formed(path):
    assert tflrecover.Mapping.load(path).model.tflrecover == 1


def test_models_have_the_published_sizes():
    from examples.blazepalm.model import blazepalm_2019, blazepalm_2021

    model = blazepalm_2019(classes=7)
    assert len(model.variables) == 182
    assert [tuple(o.shape) for o in model.outputs] == [(None, 2944, 18), (None, 2944, 7)]
    assert sum(int(np.prod(v.shape)) for v in blazepalm_2019().variables) == 1_763_358
    for variant in ("full", "lite"):
        assert [tuple(o.shape) for o in blazepalm_2021(variant).outputs] == [(None, 2016, 18), (None, 2016, 1)]


@needs_shared
@pytest.mark.parametrize(("mapping", "classes", "kept"), [("blazepalm_2019", 1, 0), ("blazepalm_2019_7class", 7, 6)])
def test_mapping_ports_the_file(mapping, classes, kept):
    from examples.blazepalm.model import blazepalm_2019

    model = blazepalm_2019(classes=classes)
    report = tflrecover.port(SHARED / "palm_detection_2019.tflite", model, ROOT / "mappings" / f"{mapping}.yaml")
    assert report.ok
    assert sum(a.state == "kept" for a in report.assignments) == kept


@needs_shared
def test_port_and_detect_scripts(tmp_path, monkeypatch):
    from PIL import Image

    from examples.blazepalm import detect, port

    saved, drawn = tmp_path / "model.keras", tmp_path / "out.png"
    assert port.main([str(SHARED / "palm_detection_2019.tflite"), str(saved), "--variant", "2019"]) == 0
    image = tmp_path / "in.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 160, 3), "uint8")).save(image)
    arguments = [str(image), "--model", str(saved), "--out", str(drawn), "--threshold", "0"]
    assert detect.main(arguments) == 0
    assert Image.open(drawn).size == (160, 90)
    assert detect.main([str(tmp_path / "none.png"), "--model", str(saved)]) == 2


def test_fetch_says_in_one_line_that_there_is_no_network(tmp_path, monkeypatch, capsys):
    import subprocess

    from examples.blazepalm import fetch

    def fails(*args, **kwargs):
        return subprocess.CompletedProcess(args, 1, "", "WARNING: retrying\nERROR: No matching distribution found")

    monkeypatch.setattr(subprocess, "run", fails)
    monkeypatch.setattr(sys, "argv", ["fetch", "--out", str(tmp_path)])
    assert fetch.main() == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "network" in line
