"""Source of numbers, words and small arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

# Of an array with more numbers, the source would say less than its name.
INLINE = 8

# Types that Keras gives to a plain number where a tensor does not decide.
_PLAIN = {np.dtype("float32"), np.dtype("int32"), np.dtype("bool")}


class Unwritable(Exception):
    """A value has no source."""


def quoted(words: str) -> str:
    """A string literal in ASCII, in double quotes where that takes no backslash."""
    source = ascii(words)
    return f'"{source[1:-1]}"' if source[0] == "'" and '"' not in source else source


def literal(value: Any) -> str:
    """The source of a value.

    Raises:
        Unwritable: it is none of the kinds that a call of a model has.
    """
    if isinstance(value, (bool, int)) or value is None or value is Ellipsis:
        return "..." if value is Ellipsis else repr(value)
    if isinstance(value, float):
        return number(value)
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, np.generic):
        return array(np.asarray(value))
    if isinstance(value, np.ndarray):
        return array(value)
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))}{',' * (len(value) == 1)})"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{literal(key)}: {literal(one)}' for key, one in value.items())}}}"
    raise Unwritable(f"{type(value).__name__} cannot be written as source")


def number(value: float) -> str:
    """A float as short as it is the same in float32, if that is what it is; ``1 / 127.5`` for what is one over that."""
    if not math.isfinite(value):
        return f'float("{value}")'
    if float(np.float32(value)) != value:
        return repr(value)
    short = repr(float(str(np.float32(value))))
    inverse = round(2 / value) / 2 if value and abs(value) > 1e-6 else 0
    if len(short) > 7 and 1 < abs(inverse) < 1e4 and np.float32(1 / inverse) == np.float32(value):
        return f"1 / {inverse:g}"
    return short


def array(value: np.ndarray) -> str:
    """A small array; a plain number where that means the same."""
    if value.dtype.kind == "O":
        # Texts, which TensorFlow takes in either form.
        value = value.astype("S")
    if value.dtype.kind not in "fiubS":
        raise Unwritable(f"an array of {value.dtype} cannot be written as source")
    # A float64 is no float32, whatever it is like.
    is_double = value.dtype == np.float64 and bool(np.isfinite(value).all())
    source = repr(value.tolist()) if is_double or value.dtype.kind == "S" else literal(value.tolist())
    if value.ndim == 0 and value.dtype in _PLAIN:
        return source
    return f"np.array({source}, {quoted(str(value.dtype))})"


def zeros(value: np.ndarray) -> str:
    """An array that is all zeros, as what begins states; ``""`` for any other."""
    is_zero = value.dtype.kind in "fiub" and not any(value.tobytes())
    return f"np.zeros({literal(value.shape)}, {quoted(str(value.dtype))})" if is_zero else ""


def counting(value: np.ndarray) -> str:
    """An array that counts from zero, as places of a table; ``""`` for any other."""
    is_counting = value.dtype.kind == "i" and value.ndim == 1 and np.array_equal(value, np.arange(value.size))
    return f"np.arange({value.size}, dtype={quoted(str(value.dtype))})" if is_counting else ""


def index(value: Any, shape: Sequence[int | None]) -> str:
    """What stands between the brackets of ``x[…]``; of a size that is None, no place is known to be the last."""
    parts = [
        _slice(one) if isinstance(one, slice) else _place(one, n)
        for one, n in zip(_tuple(value), (*shape, *(None,) * len(_tuple(value))), strict=False)
    ]
    if len(parts) == 1 and isinstance(_tuple(value)[0], slice):
        # Keras takes no slice alone.
        return f"{parts[0]}, ..."
    *before, last = parts
    # Whole axes before the last say nothing; if it is the last.
    is_last = len(parts) == len(shape) > 1 and {*before} == {":"}
    return ", ".join(["...", last] if is_last else parts)


def _place(value: Any, size: int | None) -> str:
    """The last of several places is counted from the end."""
    is_end = isinstance(value, int) and size is not None and value == size - 1 > 2
    return "-1" if is_end else literal(value)


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _slice(part: slice) -> str:
    start = "" if part.start in (None, 0) and (part.step or 1) > 0 else literal(part.start)
    bounds = [start, "" if part.stop is None else literal(part.stop)]
    return ":".join(bounds + ([] if part.step in (None, 1) else [literal(part.step)]))
