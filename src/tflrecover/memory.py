"""What is no longer needed is given back before more is asked for."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def given_back() -> Iterator[None]:
    """Frees at the end what was made inside and is not held any more, also what refers to itself.

    TensorFlow's graphs do, and only Python's collector frees them. It does not run inside, where hundreds of thousands
    of objects are made that it would look through again and again, with all of TensorFlow's. So they are of its
    youngest generation at the end, and looking through that alone is enough. Nothing that is made and dropped in great
    numbers belongs inside. Of several inside each other the outermost counts.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.collect(0)
        gc.enable()
