"""What a formula (:data:`~tflrecover.ops.spec.Formula`) is on arrays, and in a Keras model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops.spec import Attributes, Builder, Calls, Formula, OpSpec, Part
from tflrecover.ops.window import effective_pads, per_axis, window_output
from tflrecover.weight import Array


def windows(calls: Calls, x: Any, pool_size: Shape, strides: Shape, padding: Any) -> Any:
    """Every window of ``(batch, height, width, channels)``, its places along a new last axis."""
    sizes = x.shape[1:3]
    pads = tuple(map(effective_pads, sizes, pool_size, strides, (1, 1), per_axis(padding, 2)))
    counts = window_output(sizes, {"kernel_size": pool_size, "strides": strides, "padding": padding})
    if any(map(any, pads)):
        x = calls.ops("pad", x, ((0, 0), *pads, (0, 0)), constant_values=float(np.finfo(np.float32).min))
    rows, columns = (
        [slice(start, start + (count - 1) * stride + 1, stride) for start in range(size)]
        for size, stride, count in zip(pool_size, strides, counts, strict=True)
    )
    places = [calls.sliced(x, (slice(None), row, column)) for row in rows for column in columns]
    return calls.ops("stack", places, axis=-1)


def _averages(x: Array) -> Array:
    """Of the places of each window that are not padding."""
    return np.asarray(np.mean(x, axis=-1, where=x != np.finfo(np.float32).min))


# What keras.ops has and numpy has not.
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "average_pool": lambda x, *window: _averages(windows(numpy_calls, x, *window)),
    "cast": lambda x, dtype: np.asarray(x, dtype),
    "max_pool": lambda x, *window: np.max(windows(numpy_calls, x, *window), axis=-1),
    "relu": lambda x: np.maximum(x, 0),
}


class _Numpy:
    """Computes at once."""

    def ops(self, name: str, *args: Any, **arguments: Any) -> Any:
        return (_FUNCTIONS.get(name) or getattr(np, name))(*args, **arguments)

    def sliced(self, x: Any, index: tuple[Any, ...]) -> Any:
        return x[index]


numpy_calls: Calls = _Numpy()


def given_by(name: str, formula: Formula, **others: Any) -> OpSpec:
    """An operator whose formula says what it computes, what it is in a Keras model, and what stands for it in a file.

    Args:
        name: Its name.
        formula: On all of its operands.
        others: Of the spec.
    """

    def evaluate(args: Sequence[Array], attributes: Attributes) -> list[Array]:
        return [np.asarray(result) for result in results(formula(numpy_calls, args, attributes))]

    def build(builder: Builder, part: Part) -> Any:
        return formula(builder, part.args, part.attributes)

    return OpSpec(name, **{"evaluate": evaluate, "keras": build, "formula": formula, **others})


def results(made: Any) -> tuple[Any, ...]:
    """What a formula gave, also where it is one."""
    return made if isinstance(made, tuple) else (made,)
