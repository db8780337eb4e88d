"""Statistics for batch norms that have none of their own.

A batch norm that a converter had folded away comes back as the identity, or as a part of its neighbour: right in
inference, and wrong as soon as it normalizes by the statistics of a batch. With the mean m' and the variance v' of what
it is given, other numbers are the same function::

    gamma · (x - m) / √(v + ε) + beta  =  gamma' · (x - m') / √(v' + ε) + beta'

    gamma' = gamma · √((v' + ε) / (v + ε))
    beta'  = beta + gamma · (m' - m) / √(v + ε)

What a layer is given does not change by that, so one pass over the data serves all layers.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tflrecover.errors import EvaluationError, InputMismatch
from tflrecover.ir import Assignment, counted
from tflrecover.transfer.apply import apply
from tflrecover.weight import Array

if TYPE_CHECKING:
    from tflrecover.tracing.layers import LayerPaths

_VARIABLES = ("gamma", "beta", "moving_mean", "moving_variance")


@dataclass(frozen=True)
class Calibration:
    """What :func:`calibrate` did.

    Attributes:
        layers: Paths of the batch norms that have the statistics of the data now.
        left: Path to reason of those that are as they were.
        batches: How many batches of data were seen.
    """

    layers: tuple[str, ...]
    left: Mapping[str, str]
    batches: int

    def __str__(self) -> str:
        norms, batches = counted(len(self.layers), "batch norm"), counted(self.batches, "batch", "es")
        counts = f"{norms} on {batches}; {len(self.left)} left as {'it was' if len(self.left) == 1 else 'they were'}"
        return "\n".join([f"calibrated {counts}", *(f"  - {path}: {reason}" for path, reason in self.left.items())])


def calibrate(model: Any, data: Any, *, batch_size: int = 32) -> Calibration:
    """Gives every batch norm the statistics of what it sees on some data; in inference the model computes the same.

    Call it after :func:`~tflrecover.port` and before training: batch norms that were folded into their neighbours have
    no statistics of their own, so that with ``training=True`` the model would compute something else.

    Args:
        model: A built Keras 3 model on the TensorFlow backend, or a tf_keras model; changed in place, all or nothing.
        data: Inputs like those to train on: an array, a list or dict of arrays as the model takes them, or batches (a
            ``tf.data.Dataset``, a generator, a ``PyDataset``); of batches that are tuples, ``(inputs, targets)``, the
            first part is taken. A few hundred samples are enough.
        batch_size: For arrays.

    Returns:
        Which layers were set and which were left. A layer without gamma or beta cannot have other statistics and
        compute the same; one that normalizes by its batch in inference too needs none.

    Raises:
        InputMismatch: the model cannot be called on the data.
        EvaluationError: there is no data, or what a layer sees is not finite.
        InvalidModel: it is no built Keras model.

    Example:
        >>> tflrecover.port("classifier.tflite", model)
        >>> print(tflrecover.calibrate(model, images))
        calibrated 1 batch norm on 4 batches; 0 left as they were
        >>> model.compile("adam", "mse")
    """
    from tflrecover.tracing.layers import LayerPaths
    from tflrecover.tracing.tracer import check

    check(model)
    paths = LayerPaths(model)
    layers = {path: layer for path, layer in paths.items() if _is_batch_norm(layer)}
    seen, batches = _statistics(model, data, batch_size, layers, paths)
    left = {path: reason for path, layer in layers.items() if (reason := _obstacle(layer, seen.get(path)))}
    chosen = {path: layer for path, layer in layers.items() if path not in left}
    variables = {f"{path}/{name}": getattr(layer, name) for path, layer in chosen.items() for name in _VARIABLES}
    assignments = [
        Assignment(f"{path}/{name}", "assigned", value)
        for path, layer in chosen.items()
        for name, value in zip(_VARIABLES, _moved(path, layer, seen[path]), strict=True)
    ]
    apply(assignments, variables)
    return Calibration(tuple(chosen), left, batches)


def _is_batch_norm(layer: Any) -> bool:
    """Whether it is a batch norm of Keras 3 or tf_keras, or made from one."""
    return any(
        cls.__name__ in ("BatchNormalization", "BatchNormalizationBase") and "keras" in cls.__module__
        for cls in type(layer).__mro__
    )


@dataclass(eq=False)
class _Seen:
    """Count, mean and sum of squared deviations per channel of what a layer was given; pooled over calls."""

    count: int = 0
    mean: Array = field(default_factory=lambda: np.zeros(()))
    squares: Array = field(default_factory=lambda: np.zeros(()))
    obstacle: str = ""

    def add(self, rows: Array) -> None:
        """Takes in more, channels last."""
        if not len(rows):
            return
        mean = rows.mean(axis=0)
        squares = np.square(rows - mean).sum(axis=0)
        total, shift = self.count + len(rows), mean - self.mean
        # Of two samples: the deviations from their own means, and those of the means from each other.
        self.squares = self.squares + squares + np.square(shift) * (self.count * len(rows) / total)
        self.mean = self.mean + shift * (len(rows) / total)
        self.count = total


def _obstacle(layer: Any, seen: _Seen | None) -> str:
    """Why a layer cannot be given statistics, or nothing."""
    if not layer.scale or not layer.center:
        missing = " and ".join(name for name, has in (("gamma", layer.scale), ("beta", layer.center)) if not has)
        return f"it has no {missing}, so that with other statistics it would compute something else"
    if getattr(layer, "renorm", False):
        return "it renormalizes by running averages of its own"
    if seen is None:
        return "it was not called on this data"
    return seen.obstacle


def _moved(path: str, layer: Any, seen: _Seen) -> tuple[Array, Array, Array, Array]:
    """gamma, beta, mean and variance with the new statistics and the old function.

    Raises:
        EvaluationError: the statistics are not finite.
    """
    gamma, beta, mean, variance = (np.asarray(getattr(layer, name), np.float64) for name in _VARIABLES)
    new_mean = seen.mean.reshape(mean.shape)
    new_variance = (seen.squares / seen.count).reshape(variance.shape)
    if not (np.isfinite(new_mean).all() and np.isfinite(new_variance).all()):
        raise EvaluationError(f"layer {path!r} is given values that are not finite; the model was left as it was")
    deviation = np.sqrt(variance + layer.epsilon)
    new_gamma = gamma * np.sqrt(new_variance + layer.epsilon) / deviation
    return new_gamma, beta + gamma * (new_mean - mean) / deviation, new_mean, new_variance


def _statistics(
    model: Any, data: Any, batch_size: int, layers: Mapping[str, Any], paths: LayerPaths
) -> tuple[dict[str, _Seen], int]:
    """What every layer is given when the model runs on the data in inference, by path, and the number of batches."""
    seen: dict[str, _Seen] = {}
    known = {id(layer) for layer in layers.values()}

    def note(layer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if id(layer) in known:
            _note(seen.setdefault(paths.of(layer), _Seen()), layer, args, kwargs)

    count = 0
    with _observed([type(layer) for layer in layers.values()], note):
        for batch in _batches(data, batch_size):
            count += 1
            try:
                model(batch, training=False)
            except Exception as error:
                reason = " ".join(str(error).split())[:300]
                raise InputMismatch(f"model {model.name!r} cannot be called on the data: {reason}") from error
    if not count:
        raise EvaluationError(f"there is no data to calibrate model {model.name!r} on; give one batch at least")
    return seen, count


def _note(seen: _Seen, layer: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Takes in one call of a batch norm."""
    given = args[0] if args else kwargs["inputs"]
    if kwargs.get("training") is True or (len(args) > 1 and args[1] is True):
        seen.obstacle = "it is called with training=True and normalizes by its batch in inference too"
    elif not hasattr(given, "numpy"):
        seen.obstacle = "it is called inside of a loop or a compiled function, where its inputs cannot be seen"
    else:
        mask = kwargs.get("mask")
        mask = getattr(given, "_keras_mask", None) if mask is None else mask
        seen.add(_rows(np.asarray(given, np.float64), layer.axis, mask))


