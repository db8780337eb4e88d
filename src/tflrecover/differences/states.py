"""Layers that keep their state between calls on one side only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tflrecover.align import Alignment
from tflrecover.differences import describe
from tflrecover.ir import Difference, Graph
from tflrecover.rewrite.variables import Forgotten


def forgotten(alignment: Alignment, layers: Mapping[str, Any]) -> tuple[Difference, ...]:
    """One difference per layer whose states were left out of both sides to align them.

    Args:
        alignment: The pairs.
        layers: Layer path to layer.
    """
    found = {difference.keras_layer: difference for difference in _told(alignment, layers)}
    return tuple(found.values())


def _told(alignment: Alignment, layers: Mapping[str, Any]) -> Iterator[Difference]:
    file, keras = alignment.file, alignment.keras
    pairs = [(file.graph.op(match.tflite), keras.graph.op(match.keras)) for match in alignment.matches]
    # A loop that was written out has left operators of its body.
    partner = {str(describe.file_index(f)): k for f, k in pairs} | {str(f.id): k for f, k in pairs}
    for state in _states(file.graph):
        op = partner.get(str(state.maker)) or partner.get(str(state.maker).split("/")[0])
        layer = _stateful_layer(None if op is None else describe.layer_of(op), layers)
        where = f"layer {layer!r}" if layer else "the layer that it belongs to"
        place = f"operator {describe.file_index(state.end)} (ASSIGN_VARIABLE)"
        begins = "" if state.is_blank else " (and its first call begins with other numbers than zeros)"
        yield Difference(
            "attribute",
            f"set `stateful=True` on {where}: the file goes on at each call where the last one ended, by {place}"
            f"{begins}; the model begins anew. The weights are the same: port into a stateful twin, or accept this",
            describe.file_index(state.end),
            "ASSIGN_VARIABLE",
            keras_layer=layer,
            attribute="stateful",
            tflite_value=True,
            keras_value=False,
        )
    for state in _states(keras.graph):
        layer = _stateful_layer(describe.layer_of(state.end), layers)
        yield Difference(
            "attribute",
            f"set `stateful=False` on layer {layer!r}: the file begins anew at each call, the model goes on where the "
            "last one ended. The weights are the same: port into a twin without states, or accept this",
            keras_layer=layer,
            attribute="stateful",
            tflite_value=False,
            keras_value=True,
        )


def _states(graph: Graph) -> tuple[Forgotten, ...]:
    """States that were left out."""
    found: tuple[Forgotten, ...] = graph.graph.get("forgotten", ())
    return found


def _stateful_layer(path: str | None, layers: Mapping[str, Any]) -> str | None:
    """The layer with the argument: a cell's operators belong to the layer around it."""
    if path is None or hasattr(layers.get(path), "stateful"):
        return path
    around = (p for p, layer in layers.items() if hasattr(layer, "stateful") and _holds(layer, layers.get(path)))
    return next(around, path)


def _holds(layer: Any, inner: Any) -> bool:
    return any(child is inner for child in layer._flatten_layers(include_self=False))
