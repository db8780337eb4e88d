"""Arrays that a file holds, to run a network on."""

from __future__ import annotations

import zipfile
from typing import Any

import numpy as np

from tflrecover.errors import EvaluationError


def load_arrays(path: str) -> Any:
    """What is in a file: an array, a dict of arrays, or a list where ``numpy.savez`` was given no names.

    Raises:
        EvaluationError: the file holds no arrays that can be read safely.
    """
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found:
            named = {name: found[name] for name in found.files}
    except OSError as error:
        raise EvaluationError(f"{path!r} cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        # NumPy advises to unpickle, which runs whatever is in the file.
        why = "pickled Python objects" if "pickle" in str(error) else error
        raise EvaluationError(f"{path!r} holds no arrays of numbers (.npy or .npz): {why}") from error
    unnamed = [f"arr_{i}" for i in range(len(named))]
    return [named[name] for name in unnamed] if set(named) == set(unnamed) else named
