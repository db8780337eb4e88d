"""A layer that a network calls in several places, told by its weights: it has the same ones in each of them.

A file has a weight that is shared once, or twice with the same bytes. A layer that would be made again with the
arguments and weights of one that is there is that one, called again. Weights of few different numbers prove nothing:
those of two blurs are the same, and so are those of norms that were never trained.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tflrecover.weight import Array

# So many different numbers are not the same twice by chance.
_SURE = 8


class SharedLayers:
    """The layers with weights that a model has so far."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Any] = {}

    @staticmethod
    def key(kind: str, arguments: Mapping[str, Any], weights: Sequence[Array]) -> Hashable:
        """What the calls of one layer have in common: its class, arguments of its constructor, and weights."""
        return kind, _frozen(arguments), tuple(map(digest, weights))

    def called(
        self, key: Hashable, weights: Sequence[Array], inputs: Sequence[Any], named: Mapping[str, Any]
    ) -> tuple[Any, Any] | None:
        """Calls the layer of a key, if there is one.

        Args:
            key: Of the layer that is wanted.
            weights: Its weights.
            inputs: What to call it on.
            named: What to call it with by name.

        Returns:
            The layer and its result; None where there is no such layer, or it cannot be called on that.
        """
        layer = self._made.get(key)
        if layer is None or not are_telling(weights):
            return None
        try:
            return layer, layer(*inputs, **named)
        # Keras raises whatever it likes at inputs of other ranks.
        except Exception:
            return None

    def add(self, key: Hashable, layer: Any) -> None:
        """Notes a layer that was made; of those that are alike, the first."""
        self._made.setdefault(key, layer)


def are_telling(weights: Sequence[Array]) -> bool:
    """Whether weights have so many different numbers that equal ones are one."""
    return any(np.unique(weight).size >= _SURE for weight in weights)


def digest(weight: Array) -> Hashable:
    """What tells the numbers of an array, as float32, from those of others."""
    numbers = np.ascontiguousarray(weight, np.float32)
    return numbers.shape, hashlib.blake2b(numbers.data, digest_size=16).digest()


def _frozen(value: Any) -> Hashable:
    """Arguments as a key, without the names of layers among them."""
    if isinstance(value, keras.layers.Layer):
        return type(value), _frozen(value.get_config())
    if isinstance(value, Mapping):
        return tuple((name, _frozen(one)) for name, one in sorted(value.items()) if name != "name")
    if isinstance(value, (list, tuple)):
        return type(value), tuple(map(_frozen, value))
    return digest(value) if isinstance(value, np.ndarray) else repr(value)
