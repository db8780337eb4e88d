"""`make kinds`: the sweep; goes on where it was cut off."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

from benchmarks.coverage.__main__ import KINDS, write
from benchmarks.kinds import cases, judge, table
from benchmarks.zoo import results

_CASES_OF_A_PROCESS = 60
Case = tuple[cases.Kind, str]


def main() -> int:
    """Runs every kind in every form.

    Returns:
        0 when every file that could be made was ported and is right, else 1.
    """
    given = _arguments()
    path, current = given.cache / "results.jsonl", results.version()
    finished = set() if given.again else results.done(results.load(path), current)
    chosen = [kind for kind in cases.kinds() if kind.name in (given.names or [kind.name])]
    count: Counter[str] = Counter()
    wanted = [] if given.table_only else [(kind, form) for kind in chosen for form in given.forms.split(",")]
    waiting = [(kind, form) for kind, form in wanted if (kind.key, form) not in finished]
    for (kind, form), (word, detail) in _outcomes(waiting):
        count[word] += 1
        stamp = {"version": current, "commit": results.commit()}
        results.append(path, {"model": kind.key, "mode": form, "word": word, "detail": detail, **stamp})
        print(f"{'    ' if word in table.GOOD else 'FAIL'} {kind.key} {form}: {word} {detail}", flush=True)
    newest = results.latest(results.load(path))
    write({KINDS: table.markdown(newest)})
    print(", ".join(f"{n} {word}" for word, n in sorted(count.items())) or "nothing to do")
    return int(any(r["word"] not in table.GOOD for r in newest.values()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kinds", description=__doc__)
    parser.add_argument("names", nargs="*", help="kinds (default: all)")
    parser.add_argument("--forms", default=",".join(cases.FORMS), help=f"some of {','.join(cases.FORMS)}")
    parser.add_argument("--again", action="store_true", help="run also what this version of the library has done")
    parser.add_argument("--table-only", action="store_true", help="write the table from the results that are there")
    parser.add_argument("--cache", type=Path, default=Path("build/kinds"), help="where results are kept")
    return parser.parse_args()


def _outcomes(waiting: list[Case]) -> Iterator[tuple[Case, tuple[str, str]]]:
    """Each case with what became of it; the converter ends the process at times, which is an outcome too."""
    pool = None
    for i, (kind, form) in enumerate(waiting):
        if pool is None or i % _CASES_OF_A_PROCESS == 0:
            pool = ProcessPoolExecutor(1, get_context("spawn"))
        try:
            yield (kind, form), pool.submit(judge.outcome, kind.key, form).result()
        except BrokenProcessPool:
            pool = None
            yield (kind, form), _what_died(kind, form)


def _what_died(kind: cases.Kind, form: str) -> tuple[str, str]:
    try:
        ProcessPoolExecutor(1, get_context("spawn")).submit(judge.file_of, kind.key, form).result()
    except BrokenProcessPool:
        return "no file", "the converter ends the process"
    return "died", "the process ended, in port() or in LiteRT"


if __name__ == "__main__":
    sys.exit(main())
