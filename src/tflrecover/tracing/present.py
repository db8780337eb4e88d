"""The numbers that variables have now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.ops.resource_variable_ops import BaseResourceVariable


def present(variables: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Unique path to the variable's numbers, not copied: assigning puts others in their place, and leaves them alone.

    Args:
        variables: Unique path to Keras variable.
    """
    return {path: numbers(variable) for path, variable in variables.items()}


def numbers(variable: Any) -> NDArray[Any]:
    """The same of one variable."""
    return np.asarray(_read(variable))


def _read(variable: Any) -> Any:
    raw = variable if isinstance(variable, tf.Variable) else variable.value
    if not isinstance(raw, BaseResourceVariable):
        return raw
    # A model has thousands of variables, and reading one with all that belongs to it takes four times as long.
    return tf.raw_ops.ReadVariableOp(resource=raw.handle, dtype=raw.dtype)