def _rows(array: Array, axis: Any, mask: Any) -> Array:
    """An activation as rows of channels; without the positions that are masked."""
    axes = [n % array.ndim for n in (axis if isinstance(axis, (list, tuple)) else [axis])]
    if mask is not None and axes == [array.ndim - 1]:
        array = array[np.asarray(mask, bool)]
    else:
        array = np.moveaxis(array, axes, range(-len(axes), 0))
    return array.reshape(-1, *array.shape[array.ndim - len(axes) :])


Note = Callable[[Any, tuple[Any, ...], Mapping[str, Any]], None]


def _observed(classes: list[type], note: Note) -> contextlib.AbstractContextManager[None]:
    """Calls ``note`` before every call of a layer of those classes, until the end of the block."""
    from tflrecover.tracing.ownership import patched

    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
            note(layer, args, kwargs)
            return original(layer, *args, **kwargs)

        return call

    return patched({next(base for base in cls.__mro__ if "__call__" in vars(base)) for cls in classes}, wrap)


def _batches(data: Any, size: int) -> Iterator[Any]:
    """Batches of a model's inputs."""
    import tensorflow as tf

    if hasattr(data, "shape") or isinstance(data, (list, tuple, Mapping)):
        arrays = tf.nest.map_structure(np.asarray, data)
        count = min((len(array) for array in tf.nest.flatten(arrays)), default=0)
        for start in range(0, count, size):
            yield tf.nest.map_structure(lambda array, at=start: tf.constant(array[at : at + size]), arrays)
        return
    # A sequence of batches need not end when it is iterated over.
    listed = (data[i] for i in range(len(data))) if hasattr(data, "__getitem__") else data
    for batch in listed:
        inputs = batch[0] if isinstance(batch, tuple) else batch
        yield tf.nest.map_structure(tf.convert_to_tensor, inputs)
