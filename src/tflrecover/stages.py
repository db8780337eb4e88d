"""What is being done, told to whoever listens: the library itself prints nothing."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from contextvars import ContextVar

_log = logging.getLogger(__name__)
_listener: ContextVar[Callable[[str], None] | None] = ContextVar("listener", default=None)


@contextlib.contextmanager
def progress(listener: Callable[[str], None]) -> Iterator[None]:
    """Tells what is being done within the block, as it begins; a comparison of two small networks takes seconds.

    Args:
        listener: Is given a few words for each stage, such as ``"tracing the model 'palm'"``.

    Example:
        >>> with tflrecover.progress(print):
        ...     report = tflrecover.diff("palm_detection.tflite", model)
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def stage(what: str) -> None:
    """Says what begins now."""
    _log.debug(what)
    listener = _listener.get()
    if listener is not None:
        listener(what)


__all__ = ["progress"]
