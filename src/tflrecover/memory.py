"""What is no longer needed is given back before more is asked for."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def given_back() -> Iterator[None]:
    """Frees at the end what was made inside and is not held any more, also what refers to itself.

    TensorFlow's graphs do, and only Python's collector frees them. It does not run inside, so all that is made there
    is of its youngest generation: looking through that takes a fraction of looking through all of TensorFlow. Nothing
    that is made and dropped in great numbers belongs inside.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.collect(0)
        if was_enabled:
            gc.enable()
