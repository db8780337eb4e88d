"""`make zoo`: the sweep, one case at a time, each in a process of its own; goes on where it was cut off."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.coverage.__main__ import APPLICATIONS, write
from benchmarks.zoo import results, table
from benchmarks.zoo.models import EVERY_MODEL, MODELS, MODES, QUICK, cases

_LONGEST_S = 7200


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the sweep.

    Returns:
        0 when every case passed, else 1.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoo", description=__doc__)
    parser.add_argument("models", nargs="*", help="names of Keras Applications (default: all 40)")
    parser.add_argument("--modes", default="", help=f"some of {','.join(MODES)} (default: all of them)")
    parser.add_argument("--cache", type=Path, default=Path("build/zoo"), help="where files and results are kept")
    parser.add_argument("--quick", action="store_true", help=f"only {' and '.join(QUICK)}, as {', '.join(EVERY_MODEL)}")
    parser.add_argument(
        "--cached-only", action="store_true", help="only cases whose file is there; times no conversion"
    )
    parser.add_argument("--again", action="store_true", help="run also what this version of the library has done")
    parser.add_argument("--missing", action="store_true", help="leave out what passed under any version of the library")
    parser.add_argument("--table-only", action="store_true", help="write the table from the results that are there")
    given = parser.parse_args(arguments)
    wanted = _wanted(parser, given)
    path = given.cache / "results.jsonl"
    current = results.version()
    finished = set() if given.again else results.done(results.load(path), None if given.missing else current)
    waiting = [] if given.table_only else [case for case in wanted if case not in finished]
    if given.cached_only:
        waiting = [(m, d) for m, d in waiting if (given.cache / f"{m}.{d}.tflite").is_file()]
    console = Console(soft_wrap=True)
    if waiting:
        console.print(f"{len(waiting)} of {len(wanted)} cases to do; results are kept in {path}")
        _sweep(console, waiting, given.cache, path, current, measure=not given.cached_only)
    newest = results.latest(results.load(path))
    (given.cache / "table.md").write_text(table.markdown(newest))
    write({APPLICATIONS: table.markdown(newest)})
    failed = [case for case in wanted if not newest.get(case, {}).get("passed")]
    made = [case for case in wanted if not newest.get(case, {}).get("no_file")]
    console.print(f"{len(wanted) - len(failed)}/{len(made)} ported with no mapping; {given.cache / 'table.md'}")
    return int(any(case in made for case in failed))


def _wanted(parser: argparse.ArgumentParser, given: argparse.Namespace) -> list[tuple[str, str]]:
    models = tuple(given.models) or (QUICK if given.quick else MODELS)
    modes = tuple(filter(None, given.modes.split(","))) or (EVERY_MODEL if given.quick else MODES)
    for what, names, known in (("model", models, MODELS), ("mode", modes, MODES)):
        for name in names:
            if name not in known:
                parser.error(f"there is no {what} {name!r}; there are {', '.join(known)}")
    # Who names models and modes gets all of them, also where the full sweep leaves a mode out.
    return [(m, d) for m in models for d in modes] if given.models and given.modes else cases(models, modes)


def _sweep(
    console: Console, waiting: list[tuple[str, str]], cache: Path, path: Path, current: str, *, measure: bool
) -> None:
    columns = (
        TextColumn("{task.description:32}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    commit = results.commit()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=len(waiting))
        for name, mode in waiting:
            progress.update(task, description=f"{name} {mode}")
            result = _one(name, mode, cache, measure=measure and mode == "fp32")
            stamp = {"version": current, "commit": commit, "when": datetime.now(UTC).isoformat(timespec="seconds")}
            results.append(path, {"model": name, "mode": mode, **stamp, **result})
            console.print(table.line(name, mode, result), markup=False, highlight=False)
            progress.advance(task)


def _one(name: str, mode: str, cache: Path, *, measure: bool) -> results.Result:
    """The result of one case; a process that died, for want of memory or time, is a result too."""
    log = cache / f"{name}.{mode}.log"
    cache.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.zoo.worker", name, mode, "--cache", str(cache)]
    with log.open("w") as errors:
        try:
            run = subprocess.run(
                [*command, *(["--measure"] if measure else [])],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                timeout=_LONGEST_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"passed": False, "died": True, "reason": f"no end after {_LONGEST_S} s; see {log}"}
    try:
        return dict(json.loads(run.stdout.strip().splitlines()[-1]))
    except (IndexError, json.JSONDecodeError):
        hint = " (no memory left?)" if run.returncode == -9 else ""
        return {"passed": False, "died": True, "reason": f"the process ended with {run.returncode}{hint}; see {log}"}


if __name__ == "__main__":
    sys.exit(main())
