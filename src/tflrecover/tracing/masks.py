"""Masks that Keras 3 passes on by itself: in a Functional model they are operations of the graph like a user's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


def mask_makers(layers: Iterable[Any]) -> dict[int, Any]:
    """By the id of an operation that makes an automatic mask, the layer whose output is masked.

    Args:
        layers: All of a model, those that give before those that take.
    """
    # A node of tf_keras has no arguments: there masks are passed on with the tensors alone.
    nodes = [
        (layer, node) for layer in layers for node in getattr(layer, "_inbound_nodes", ()) if hasattr(node, "arguments")
    ]
    masks: dict[int, tuple[Any, Any, Any]] = {}
    for layer, node in nodes:
        for output in node.outputs:
            # Layers behind it may pass the same mask on.
            mask = getattr(output, "_keras_mask", None)
            masks.setdefault(id(mask), (mask, layer, node))
    taken = [
        v
        for _, node in nodes
        for key, value in node.arguments.kwargs.items()
        if key.endswith("mask")
        for v in _listed(value)
    ]
    found: dict[int, Any] = {}
    for mask, layer, node in masks.values():
        for tensor in taken:
            for operation in _made_alike(tensor, mask, {id(operand) for operand in node.input_tensors}):
                found.setdefault(id(operation), layer)
    return found


def _made_alike(tensor: Any, mask: Any, operands: set[int]) -> list[Any]:
    """The operations between a layer's operands and a tensor that is made as a mask is; a loaded model has it twice."""
    mine, own = _node(tensor), _node(mask)
    if mine is None or own is None or type(mine.operation) is not type(own.operation):
        return []
    found = [mine.operation]
    for given, wanted in zip(mine.input_tensors, own.input_tensors, strict=False):
        if given is not wanted or id(given) not in operands:
            before = _made_alike(given, wanted, operands)
            if not before:
                return []
            found += before
    return found


def _node(tensor: Any) -> Any:
    """The call of an operation that makes a tensor; None where a layer makes it."""
    history = getattr(tensor, "_keras_history", None)
    if history is None or history.operation is None or hasattr(history.operation, "_flatten_layers"):
        return None
    return history.operation._inbound_nodes[history.node_index]


def _listed(value: Any) -> Iterator[Any]:
    """Masks of several operands are lists."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _listed(item)
    else:
        yield value
