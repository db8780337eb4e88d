"""Every single change of a functional model's configuration that could alter what it computes.

A fault is a change of one argument of one layer, of a layer's class, or of the wiring. What is possible is read from
the configuration: a new layer needs a line here only if it has an argument of a new name.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.faults.changes import CHANGES, CLASSES, EXCHANGED, Config


@dataclass(frozen=True, slots=True)
class Fault:
    """One planted change.

    Attributes:
        layer: Name of the layer that was changed.
        what: What was changed, e.g. ``"Conv2D.strides"`` or ``"Add removed"``.
        attribute: The argument of the layer that differs, or None where a layer or a connection does.
        config: The changed configuration of the model.
        moves: ``"missing"`` or ``"extra"`` where the fault is a layer too few or too many, ``"sharing"`` where one
            layer is two or two are one, ``"number"`` where it is a number that no layer has.
    """

    layer: str
    what: str
    attribute: str | None
    config: Config
    moves: str = ""


# Layers in the place of which nothing else can be, or that do nothing.
_KEPT = ("InputLayer", "Dropout", "SpatialDropout2D")
# Layers that are worth sharing.
_WEIGHTED = ("Conv2D", "Conv1D", "Dense", "LayerNormalization", "MultiHeadAttention", "LSTM", "GRU")
# Where the order of the operands matters.
_ORDERED = ("Concatenate", "Subtract", "TrueDivide", "Matmul", "Dot", "MultiHeadAttention")


def faults(config: Config) -> Iterator[Fault]:
    """Every fault that can be planted in a functional model.

    Args:
        config: What ``model.get_config()`` gives.
    """
    config = {**config, "layers": [_unbuilt(layer) for layer in config["layers"]]}
    for number, layer in enumerate(config["layers"]):
        yield from _arguments(config, number)
        if layer["class_name"] in _KEPT:
            continue
        yield from _classes(config, number)
        yield from _exchanged_arguments(config, number)
        yield from _constants(config, number)
        yield from _layers(config, number)
        yield from _wiring(config, number)
        yield from _split(config, number)
        yield from _nested(config, number)
    yield from _ends(config)
    yield from _joined(config)


def _nested(config: Config, number: int) -> Iterator[Fault]:
    """Faults of a model inside."""
    inner = config["layers"][number]["config"]
    if "layers" in inner and "output_layers" in inner:
        for fault in faults(inner):
            if "batch_shape" not in fault.what and fault.what != "outputs exchanged":
                made, mine = _changed(config, number)
                mine["config"] = fault.config
                yield replace(fault, config=made)


def _exchanged_arguments(config: Config, number: int) -> Iterator[Fault]:
    """Two numbers given in the wrong order."""
    layer = config["layers"][number]
    for one, two in EXCHANGED:
        values = layer["config"].get(one), layer["config"].get(two)
        if None not in values and values[0] != values[1]:
            made, mine = _changed(config, number)
            mine["config"].update({one: values[1], two: values[0]})
            what = f"{layer['class_name']}.{one} {values[0]} and {two} {values[1]} exchanged"
            yield Fault(layer["config"]["name"], what, None, made)


def _constants(config: Config, number: int) -> Iterator[Fault]:
    """Another number in a call, such as ``x * 0.5``."""
    layer = config["layers"][number]
    for call, node in enumerate(layer["inbound_nodes"]):
        for slot, value in enumerate(node["args"]):
            if isinstance(value, float):
                made, mine = _changed(config, number)
                args = list(node["args"])
                args[slot] = value * 1.5
                mine["inbound_nodes"][call]["args"] = tuple(args)
                name, what = layer["config"]["name"], f"{layer['class_name']} operand {value} -> {value * 1.5}"
                yield Fault(name, what, None, made, "number")


def _split(config: Config, number: int) -> Iterator[Fault]:
    """A shared layer becomes two, the second with weights of its own."""
    layer = config["layers"][number]
    if len(layer["inbound_nodes"]) < 2:
        return
    made, mine = _changed(config, number)
    name = layer["config"]["name"]
    other = copy.deepcopy(mine)
    other["name"] = other["config"]["name"] = f"{name}_too"
    other["inbound_nodes"] = [mine["inbound_nodes"].pop()]
    _redirect(made, [name, len(mine["inbound_nodes"]), 0], [other["name"], 0, 0])
    made["layers"].insert(number + 1, other)
    yield Fault(name, f"{layer['class_name']} shared no more", None, made, "sharing")


def _joined(config: Config) -> Iterator[Fault]:
    """Two layers that are configured alike become one that is called twice."""
    seen: dict[str, Config] = {}
    for layer in config["layers"]:
        kind, given = layer["class_name"], {k: v for k, v in layer["config"].items() if k != "name"}
        if kind not in _WEIGHTED or len(layer["inbound_nodes"]) != 1:
            continue
        first = seen.setdefault(f"{kind} {given}", layer)
        if first is not layer:
            made = copy.deepcopy(config)
            one, two = first["config"]["name"], layer["config"]["name"]
            kept = next(other for other in made["layers"] if other["config"]["name"] == one)
            kept["inbound_nodes"] += copy.deepcopy(layer["inbound_nodes"])
            made["layers"] = [other for other in made["layers"] if other["config"]["name"] != two]
            _redirect(made, [two, 0, 0], [one, 1, 0])
            yield Fault(one, f"{kind} shared with {two}", None, made, "sharing")


def _unbuilt(value: Any) -> Any:
    """A configuration without what layers, wrapped ones too, were built for: that follows from what is before them."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(_unbuilt, value))
    if isinstance(value, dict):
        return {key: _unbuilt(item) for key, item in value.items() if key != "build_config"}
    return value


