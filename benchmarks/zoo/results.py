"""Results as JSON lines: one per model, mode and version of the library; a sweep goes on where it was cut off."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
Result = dict[str, Any]
Case = tuple[str, str]


def version(root: Path = ROOT) -> str:
    """Twelve digits that change when anything of the library does, committed or not."""
    digest = hashlib.sha256()
    for path in sorted((root / "src" / "tflrecover").rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def commit(root: Path = ROOT) -> str:
    """The commit that is checked out, with a + when the library was changed since; empty outside of git."""
    try:
        run = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=7", "--exclude=*"]
        return subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def load(path: Path) -> list[Result]:
    """Every result, oldest first; a line that was cut off is left out."""
    found = []
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


def append(path: Path, result: Result) -> None:
    """Adds one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A line that was cut off ends here, so that it spoils no other.
    start = "\n" if path.is_file() and not path.read_bytes().endswith(b"\n") and path.stat().st_size else ""
    with path.open("a") as file:
        file.write(start + json.dumps(result) + "\n")


def latest(results: Iterable[Result]) -> dict[Case, Result]:
    """The newest result of each case.

    Times and memory are taken from the newest result that has them: a resumed sweep converts no file twice.
    """
    found: dict[Case, Result] = {}
    for result in results:
        case = (result["model"], result["mode"])
        before = found.get(case, {})
        timed = {key: before.get(key) for key in ("convert_s", "ratio")} if result.get("ratio") is None else {}
        found[case] = {**result, **timed}
    return found


def done(results: Iterable[Result], current: str | None) -> set[Case]:
    """Cases that need not run again: they have a result of that version, or passed under any when it is None."""
    listed = list(results)
    if current is None:
        return {case for case, result in latest(listed).items() if result["passed"]}
    return {(r["model"], r["mode"]) for r in listed if r["version"] == current and not r.get("died")}
