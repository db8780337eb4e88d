"""What is no longer needed is given back before more is asked for."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def given_back() -> Iterator[None]:
    """Frees at the end what was made inside and is not held any more, also what refers to itself.

    Parts of TensorFlow's graphs do, and only Python's collector frees them. It does not run inside, where hundreds of
    thousands of objects are made that it would look through again and again, with all of TensorFlow's. So they are of
    its youngest generation at the end, and looking through that alone is enough. To look through what is still held
    then is in vain, and takes as long: it is best put around a whole function, whose own names are gone at its end.
    What is made and dropped in great numbers inside, such as a trace per trial, has one of its own.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.collect(0)
        if was_on:
            gc.enable()
