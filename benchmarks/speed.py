"""Ratios that must stay small; absolute times say more about the machine than about the code."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = function()
    return time.perf_counter() - started, result


def best(function: Callable[[], Any], repeats: int = 5) -> float:
    return min(timed(function)[0] for _ in range(repeats))


def convert(model: Any) -> bytes:
    import tensorflow as tf

    with contextlib.redirect_stdout(io.StringIO()):
        return bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())


def port_against_convert() -> None:
    """port() of MobileNetV2 against TFLiteConverter.convert() of the same model; the target is under 15%."""
    import keras

    import tflrecover

    model = keras.applications.MobileNetV2(weights=None, input_shape=(64, 64, 3), classes=10)
    for variable in model.variables:
        variable.assign(keras.random.uniform(variable.shape, 0.5, 1.5))
    # One small model first: what is loaded lazily belongs to neither side.
    small = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    tflrecover.port(convert(small), small)
    converting, content = timed(lambda: convert(model))
    porting, _ = timed(lambda: tflrecover.port(content, model))
    print(f"port / convert (MobileNetV2)   {porting:.2f} s / {converting:.2f} s = {porting / converting:.1%}")


def inspect_against_imports(path: Path) -> None:
    """`tflrecover inspect` against importing numpy, networkx and yaml; the target is under 3."""

    def run(*arguments: str) -> Callable[[], Any]:
        return lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True)

    base = best(run("-c", "import numpy, networkx, yaml"))
    command = best(run("-c", "from tflrecover.cli import main; main()", "inspect", str(path)))
    print(f"inspect / import of its base   {command:.2f} s / {base:.2f} s = {command / base:.2f}")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        import keras

        path = Path(folder) / "small.tflite"
        path.write_bytes(convert(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])))
        inspect_against_imports(path)
    port_against_convert()


if __name__ == "__main__":
    main()
