"""Peak memory of a call, as the kernel counts it."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def peak_above(function: Callable[[], Any]) -> tuple[int | None, Any]:
    """``(bytes, result)``: how far the resident set rose above where it was before the call.

    Linux keeps the highest resident set (``VmHWM``) and lets a process set it back, so nothing is sampled and nothing
    missed; pages of a mapped file count. Elsewhere the first is None.
    """
    gc.collect()
    if not (_STATUS.exists() and _CLEAR.exists()):
        return None, function()
    _trim()
    before = _field("VmRSS")
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return None, function()
    result = function()
    return _field("VmHWM") - before, result


def _trim() -> None:
    """Gives freed memory back, so that the call cannot hide in it."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return


def _field(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
