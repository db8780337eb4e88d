"""Names for layers and variables that are unique and that a user recognises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from tflrecover.tracing.masks import mask_makers


def _children(layer: Any) -> list[Any]:
    """Direct sublayers, of Keras 3 and of tf_keras, and the ``keras.ops`` calls of a Functional model."""
    if not hasattr(layer, "_flatten_layers"):
        return []
    layers = [child for child in layer._flatten_layers(recursive=False, include_self=False) if child is not layer]
    known = {id(child) for child in layers}
    return layers + [node for node in getattr(layer, "operations", ()) if id(node) not in known]


def _walk(layer: Any, prefix: tuple[str, ...], seen: set[int]) -> Iterator[tuple[Any, tuple[str, ...]]]:
    children = [child for child in _children(layer) if id(child) not in seen]
    names = Counter(child.name for child in children)
    counts: Counter[str] = Counter()
    for child in children:
        seen.add(id(child))
        # Siblings may share a name when the user gave it; their position then stands before it.
        counts[child.name] += 1
        place = (f"[{counts[child.name]}]",) if names[child.name] > 1 else ()
        path = (*prefix, *place, child.name)
        yield child, path
        yield from _walk(child, path, seen)


def shortest_unique(paths: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """For each path the shortest ending that no other path has, joined by slashes."""
    listed = list(paths)
    endings: Counter[tuple[str, ...]] = Counter()
    for path in listed:
        endings.update(path[-n:] for n in range(1, len(path) + 1))
    return {
        path: "/".join(next((path[-n:] for n in range(1, len(path) + 1) if endings[path[-n:]] == 1), path))
        for path in listed
    }


class LayerPaths:
    """Layer paths of one model: by the layer, however deep it is nested.

    Args:
        model: A Keras model.
    """

    def __init__(self, model: Any) -> None:
        self._layers: dict[int, Any] = {}
        long: dict[int, tuple[str, ...]] = {}
        for layer, path in _walk(model, (), {id(model)}):
            self._layers[id(layer)] = layer
            long[id(layer)] = path
        short = shortest_unique(long.values())
        self._paths = {key: short[path] for key, path in long.items()}
        # A user has not written the operations that make the mask of a layer's output.
        self._masks = mask_makers(self._layers.values())
        self._paths |= {key: self._paths[id(layer)] for key, layer in self._masks.items()}

    def __contains__(self, operation: object) -> bool:
        return id(operation) in self._paths

    def of(self, operation: Any) -> str:
        """Path of a layer, or of a ``keras.ops`` call of a Functional model."""
        return self._paths[id(operation)]

    def items(self) -> Iterator[tuple[str, Any]]:
        """``(path, layer)`` of every layer, without the operations that make masks of outputs."""
        return ((path, self._layers[key]) for key, path in self._paths.items() if key not in self._masks)

    @property
    def masks(self) -> list[Any]:
        """The operations that make masks of outputs."""
        return [self._layers[key] for key in self._masks if key in self._layers]


def own_variables(layer: Any) -> list[Any]:
    """Variables that belong to the layer itself and not to a layer inside it; seed states are among them."""
    if hasattr(layer, "_trainable_variables"):
        own = [*layer._trainable_variables, *layer._non_trainable_variables]
    else:
        own = [*layer._trainable_weights, *layer._non_trainable_weights]
    return own


def variable_paths(model: Any, paths: LayerPaths, captured: Iterable[Any]) -> dict[str, Any]:
    """Every variable of the model under a unique path, ``layer path/variable name``, in the model's own order.

    Args:
        model: A Keras model.
        paths: Of its layers.
        captured: Variables of TensorFlow that its call reads. Those that the model does not list come last: what a
            stateful layer keeps between calls, what a function of the user's closes over.
    """
    owner: dict[int, str] = {}
    for path, layer in paths.items():
        for variable in own_variables(layer) if hasattr(layer, "_flatten_layers") else ():
            owner.setdefault(id(variable), path)
    listed = list(model.variables)
    known = {id(handle_of(variable)) for variable in listed}
    states = {id(handle_of(state)): (state, path) for path, layer in paths.items() for state in _states(layer)}
    for variable in captured:
        if id(variable.handle) not in known:
            state, path = states.get(id(variable.handle), (variable, ""))
            owner[id(state)] = path
            listed.append(state)
    found: dict[str, Any] = {}
    taken: Counter[str] = Counter()
    for variable in listed:
        name = str(variable.name).rsplit("/", 1)[-1].split(":")[0]
        layer = owner.get(id(variable), "")
        path = f"{layer}/{name}" if layer else name
        taken[path] += 1
        found[path if taken[path] == 1 else f"{path}_{taken[path] - 1}"] = variable
    return found


def handle_of(variable: Any) -> Any:
    """TensorFlow's handle of a variable of Keras 3, of tf_keras or of TensorFlow itself."""
    raw = getattr(variable, "value", variable)
    return (raw if hasattr(raw, "handle") else variable).handle


def _states(layer: Any) -> Iterator[Any]:
    """What a stateful recurrent layer keeps between calls: a list of variables, for stacked cells one of lists."""
    stack = [getattr(layer, "states", None) if getattr(layer, "stateful", False) else None]
    while stack:
        item = stack.pop()
        if isinstance(item, (list, tuple)):
            stack.extend(reversed(item))
        elif item is not None:
            yield item
