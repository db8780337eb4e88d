"""The files that a generated source consists of."""

from __future__ import annotations

import os
from pathlib import Path

from tflrecover.errors import InvalidModel


def source_files(out: str | os.PathLike[str]) -> tuple[Path, Path, Path]:
    """Where the source, the weights and the constants go.

    Raises:
        InvalidModel: the name does not end with ``.py``.
    """
    source = Path(out)
    if source.suffix != ".py":
        raise InvalidModel(f"the source must be a .py file, got {str(out)!r}")
    return source, source.with_suffix(".weights.h5"), source.with_suffix(".constants.npz")
