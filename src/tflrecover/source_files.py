"""The files that a generated source consists of."""

from __future__ import annotations

import functools
import importlib.metadata
import keyword
import os
import re
import sys
from pathlib import Path

from tflrecover.errors import InvalidModel

# What a source imports, besides the standard library.
_IMPORTED = ("keras", "tensorflow", "numpy")


def source_files(out: str | os.PathLike[str]) -> tuple[Path, Path, Path]:
    """Where the source, the weights and the constants go.

    Raises:
        InvalidModel: the name does not end with ``.py``, cannot be imported, or is that of a module which Keras needs.
    """
    source = Path(out)
    if source.suffix != ".py":
        raise InvalidModel(f"the source must be a .py file, got {str(out)!r}")
    if not source.stem.isidentifier() or keyword.iskeyword(source.stem):
        named = f"{source.stem!r} of {str(out)!r} is no name of a module"
        raise InvalidModel(f"{named}; a source is imported by its name: take letters, digits and underscores")
    if source.stem in needed_modules():
        told = f"{str(out)!r} would be imported in the place of the module {source.stem!r}, which Keras needs"
        raise InvalidModel(f"{told}; give the source another name")
    return source, source.with_suffix(".weights.h5"), source.with_suffix(".constants.npz")


@functools.cache
def needed_modules() -> frozenset[str]:
    """Names of the standard library's modules, and of those of the packages that a source and its imports need."""
    pending, found = [*_IMPORTED], set()
    while pending:
        name = _normal(pending.pop())
        if name in found:
            continue
        found.add(name)
        try:
            required = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        pending += [re.split(r"[^\w.-]", one, maxsplit=1)[0] for one in required if "extra ==" not in one]
    modules = importlib.metadata.packages_distributions().items()
    packages = {module for module, names in modules if found.intersection(map(_normal, names))}
    return frozenset({*sys.stdlib_module_names, *_IMPORTED, *packages})


def _normal(name: str) -> str:
    """A distribution's name as all spellings of it have in common."""
    return re.sub(r"[-_.]+", "-", name).lower()
