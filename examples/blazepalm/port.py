"""Ports a palm detector: ``python -m examples.blazepalm.port FILE OUT.keras --variant 2019 --mapping M.yaml``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tflrecover

from .model import blazepalm_2019, blazepalm_2021

VARIANTS: dict[str, Callable[..., Any]] = {
    "2019": blazepalm_2019,
    "2021-full": lambda **options: blazepalm_2021("full", **options),
    "2021-lite": lambda **options: blazepalm_2021("lite", **options),
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--variant", choices=VARIANTS, default="2021-full")
    parser.add_argument("--classes", type=int, default=1)
    parser.add_argument("--mapping", type=Path)
    given = parser.parse_args(arguments)
    model = VARIANTS[given.variant](classes=given.classes)
    try:
        print(tflrecover.port(given.file, model, given.mapping))
    except tflrecover.TFLRecoverError as error:
        print(f"port: {error}", file=sys.stderr)
        return 2
    model.save(given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
