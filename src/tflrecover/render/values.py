"""Values and shapes as a report writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tflrecover.ir import Shape

_LONGEST = 300


def cut(text: str, width: int = _LONGEST) -> str:
    """The text, with its end left out where it is longer than so many characters."""
    return text if len(text) <= width else text[: width - 1] + "…"


def value_text(value: Any) -> str:
    """A value as one would write it in Keras, cut where it is long."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        return f"{value.dtype} array of shape {value.shape}"
    if isinstance(value, Mapping):
        told = "{" + ", ".join(f"{key}: {value_text(item)}" for key, item in value.items()) + "}"
    elif isinstance(value, (tuple, list)):
        told = f"({', '.join(map(value_text, value))}{',' if len(value) == 1 else ''})"
    else:
        told = repr(value) if isinstance(value, (str, bytes)) else str(value)
    return cut(told)


def shape_text(shape: Shape | None) -> str:
    """``1x24x24x3``; ``?`` where it is not known."""
    return "?" if shape is None else "x".join(map(str, shape)) or "scalar"


def safe(text: object) -> str:
    """Text from a file or a model on one line, with control characters made visible: a terminal must not obey them."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))
