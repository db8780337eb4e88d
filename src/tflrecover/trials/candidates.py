"""Ways in which a layer may be built otherwise, the likeliest first."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tflrecover.ir import Difference
from tflrecover.trials.hints import Hints

if TYPE_CHECKING:
    from tflrecover.tracing.standin import StandIn

# In the place of an argument's name: another class, and no such layer.
SIBLING, REMOVED = "layer", ""

# They do not change what a trained layer computes.
_IDLE = ("name", "trainable", "dtype", "seed", "unroll", "dropout", "recurrent_dropout", "rate", "momentum", "stateful")
_IDLE_CALL = ("training", "mask")
# Arguments that hold the configuration of another layer.
_WRAPPED = ("layer", "forward_layer", "backward_layer", "cell")

_Place = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A layer built otherwise.

    Attributes:
        path: The layer.
        argument: What is changed; :data:`SIBLING` or :data:`REMOVED`.
        have: The model's value.
        value: The value that is tried.
        stand_in: The layer that has it.
    """

    path: str
    argument: str
    have: Any
    value: Any
    stand_in: StandIn


def candidates(layer: Any, path: str, found: Sequence[Difference], *, is_surplus: bool) -> Iterator[Candidate]:
    """A surplus layer left out; every argument of a layer with other values; then other classes of its kind.

    Args:
        layer: The layer.
        path: Its path.
        found: What differs.
        is_surplus: Whether the file has nothing of the layer.
    """
    from tflrecover.tracing.standin import StandIn, identity

    if is_surplus:
        yield Candidate(path, REMOVED, None, None, StandIn(layer, identity(layer)))
    config = configuration(layer)
    hints = Hints.of(found)
    named = {d.attribute for d in found if d.keras_layer == path}
    # One activation that is missing may as well have been a layer of its own.
    is_missing = [d.kind for d in found].count("missing") == 1
    for place, have in sorted(_arguments(config), key=lambda item: item[0][-1] not in named):
        if is_missing and have == "linear":
            continue
        for value in hints.values(place[-1], have, _default(layer, place)):
            made = _built(type(layer), _changed(config, place, value))
            if made is not None:
                yield Candidate(path, place[-1], have, value, StandIn(layer, made))
    for key, have in _call_switches(layer):
        yield Candidate(path, key, have, not have, StandIn(layer, layer, {key: not have}))
    for sibling in _siblings(layer):
        made = _built(sibling, config) if config else None
        if made is not None:
            yield Candidate(path, SIBLING, type(layer).__name__, sibling.__name__, StandIn(layer, made))


def configuration(layer: Any) -> dict[str, Any]:
    """The arguments of a layer; none for one that does not say how it was built."""
    try:
        return dict(layer.get_config())
    except Exception:  # A class of the user's may not have it, and raise what it likes.
        return {}


def _arguments(config: Mapping[str, Any], place: _Place = ()) -> Iterator[tuple[_Place, Any]]:
    """Where each argument stands in a configuration, and its value; those of a wrapped layer too."""
    for key, value in config.items():
        if key in _WRAPPED and isinstance(value, Mapping) and isinstance(value.get("config"), Mapping):
            yield from _arguments(value["config"], (*place, key, "config"))
        elif key not in _IDLE:
            yield (*place, key), value


def _changed(config: Mapping[str, Any], place: _Place, value: Any) -> dict[str, Any]:
    first, *rest = place
    return {**config, first: _changed(config[first], tuple(rest), value) if rest else value}


def _default(layer: Any, place: _Place) -> Any:
    """What the class itself would take; ``inspect.Parameter.empty`` where it takes nothing by itself."""
    parameter = inspect.signature(type(layer).__init__).parameters.get(place[0]) if len(place) == 1 else None
    return inspect.Parameter.empty if parameter is None else parameter.default


def _built(cls: Any, config: Mapping[str, Any]) -> Any:
    try:
        return cls.from_config(dict(config))
    except Exception:  # Keras raises what it likes for arguments that do not go together.
        return None


def _call_switches(layer: Any) -> list[tuple[str, bool]]:
    """Arguments of a layer's call that are on or off."""
    parameters = inspect.signature(layer.call).parameters.values()
    return [(p.name, p.default) for p in parameters if isinstance(p.default, bool) and p.name not in _IDLE_CALL]


def _siblings(layer: Any) -> list[Any]:
    """Keras's own classes of the same kind: other merges for a merge, other pools for a pool."""
    base = type(layer).__mro__[1]
    if base.__name__ in ("Layer", "Operation", "object") or "keras" not in base.__module__:
        return []
    kinds: list[Any] = base.__subclasses__()
    return [kind for kind in kinds if kind is not type(layer) and "keras" in kind.__module__]
