"""What the tests of the core share."""

import sys
from pathlib import Path

import pytest

# The builders of models are shared by the tests of this folder.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _unmeasured(request, monkeypatch):
    """What differences do to the outputs takes a run in another process: only where a test is marked ``measured``."""
    if request.node.get_closest_marker("measured") is None:
        monkeypatch.setattr("tflrecover.verification.measured", lambda comparison, *_: comparison)
