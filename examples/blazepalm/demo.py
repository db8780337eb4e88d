"""The whole story on MediaPipe's own file: ``python -m examples.blazepalm.demo --model-file FILE --out build/demo``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import tflrecover

from .model import blazepalm_2021


def demo(model_file: Path, out: Path) -> bool:
    """Ports, verifies, saves, and finds the famous fault; returns whether all went as it should."""
    out.mkdir(parents=True, exist_ok=True)
    print(f"\n== port {model_file} into a Keras BlazePalm, with no mapping")
    model = blazepalm_2021("full")
    ported = tflrecover.port(model_file, model)
    print(ported.to_text())

    print("== verify: the same random image through LiteRT and through Keras, operator by operator")
    report = tflrecover.verify(model_file, model)
    print(report.to_text())
    (out / "report.txt").write_text(ported.to_text() + "\n" + report.to_text(), encoding="utf-8")
    report.to_json(out / "report.json")
    saved = out / "palm_detection_full.keras"
    model.save(saved)
    print(f"wrote {out / 'report.txt'}, {out / 'report.json'} and {saved}")

    print("\n== the famous fault: the same model with 5x5 max-pools; every shape still fits")
    wrong = tflrecover.diff(model_file, blazepalm_2021("full", pool_size=5))
    print(wrong.to_text())
    return ported.ok and report.ok and len(wrong.differences) == 4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-file", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("build/demo"))
    arguments = parser.parse_args()
    try:
        return 0 if demo(arguments.model_file, arguments.out) else 1
    except tflrecover.TFLRecoverError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
