"""Formulas that say once what an operator computes: on arrays, and as the calls that a Keras model is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from tflrecover.ops.spec import Attributes, Builder, KerasBuilder, Part
from tflrecover.weight import Array


class Calls(Protocol):
    """What a formula is written in; :class:`~tflrecover.ops.spec.Builder` is one."""

    def ops(self, name: str, *args: Any, **arguments: Any) -> Any:
        """Calls a function that numpy and ``keras.ops`` both have under that name."""

    def sliced(self, x: Any, index: tuple[Any, ...]) -> Any:
        """``x[index]``."""


Formula = Callable[[Calls, Sequence[Any], Attributes], Any]
"""``(calls, operands, attributes)`` to the result, or a tuple of results."""


def _one_hot(x: Array, num_classes: int) -> Array:
    return np.asarray(x[..., None] == np.arange(num_classes), np.float32)


# What keras.ops has and numpy has not.
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "cast": lambda x, dtype: np.asarray(x, dtype),
    "relu": lambda x: np.maximum(x, 0),
    "one_hot": _one_hot,
}


class _Numpy:
    """Computes at once."""

    def ops(self, name: str, *args: Any, **arguments: Any) -> Any:
        return (_FUNCTIONS.get(name) or getattr(np, name))(*args, **arguments)

    def sliced(self, x: Any, index: tuple[Any, ...]) -> Any:
        return x[index]


numpy_calls: Calls = _Numpy()


def evaluation(formula: Formula) -> Callable[[Sequence[Array], Attributes], list[Array]]:
    """The formula as a spec's ``evaluate``."""

    def evaluate(args: Sequence[Array], attributes: Attributes) -> list[Array]:
        made = formula(numpy_calls, args, attributes)
        return [np.asarray(one) for one in (made if isinstance(made, tuple) else (made,))]

    return evaluate


def calls(formula: Formula) -> KerasBuilder:
    """The formula as a spec's ``keras``."""

    def build(builder: Builder, part: Part) -> Any:
        return formula(builder, part.args, part.attributes)

    return build
