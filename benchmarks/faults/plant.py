"""Every single change of a functional model's configuration that could alter what it computes.

A fault is a change of one argument of one layer, of a layer's class, or of the wiring. What is possible is read from
the configuration: a new layer needs a line here only if it has an argument of a new name.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Config = dict[str, Any]
Change = Callable[[Any, Config], Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """One planted change.

    Attributes:
        layer: Name of the layer that was changed.
        what: What was changed, e.g. ``"Conv2D.strides"`` or ``"Add removed"``.
        attribute: The argument of the layer that differs, or None where a layer or a connection does.
        config: The changed configuration of the model.
        moves: ``"layer"`` where the fault is a layer too many or too few.
    """

    layer: str
    what: str
    attribute: str | None
    config: Config
    moves: str = ""


def _other(*values: Any) -> Change:
    """Each value becomes another of those."""
    return lambda value, _: next(v for v in values if v != value)


def _each(change: Callable[[int], int]) -> Change:
    return lambda value, _: [change(n) for n in value] if isinstance(value, (list, tuple)) else change(value)


def _amounts(value: Any, _: Config) -> Any:
    """Paddings and croppings: one more behind; sides exchanged where they differ."""
    pairs = [list(pair) for pair in value] if isinstance(value[0], (list, tuple)) else [list(value)]
    turned = [pair[::-1] for pair in pairs]
    changed = turned if turned != pairs else [[a + 1, max(b - 1, 0)] for a, b in pairs]
    return changed if isinstance(value[0], (list, tuple)) else changed[0]


def _padding(value: Any, config: Config) -> Any:
    return (
        {"same": "valid", "valid": "same", "causal": "same"}[value]
        if isinstance(value, str)
        else _amounts(value, config)
    )


def _axis(value: Any, _: Config) -> Any:
    return {-1: 1, 1: 2, 2: 1, 3: 1}.get(value, value) if isinstance(value, int) else value


_ACTIVATIONS = ("relu", "tanh", "sigmoid", "silu", "elu", "gelu", "softplus", "relu6")

CHANGES: dict[str, Sequence[Change]] = {
    "kernel_size": (_each(lambda n: n + 2),),
    "pool_size": (_each(lambda n: n + 1), _each(lambda n: n + 3)),
    "strides": (_each(lambda n: 1 if n > 1 else 2),),
    "padding": (_padding,),
    "dilation_rate": (_each(lambda n: 1 if n > 1 else 2),),
    "groups": (lambda n, _: n * 2, lambda n, _: n // 2 or None),
    "filters": (lambda n, _: n * 2,),
    "units": (lambda n, _: n * 2,),
    "depth_multiplier": (lambda n, _: n + 1,),
    "activation": (_other(*_ACTIVATIONS), _other(*reversed(_ACTIVATIONS)), _other("linear", "relu")),
    "recurrent_activation": (_other("sigmoid", "tanh"), _other("hard_sigmoid")),
    "negative_slope": (lambda n, _: n + 0.1,),
    "max_value": (lambda n, _: None if n else 6.0, lambda n, _: n * 2 if n else 4.0),
    "threshold": (lambda n, _: n + 0.5,),
    "alpha": (lambda n, _: n + 0.5,),
    "axis": (_axis,),
    "epsilon": (lambda n, _: n * 100,),
    "use_bias": (lambda n, _: not n,),
    "center": (lambda n, _: not n,),
    "interpolation": (_other("nearest", "bilinear"),),
    "cropping": (_amounts,),
    "scale": (lambda n, _: not n if isinstance(n, bool) else n * 1.5,),
    "offset": (lambda n, _: n + 0.1,),
    "approximate": (lambda n, _: not n,),
    "num_heads": (lambda n, _: n * 2,),
    "key_dim": (lambda n, _: n * 2,),
    "return_sequences": (lambda n, _: not n,),
    "go_backwards": (lambda n, _: not n,),
    "reset_after": (lambda n, _: not n,),
    "merge_mode": (_other("concat", "sum"), _other("ave")),
    "use_causal_mask": (lambda n, _: not n,),
    "keepdims": (lambda n, _: not n,),
    "dims": (lambda n, _: n[::-1],),
    "n": (lambda n, _: n + 1,),
    "size": (_each(lambda n: n + 1),),
    "value": (lambda n, _: n + 0.5 if isinstance(n, float) else n,),
}
# Classes that take each other's place, with what they take of the configuration.
CLASSES: Sequence[tuple[str, ...]] = (
    ("Add", "Multiply", "Maximum", "Average"),
    ("Add", "Subtract", "Minimum"),
    ("MaxPooling2D", "AveragePooling2D"),
    ("MaxPooling1D", "AveragePooling1D"),
    ("GlobalAveragePooling2D", "GlobalMaxPooling2D"),
    ("GlobalAveragePooling1D", "GlobalMaxPooling1D"),
    ("LayerNormalization", "RMSNormalization"),
    ("LSTM", "GRU"),
)
_KEPT = ("InputLayer", "Dropout")
_ALONE = ("kernel_size", "padding")


def faults(config: Config) -> Iterator[Fault]:
    """Every fault that can be planted in a functional model.

    Args:
        config: What ``model.get_config()`` gives.
    """
    config = {**config, "layers": [_unbuilt(layer) for layer in config["layers"]]}
    for number, layer in enumerate(config["layers"]):
        if layer["class_name"] in _KEPT:
            continue
        yield from _arguments(config, number)
        yield from _classes(config, number)
        yield from _layers(config, number)
        yield from _wiring(config, number)
    yield from _ends(config)


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
            yield Fault(name, f"{kind}.{key} {value} -> {other}", key, made, moves)


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


def _classes(config: Config, number: int) -> Iterator[Fault]:
    layer = config["layers"][number]
    for group in CLASSES:
        for other in group:
            if layer["class_name"] in group and other != layer["class_name"]:
                made, mine = _changed(config, number)
                mine["class_name"] = other
                mine["registered_name"] = None
                yield Fault(layer["config"]["name"], f"{layer['class_name']} -> {other}", "layer", made)


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
    if kind in ("Concatenate", "Subtract", "Dot", "MultiHeadAttention"):
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


def _ends(config: Config) -> Iterator[Fault]:
    outputs = config["output_layers"]
    if len(outputs) == 2 and isinstance(outputs[0], (list, tuple)):
        made = copy.deepcopy(config)
        made["output_layers"] = made["output_layers"][::-1]
        yield Fault("", "outputs exchanged", None, made)
