"""What is known of a Keras layer besides what it computes: its class, and the activation that it was given."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from tflrecover.mistaken import is_of_keras

Layers = Mapping[str, Any]


def class_of(layers: Layers, path: str | None) -> str:
    """Name of the layer's class; ``""`` where there is no such layer."""
    return type(layers[path]).__name__ if path is not None and path in layers else ""


def activation_of(layers: Layers, path: str | None) -> str | None:
    """Keras's name of the activation that a layer was given, if it was given one, and one only."""
    layer = layers.get(path) if path is not None else None
    given = [name for name in dir(layer) if name.endswith("activation")]
    name = getattr(getattr(layer, "activation", None), "__name__", "") if given == ["activation"] else ""
    return name if name.isidentifier() and name != "linear" else None


def padding_layer(layers: Layers, path: str | None) -> str:
    """``ZeroPadding2D``, or what it is called for the rank of a layer."""
    rank = next((digit for digit in "123" if f"{digit}D" in class_of(layers, path)), "2")
    return f"ZeroPadding{rank}D"


def bias_argument(layers: Layers, path: str | None) -> tuple[str, Any, Any]:
    """The argument that gives a layer without a bias one, what it must be, and what it is."""
    layer: Any = layers.get(path) if path is not None else None
    if not hasattr(layer, "bias_axes"):
        return "use_bias", True, False
    operands, _, made = layer.equation.partition("->")
    # A bias has the axes that the kernel brings in.
    axes = "".join(axis for axis in made if axis.isalpha() and axis not in operands.partition(",")[0])
    return "bias_axes", axes, layer.bias_axes


def needs_none(layer: Any, argument: str) -> bool:
    """Whether an argument of a layer need not be given, and is then what another makes of it."""
    parameter = inspect.signature(type(layer).__init__).parameters.get(argument)
    return parameter is not None and parameter.default is None


def is_kind_of_activation(layer: Any) -> bool:
    """Whether a layer of Keras's own is an activation, with arguments that say which."""
    return type(layer).__module__.rpartition(".")[0].endswith((".activation", ".activations"))


def owners(layers: Layers, *, of_users: bool = False) -> dict[str, str]:
    """Path of a layer to that of the outermost layer around it that is no model.

    Args:
        layers: The model's layers by path.
        of_users: Whether it may be of a class of the user's. What such a one holds is in its code, where each can be
            changed by itself.
    """
    paths = {id(layer): path for path, layer in layers.items()}
    found: dict[str, str] = {}
    for path, layer in layers.items():
        is_whole = hasattr(layer, "_flatten_layers") and not hasattr(layer, "compile")
        if not is_whole or not (of_users or is_of_keras(layer)):
            continue
        for inner in layer._flatten_layers(include_self=False):
            if id(inner) in paths:
                # Layers are listed from the outside in.
                found.setdefault(paths[id(inner)], found.get(path, path))
    return found


def around(layers: Layers, path: str) -> list[str]:
    """Paths of the models and layers that a layer is in, the outermost first."""
    layer = layers.get(path)
    others = [(name, one) for name, one in layers.items() if hasattr(one, "_flatten_layers") and one is not layer]
    return [name for name, one in others if any(layer is inner for inner in one._flatten_layers(include_self=False))]
