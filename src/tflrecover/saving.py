"""Models that the command line saves: nothing is overwritten unasked, and what is there is complete."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tflrecover.errors import InvalidModel


def require_output(output: str, force: bool) -> None:
    """Refuses a place for a model before any work is done.

    Raises:
        InvalidModel: it is no ``.keras`` file, or is there and must not be overwritten.
        IsADirectoryError: it is a folder.
    """
    if not output.endswith(".keras"):
        raise InvalidModel(f"the output must be a .keras file, got {output!r}")
    require_free(Path(output), force)


def require_free(target: Path, force: bool) -> None:
    """Refuses a place to write to before any work is done.

    Raises:
        InvalidModel: a file is there, and it must not be overwritten.
        IsADirectoryError: it is a folder.
    """
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "Is a directory", str(target))
    if target.is_file() and not force:
        raise InvalidModel(f"{target} is there already; --force overwrites it")


def save(model: Any, target: Path, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Saves beside the target first, so that the target is complete or not there at all.

    Args:
        model: What is saved.
        target: Where to; folders on the way are made.
        meanwhile: Writes what belongs to it; if that fails, the target is not there either.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / target.name
        model.save(made)
        meanwhile()
        made.replace(target)
