"""Fetches the palm detectors out of MediaPipe's pinned wheel: ``python -m examples.blazepalm.fetch --out DIR``."""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

WHEEL = "mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl"
SHA256 = "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3"
FOLDER = "mediapipe/modules/palm_detection"
MODELS = ("palm_detection_full.tflite", "palm_detection_lite.tflite")
# The wheel is only unpacked, never installed, so that its platform need not be this one.
PIP = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--platform", "manylinux_2_28_x86_64"]
PIP += ["--python-version", "311", "--implementation", "cp", "--abi", "cp311", "mediapipe==0.10.21"]


class FetchError(Exception):
    """One line for the user."""


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(out: Path) -> list[Path]:
    """Downloads, checks and unpacks; what is there already is kept."""
    out.mkdir(parents=True, exist_ok=True)
    wheel = out / WHEEL
    if not wheel.exists() or digest(wheel) != SHA256:
        print(f"downloading {WHEEL} (36 MB)")
        done = subprocess.run(
            [sys.executable, "-m", "pip", *PIP, "--dest", str(out)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0 or not wheel.exists():
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise FetchError(f"pip could not download the mediapipe wheel; is there a network? ({reason})")
    if digest(wheel) != SHA256:
        raise FetchError(f"{wheel} has another sha256 than {SHA256}; delete it and try again")
    with zipfile.ZipFile(wheel) as archive:
        for name in MODELS:
            (out / name).write_bytes(archive.read(f"{FOLDER}/{name}"))
    return [out / name for name in MODELS]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/demo"))
    try:
        for path in fetch(parser.parse_args().out):
            print(f"{path} is there")
    except (FetchError, OSError, zipfile.BadZipFile) as error:
        print(f"fetch: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
