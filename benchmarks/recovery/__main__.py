"""`make recovery FILES="…"`: recovers files and says of each what it came to."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.recovery.judge import judge


def main(arguments: Sequence[str] | None = None) -> int:
    """Judges files; 0 when all pass or are refused with a clear error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--keep", type=Path, help="a folder that keeps what is written, a folder per file")
    given = parser.parse_args(arguments)
    passed = refused = 0
    for path in given.files:
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            verdict, text = _verdict(path, (given.keep / path.stem) if given.keep else Path(folder))
        passed += verdict == "PASS"
        refused += verdict == "REFUSED"
        print(f"{verdict} {path.name} {text} {time.perf_counter() - began:.1f}s", flush=True)
    print(f"{passed}/{len(given.files)} recovered, {refused} refused")
    return int(passed + refused != len(given.files))


def _verdict(path: Path, folder: Path) -> tuple[str, str]:
    import tflrecover

    try:
        found = judge(path, folder)
    except tflrecover.TFLRecoverError as error:
        return "REFUSED", " ".join(str(error).split())[:300]
    except Exception as error:
        return "FAIL", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    numbers = [f"error={_number(found.error)}", f"batch={found.batch}", f"trainable={found.trainable}"]
    numbers += [f"lines={found.lines}", f"own file={_number(found.again)}", *found.remarks, *found.problems]
    return "FAIL" if found.problems else "PASS", "; ".join(numbers)


def _number(number: float | None) -> str:
    return "-" if number is None else f"{number:.1e}"


if __name__ == "__main__":
    sys.exit(main())
