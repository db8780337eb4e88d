"""Arguments of a layer's constructor, as short as a person would write them."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np


def default(kind: Any, name: str) -> Any:
    """An argument's default in its shortest form; None for one that the base class takes."""
    parameter = inspect.signature(kind).parameters.get(name)
    if parameter is None:
        return None
    value = parameter.default
    return _short(value) if isinstance(value, tuple) else value


def _short(value: Any) -> Any:
    """``(3, 3)`` is ``3``, and ``6.0`` is ``6``."""
    if isinstance(value, tuple) and value and all(one == value[0] for one in value):
        return _short(value[0])
    return int(value) if isinstance(value, float) and value.is_integer() else value


def shortest(kind: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments that give the same configuration, without those that are the default."""

    def configuration(given: dict[str, Any]) -> Any:
        try:
            return {**kind(**given).get_config(), "name": ""}
        except (TypeError, ValueError):
            return None

    if any(isinstance(value, np.ndarray) for value in arguments.values()):
        return arguments
    wanted = configuration(arguments)
    for name, value in arguments.items():
        without = {key: one for key, one in arguments.items() if key != name}
        if configuration(without) == wanted:
            arguments = without
        elif (short := _short(value)) is not value and configuration({**arguments, name: short}) == wanted:
            arguments = {**arguments, name: short}
    return arguments


def of_layer(layer: Any) -> dict[str, Any]:
    """Arguments that make such a layer."""
    kind, config = type(layer), layer.get_config()
    names = [name for name in inspect.signature(kind).parameters if name in config]
    # What it was given is in its configuration by name, as an activation is, or else serialized.
    own = {
        name: getattr(layer, name, config[name]) if isinstance(config[name], dict) else config[name] for name in names
    }
    return shortest(kind, own)
