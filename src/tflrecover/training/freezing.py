"""Which layers of a model stay as they are in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from tflrecover import mistaken
from tflrecover.errors import InvalidModel, UnknownLayer
from tflrecover.mapping.loader import nearest


def freeze(model: Any, *patterns: str, but: str | Sequence[str] = ()) -> tuple[str, ...]:
    """Takes the weights of layers out of training, all others into it.

    Args:
        model: A Keras model.
        patterns: Layer paths or names, as in ``fnmatch``, of layers or of models that hold them; none means all.
        but: Patterns of layers that are trained although one of ``patterns`` fits.

    Returns:
        Paths of the layers that have weights and are frozen now.

    Raises:
        InvalidModel: it is no Keras model.
        UnknownLayer: a pattern fits no layer that has weights; nothing was changed.

    Example:
        >>> tflrecover.freeze(model, but="classifier*")
        >>> model.compile("adam", "mse")
    """
    from tflrecover.tracing.layers import LayerPaths

    if not mistaken.is_layer(model):
        raise InvalidModel(mistaken.instead_of_a_model(model))
    exceptions = (but,) if isinstance(but, str) else tuple(but)
    layers = {path: layer for path, layer in LayerPaths(model).items() if getattr(layer, "weights", ())}
    for pattern in (*patterns, *exceptions):
        if not any(_fits(path, [pattern]) for path in layers):
            raise UnknownLayer(pattern, nearest(pattern, layers), f"no layer with weights of model {model.name!r}")
    frozen = _inside(layers, patterns or ["*"]) - _inside(layers, exceptions)
    model.trainable = True
    for layer in layers.values():
        layer.trainable = True
    leaves = {path: layer for path, layer in layers.items() if len(_flat(layer)) == 1}
    for layer in layers.values():
        # A layer that holds others would set theirs, too: it only answers for variables of its own.
        for variable in getattr(layer, "_trainable_variables", ()):
            variable.trainable = id(layer) not in frozen
    for layer in leaves.values():
        layer.trainable = id(layer) not in frozen
    return tuple(path for path, layer in leaves.items() if id(layer) in frozen)


def _inside(layers: Mapping[str, Any], patterns: Sequence[str]) -> set[int]:
    """Ids of the layers that fit, and of all that they hold."""
    return {id(inner) for path, layer in layers.items() if _fits(path, patterns) for inner in _flat(layer)}


def _flat(layer: Any) -> list[Any]:
    return list(layer._flatten_layers()) if hasattr(layer, "_flatten_layers") else [layer]


def _fits(path: str, patterns: Sequence[str]) -> bool:
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns for name in _names(path))


def _names(path: str) -> tuple[str, str]:
    return path, path.rsplit("/", 1)[-1]