def _changed(config: Config, number: int) -> tuple[Config, Config]:
    made = copy.deepcopy(config)
    return made, made["layers"][number]


def _arguments(config: Config, number: int) -> Iterator[Fault]:
    layer = config["layers"][number]
    name, kind = layer["config"]["name"], layer["class_name"]
    for place, key in _places(layer):
        for change in CHANGES.get(key, ()):
            value = _at(layer, place).get(key)
            if value is None and key != "max_value":
                continue
            if isinstance(value, dict) or (isinstance(value, bool) and key in ("value",)):
                continue
            try:
                other = change(value, layer["config"])
            except (KeyError, TypeError, IndexError):
                continue
            if (other is None and key == "groups") or other == value:
                continue
            made, mine = _changed(config, number)
            _at(mine, place)[key] = other
            # No activation may be told as a missing layer: either is a way to write it.
            moves = "missing" if other == "linear" else ""
            what = f"{kind}.{key} {value} -> {other}"
            # A report tells an input's shape without a layer.
            yield Fault("", what, "shape", made) if kind == "InputLayer" else Fault(name, what, key, made, moves)


def _places(layer: Config) -> Iterator[tuple[tuple[str, ...], str]]:
    """Where arguments stand: in the layer's configuration, in that of a layer that it wraps, and in its calls."""
    for key in layer["config"]:
        yield ("config",), key
        inner = layer["config"][key]
        if isinstance(inner, dict) and isinstance(inner.get("config"), dict) and key in ("layer", "forward_layer"):
            for deeper in inner["config"]:
                yield ("config", key, "config"), deeper
    for key in layer["inbound_nodes"][0]["kwargs"] if layer["inbound_nodes"] else ():
        yield ("inbound_nodes", "0", "kwargs"), key


def _at(layer: Config, place: tuple[str, ...]) -> Config:
    found: Any = layer
    for key in place:
        found = found[int(key)] if isinstance(found, list) else found[key]
    return dict(found) if not isinstance(found, dict) else found


# The number with which a class computes nothing.
_NEUTRAL = {"Add": 0.0, "Subtract": 0.0, "Multiply": 1.0}


def _classes(config: Config, number: int) -> Iterator[Fault]:
    layer = config["layers"][number]
    for group in CLASSES:
        for other in group:
            if layer["class_name"] in group and other != layer["class_name"]:
                made, mine = _changed(config, number)
                mine["class_name"] = other
                mine["registered_name"] = None
                # With a number for an operand it is that number's part that differs.
                numbers = [arg for node in layer["inbound_nodes"] for arg in node["args"] if isinstance(arg, float)]
                what, attribute = f"{layer['class_name']} -> {other}", None if numbers else "layer"
                # What it computes with that number may be nothing: then there is no layer any more.
                moves = "missing" if numbers == [_NEUTRAL.get(other)] else ""
                yield Fault(layer["config"]["name"], what, attribute, made, moves)


