"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before anything imports TensorFlow; tests that run in processes of their own inherit it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# Without it TensorFlow has no convolution of channels_first on some CPUs, and no reference to compare with.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from tflrecover import ops  # it imports no TensorFlow, but tests must not depend on that

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(autouse=True)
def own_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operators that a test, or an example of the documentation, registers are known to it alone."""
    monkeypatch.setattr(ops, "_SPECS", dict(ops._SPECS))
    monkeypatch.setattr(ops, "_TF_READERS", dict(ops._TF_READERS))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real files beside the repository."""
    if not SHARED.is_dir():
        pytest.skip("needs the real files in ../shared, which are not beside this repository")
    return SHARED


@pytest.fixture(scope="session")
def palm_2019(shared: Path) -> Path:
    """MediaPipe's BlazePalm of 2019."""
    return shared / "data" / "blazepalm" / "palm_detection_2019.tflite"
