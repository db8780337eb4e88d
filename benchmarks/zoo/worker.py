"""One model in one mode, in a process of its own: made, stripped, ported, judged, timed. Prints one line of JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.zoo.models import builders, convert

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


class NoFile(Exception):
    """The converter cannot make the file."""


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """``(seconds, result)``."""
    started = time.perf_counter()
    result = function()
    return time.perf_counter() - started, result


def warm_up() -> None:
    """Converts and ports a small model: what is loaded at first use belongs to neither side."""
    import keras

    import tflrecover

    small = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3), keras.layers.BatchNormalization()])
    tflrecover.port(convert(small, "fp32"), small)


def file_of(name: str, mode: str, cache: Path, *, anew: bool) -> tuple[bytes, float | None]:
    """``(content, seconds of convert())``; seconds are None when it came from the cache.

    It is made in a process of its own: what a converter leaves on the heap would hide, or swell, what port() takes.
    """
    path = cache / f"{name}.{mode}.tflite"
    if path.is_file() and not anew:
        return path.read_bytes(), None
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        seconds = pool.submit(_make, name, mode, path).result()
    return path.read_bytes(), seconds


def _make(name: str, mode: str, path: Path) -> float:
    warm_up()
    zoo = builders()
    original = zoo.randomize(zoo.build(name), 1)
    try:
        seconds, content = timed(lambda: zoo.convert(original, mode))
    except Exception as error:
        raise NoFile(first_line(error)) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(content)
    part.rename(path)
    return seconds


def first_line(error: BaseException) -> str:
    """What an exception says, without its list."""
    lines = [line.strip(" -") for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' | '.join(lines[:3])}"[:600]


def run(name: str, mode: str, cache: Path, *, measure: bool) -> dict[str, Any]:
    """The result of one case.

    Args:
        name: The model.
        mode: How it is converted.
        cache: Where files are kept.
        measure: Convert anew, to time it against port().
    """
    import keras
    import numpy as np

    import tflrecover
    from benchmarks.zoo import judge, memory
    from tests.core import lite

    content, converting = file_of(name, mode, cache, anew=measure)
    warm_up()
    zoo = builders()
    twin = zoo.randomize(zoo.build(name), 2)
    weights = sum(int(np.prod(v.shape)) * 4 for v in twin.variables)
    stripped = lite.stripped(content)
    peak, (porting, report) = memory.peak_above(lambda: timed(lambda: tflrecover.port(stripped, twin)))
    keras.utils.clear_session()
    original = zoo.randomize(zoo.build(name), 1)
    image = np.random.default_rng(9).uniform(0, 1, (1, *original.inputs[0].shape[1:])).astype("float32")
    numbers = judge.judged(original, twin, content, image, exact=mode == "fp32")
    return {
        "passed": bool(report.ok) and not numbers["reason"],
        "complete": bool(report.ok),
        "convert_s": converting,
        "port_s": porting,
        "ratio": None if converting is None else porting / converting,
        "weights_mb": weights / 1e6,
        "peak_mb": None if peak is None else peak / 1e6,
        "peak_multiple": None if peak is None else peak / weights,
        **numbers,
    }


def main() -> None:
    """Runs one case and prints its result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("mode")
    parser.add_argument("--cache", type=Path, default=Path("build/zoo"))
    parser.add_argument("--measure", action="store_true")
    given = parser.parse_args()
    # TensorFlow's compiler writes to the standard output too; the result must stand alone there.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        result = run(given.name, given.mode, given.cache, measure=given.measure)
    except NoFile as error:
        result = {"passed": False, "no_file": True, "reason": str(error)}
    except Exception as error:
        traceback.print_exc()
        result = {"passed": False, "complete": False, "reason": first_line(error)}
    print(json.dumps(result), file=out, flush=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