def tensors(value: Any) -> Iterator[Config]:
    """Every ``__keras_tensor__`` in the arguments of a call."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            yield value
            return
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors(item)


def _history(tensor: Config) -> list[Any]:
    return list(tensor["config"]["keras_history"])


def _redirect(config: Config, old: list[Any], new: list[Any], but: str = "") -> None:
    for layer in config["layers"]:
        if layer["config"]["name"] == but:
            continue
        for node in layer["inbound_nodes"]:
            for tensor in tensors([node["args"], node["kwargs"]]):
                if _history(tensor) == old:
                    tensor["config"]["keras_history"] = list(new)
    config["output_layers"] = _exchanged(config["output_layers"], old, new)


def _exchanged(ends: Any, old: list[Any], new: list[Any]) -> Any:
    if list(ends) == old:
        return list(new)
    return [_exchanged(end, old, new) if isinstance(end, (list, tuple)) else end for end in ends]


def _layers(config: Config, number: int) -> Iterator[Fault]:
    """The layer left out, where another can go on with its operand; another activation behind it."""
    layer = config["layers"][number]
    name, kind = layer["config"]["name"], layer["class_name"]
    if len(layer["inbound_nodes"]) != 1:
        return
    operands = list(tensors(layer["inbound_nodes"][0]["args"]))
    if operands and kind != "Dense":
        made = copy.deepcopy(config)
        _redirect(made, [name, 0, 0], _history(operands[0]))
        made["layers"] = [other for other in made["layers"] if other["config"]["name"] != name]
        yield Fault(name, f"{kind} removed", None, made, "missing")
    made = copy.deepcopy(config)
    extra = {
        "module": "keras.layers",
        "class_name": "Activation",
        "config": {"name": "surplus", "activation": "tanh"},
        "registered_name": None,
        "name": "surplus",
        "inbound_nodes": [{"args": [_tensor(layer, name)], "kwargs": {}}],
    }
    _redirect(made, [name, 0, 0], ["surplus", 0, 0])
    made["layers"].insert(number + 1, extra)
    yield Fault("surplus", f"tanh behind {kind}", None, made, "extra")


def _tensor(layer: Config, name: str) -> Config:
    found = next(tensors(layer["inbound_nodes"][0]["args"]), None)
    assert found is not None
    made = copy.deepcopy(found)
    made["config"]["keras_history"] = [name, 0, 0]
    return made


def _wiring(config: Config, number: int) -> Iterator[Fault]:
    """Operands in the other order, and a skip that comes from somewhere else."""
    layer = config["layers"][number]
    if len(layer["inbound_nodes"]) != 1:
        return
    operands = list(tensors(layer["inbound_nodes"][0]["args"]))
    histories = [_history(tensor) for tensor in operands]
    if len(operands) != 2 or histories[0] == histories[1]:
        return
    name, kind = layer["config"]["name"], layer["class_name"]
    if kind in _ORDERED:
        made, mine = _changed(config, number)
        for tensor, history in zip(tensors(mine["inbound_nodes"][0]["args"]), histories[::-1], strict=True):
            tensor["config"]["keras_history"] = history
        yield Fault(name, f"{kind} operands exchanged", None, made)
    for slot in (0, 1):
        made, mine = _changed(config, number)
        changed = list(tensors(mine["inbound_nodes"][0]["args"]))
        producer = next(other for other in config["layers"] if other["config"]["name"] == histories[slot][0])
        before = [_history(t) for node in producer["inbound_nodes"][:1] for t in tensors(node["args"])]
        if before and before[0] not in histories:
            changed[slot]["config"]["keras_history"] = before[0]
            what = f"{kind} operand {slot} from before {producer['class_name']}"
            yield Fault(name, what, None, made, "missing")
        for other in config["layers"][:number]:
            taken = [_history(tensor) for node in other["inbound_nodes"][:1] for tensor in tensors(node["args"])]
            behind = [other["config"]["name"], 0, 0]
            if taken == [histories[slot]] and behind not in histories:
                made, mine = _changed(config, number)
                list(tensors(mine["inbound_nodes"][0]["args"]))[slot]["config"]["keras_history"] = behind
                yield Fault(name, f"{kind} operand {slot} from behind {other['class_name']}", None, made)


def _ends(config: Config) -> Iterator[Fault]:
    outputs = config["output_layers"]
    if len(outputs) == 2 and isinstance(outputs[0], (list, tuple)):
        made = copy.deepcopy(config)
        made["output_layers"] = made["output_layers"][::-1]
        yield Fault("", "outputs exchanged", None, made)
