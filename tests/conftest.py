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

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


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
