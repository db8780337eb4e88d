"""Whether the batch and other sizes of a model may be free: tried, not reasoned about."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from tflrecover.recovery.layers import TensorFlowFunction

_log = logging.getLogger(__name__)

_Draw = Callable[[np.random.Generator, tuple[int, ...]], Any]
# Images as fractions, as what they are stored as, and numbers of both signs: what mixes may only do so beyond a limit.
_DRAWS: tuple[_Draw, ...] = (
    lambda generator, shape: generator.uniform(0, 1, shape),
    lambda generator, shape: generator.normal(0, 3, shape),
    lambda generator, shape: generator.uniform(0, 255, shape),
)
# Axes of images.
_IMAGE = 4


def is_free(model: Any, batch: int, size: int) -> bool:
    """Whether examples in one batch give what each gives alone.

    Args:
        model: The model.
        batch: As the file has it; more examples than that are looked at.
        size: What other axes that are open have.
    """
    return all(_is_free(model, batch + 2, size, draw) for draw in _DRAWS)


def _is_free(model: Any, count: int, size: int, draw: _Draw) -> bool:
    generator = np.random.default_rng(0)
    together_in = [_random(generator, tensor, count, size, draw) for tensor in model.inputs]
    outputs, read = model.outputs, _read(model)
    model = keras.Model(model.inputs, [*outputs, *read])
    try:
        alone = [_called(model, [x[i : i + 1] if x.ndim else x for x in together_in]) for i in range(count)]
        together = _called(model, together_in)
        results = list(zip(together, *alone, strict=True))
        if not all(_is_constant(one) or _are_together(*found) for one, found in zip(outputs, results, strict=False)):
            return False
        # What is read from one table for all examples is there once.
        return all(_are_together(*found) for found in results[len(outputs) :] if len(found[0]) != len(found[1]))
    # Whatever the backend raises, it is because of the batch.
    except Exception as error:
        _log.info("no free batch: %s", error)
        return False


def _are_together(whole: Any, *parts: Any) -> bool:
    return _same(whole, np.concatenate(parts))


def _read(model: Any) -> list[Any]:
    """What is read at places that are computed: read of another example, it may still change no output."""
    found: dict[int, Any] = {}
    for operation in model.operations:
        if any(one.dtype.startswith("int") for one in keras.tree.flatten(operation.input)):
            made = keras.tree.flatten(operation.output)
            found.update((id(one), one) for one in made if one.shape[:1] == (None,) and one.dtype.startswith("float"))
    return [one for key, one in found.items() if key not in {*map(id, model.inputs), *map(id, model.outputs)}]


def _is_constant(tensor: Any) -> bool:
    """Whether the file has an output that no input decides."""
    layer = tensor._keras_history[0]
    return isinstance(layer, TensorFlowFunction) and layer.is_constant


def _same(whole: Any, parts: Any) -> bool:
    if whole.shape != parts.shape:
        return False
    if parts.dtype.kind not in "fc":
        return np.array_equal(whole, parts)
    scale = np.max(np.abs(parts[np.isfinite(parts)]), initial=0.0)
    return bool(np.allclose(whole, parts, rtol=0, atol=1e-4 * scale, equal_nan=True))


def are_same(model: Any, fixed: Any) -> bool:
    """Whether a model gives what another one gives, on inputs of the other's shapes."""
    generator = np.random.default_rng(0)
    given = [_of_shape(generator, tensor.shape, tensor.dtype) for tensor in fixed.inputs]
    try:
        return all(map(_same, _called(model, given), _called(fixed, given)))
    # Whatever the backend raises, it is because of the sizes.
    except Exception as error:
        _log.info("no free sizes: %s", error)
        return False


def _random(generator: np.random.Generator, tensor: Any, count: int, size: int, draw: _Draw) -> Any:
    shape = (count, *(size if n is None else n for n in tensor.shape[1:])) if tensor.shape else ()
    return _of_shape(generator, shape, tensor.dtype, draw)


def _of_shape(generator: np.random.Generator, shape: tuple[int, ...], dtype: str, draw: _Draw = _DRAWS[0]) -> Any:
    if str(dtype).startswith("float"):
        return np.asarray(draw(generator, shape), dtype)
    # The pixels of an image; of indices nobody knows how many there are.
    numbers = np.abs(draw(generator, shape)).round() if len(shape) == _IMAGE else generator.integers(0, 2, shape)
    # Texts of digits: what reads a number out of them finds one.
    return np.asarray(numbers, "S").astype(object) if dtype == "string" else np.asarray(numbers, dtype)


def _called(model: Any, inputs: Sequence[Any]) -> list[Any]:
    made = model(list(inputs) if len(inputs) != 1 else inputs[0], training=False)
    return [np.asarray(one) for one in (made if isinstance(made, (list, tuple)) else [made])]
