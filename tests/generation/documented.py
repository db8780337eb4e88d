"""The sources that docs/generated.md shows. ``python -m tests.generation.documented`` writes the page anew."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.conftest import ROOT, SHARED

PAGE = ROOT / "docs" / "generated.md"
_SOURCE = re.compile(r"^```python generated (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _mobilenet() -> Path:
    """MobileNetV2 as Keras has it; converting it takes half a minute, once."""
    path = ROOT / "build" / "generated" / "mobilenet_v2.tflite"
    if not path.is_file():
        import keras
        import tensorflow as tf

        from tests.core.keras_models import randomize
        from tests.core.lite import converted

        path.parent.mkdir(parents=True, exist_ok=True)
        inputs = keras.Input((224, 224, 3), name="image")
        model = randomize(keras.applications.MobileNetV2(weights=None, input_tensor=inputs), 0)
        path.write_bytes(converted(tf.lite.TFLiteConverter.from_keras_model(model)))
    return path


# Each block of the page, and its file.
FILES: dict[str, Callable[[], Path]] = {
    "palm_detection_2019.py": lambda: SHARED / "data" / "blazepalm" / "palm_detection_2019.tflite",
    "palm_detection_full.py": lambda: ROOT / "build" / "demo" / "palm_detection_full.tflite",
    "mobilenet_v2.py": _mobilenet,
}


def shown() -> dict[str, str]:
    """Per name the source on the page."""
    return dict(_SOURCE.findall(PAGE.read_text(encoding="utf-8")))


def generated(name: str) -> str:
    """What is written for the file now."""
    import tflrecover

    with tempfile.TemporaryDirectory() as folder:
        source, *_ = tflrecover.generate(FILES[name](), Path(folder) / name)
        return source.read_text(encoding="utf-8")


def main() -> None:
    """Puts what is written now on the page, for the files that are there."""

    def anew(block: re.Match[str]) -> str:
        found = FILES[block[1]]()
        if not found.is_file():
            sys.stderr.write(f"{found} is not there; {block[1]} stays as it is\n")
            return block[0]
        return f"```python generated {block[1]}\n{generated(block[1])}```"

    PAGE.write_text(_SOURCE.sub(anew, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
