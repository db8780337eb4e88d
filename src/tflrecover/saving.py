"""What is written: refused before the work begins where it cannot be, and complete or not there at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tflrecover.errors import OutputError
from tflrecover.stages import stage


def require_output(output: str, force: bool) -> None:
    """Refuses a place for a model.

    Raises:
        OutputError: it is no ``.keras`` file, cannot be written to, or is there and must not be overwritten.
    """
    if not output.endswith(".keras"):
        raise OutputError(output, "the output must be a .keras file")
    require_free(output, force)


def require_free(target: str | os.PathLike[str], force: bool) -> None:
    """Refuses a place that must not be written to.

    Raises:
        OutputError: it cannot be written to, or a file is there that must not be overwritten.
    """
    require_place(target)
    if Path(target).exists() and not force:
        raise OutputError(target, "is there already; --force (in Python force=True) overwrites it")


def require_place(target: str | os.PathLike[str]) -> None:
    """Refuses a place that no file can be written to.

    Raises:
        OutputError: it is a folder, or it is in none that can be written to.
    """
    path = Path(target)
    if path.is_dir():
        raise OutputError(target, "is a folder; name a file")
    _require_parents(target, path.parent)


def require_folder(target: str | os.PathLike[str]) -> None:
    """Refuses a place that no folder with files can be at.

    Raises:
        OutputError: it is a file, or it is in no folder that can be written to.
    """
    _require_parents(target, Path(target))


def _require_parents(target: str | os.PathLike[str], folder: Path) -> None:
    """Looks at the first that is there of a folder and those that it is in; the others are made."""
    there = next((one for one in (folder, *folder.parents) if one.exists()), Path())
    if not there.is_dir():
        raise OutputError(target, f"cannot be written: {there} is a file, not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(target, f"cannot be written: the folder {there} is read-only; take another place")


@contextlib.contextmanager
def replacing(target: str | os.PathLike[str]) -> Iterator[Path]:
    """A file to write in the target's place, which it takes once it is complete; folders on the way are made.

    Raises:
        OutputError: anything of it cannot be written.
    """
    path = Path(target)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A folder of its own: the file gets the permissions that any new file would have.
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = Path(folder) / path.name
            yield made
            made.replace(path)
    except OSError as error:
        raise OutputError(target, f"cannot be written: {error.strerror or error}") from error


def write_atomically(target: str | os.PathLike[str], content: str) -> None:
    """Writes a text file that appears complete or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    with replacing(target) as made:
        made.write_text(content, encoding="utf-8")


def save(model: Any, target: str | os.PathLike[str], meanwhile: Callable[[], object] = lambda: None) -> None:
    """Saves beside the target first, so that the target is complete or not there at all.

    Args:
        model: What is saved.
        target: Where to; folders on the way are made.
        meanwhile: Writes what belongs to it; if that fails, the target is not there either.

    Raises:
        OutputError: it cannot be written.
    """
    stage(f"writing {os.fsdecode(target)}")
    with replacing(target) as made:
        model.save(made)
        meanwhile()
