"""Ways in which a layer may be built otherwise, the likeliest first."""

from __future__ import annotations

import heapq
import inspect
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

from tflrecover.ir import Difference
from tflrecover.mistaken import is_of_keras
from tflrecover.ops.spec import comparable
from tflrecover.trials.hints import WORDS, Hints, rounded

if TYPE_CHECKING:
    from tflrecover.tracing.standin import StandIn

# In the place of an argument's name: another class, and no such layer.
SIBLING, REMOVED = "layer", ""

# They do not change what a trained layer computes.
_IDLE = (
    *("name", "trainable", "dtype", "seed", "unroll", "rate", "momentum"),
    *("stateful", "return_state", "unit_forget_bias", "data_format", "quantization_config"),
)
_IDLE_ENDS = ("initializer", "regularizer", "constraint", "dropout")
_IDLE_CALL = ("training", "mask")
# Arguments of every layer, which its class need not list.
_OF_ALL = ("name", "trainable", "dtype")
# Packages of Keras that hold one kind of layer.
_KINDS = (".normalization", ".activation", ".activations", ".convolutional")
# Of how many axes a class takes windows.
_RANK = re.compile(r"\dD")
# Arguments that say whether a layer has what another one's weights can have taken in.
_IN_WEIGHTS = ("scale", "center", "use_bias")
# Arguments that hold the configuration of another layer.
_WRAPPED = ("layer", "backward_layer", "cell")

_DATA_FORMATS = ("channels_last", "channels_first")
# Arguments that are factors of one size.
_FACTORS = (("num_heads", "key_dim"),)

# What a layer too many leads to, where its pair is the counterpart of another.
_OF_ONE_TOO_MANY = ("extra", "wiring")
# Of a few ways of which nothing says which, each is as likely as one of so many.
_AS_SOON = 2
# As likely as one of so many: what another argument would explain by one number.
_UNLIKELY = 100
# Numbers that a file may have as float16 are equal up to that.
_ROUNDED = 1e-3

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
        rank: How many others are as likely; the fewest first.
        also: Other arguments that are changed with it: name, the model's value, the value that is tried.
        source: How the layer that is tried is written, where it is another.
    """

    path: str
    argument: str
    have: Any
    value: Any
    stand_in: StandIn
    rank: int = 0
    also: tuple[tuple[str, Any, Any], ...] = ()
    source: str = ""


def removal(layer: Any, path: str, found: Sequence[Difference], rank: int = 0) -> Iterator[Candidate]:
    """The model without a layer; whatever differs."""
    from tflrecover.tracing.standin import StandIn, identity

    yield Candidate(path, REMOVED, None, None, StandIn(layer, identity(layer)), rank)


def turned(layer: Any, path: str, found: Sequence[Difference]) -> Iterator[Candidate]:
    """A layer with its channels on the other side of height and width; whatever differs."""
    from tflrecover.tracing.standin import StandIn

    config = configuration(layer)
    have = config.get("data_format")
    for value in (value for value in _DATA_FORMATS if have in _DATA_FORMATS and value != have):
        made = built(type(layer), {**config, "data_format": value})
        if made is not None:
            yield Candidate(path, "data_format", have, value, StandIn(layer, made))


def candidates(layer: Any, path: str, numbers: Iterable[float], found: Sequence[Difference]) -> Iterator[Candidate]:
    """Every argument of a layer with other values, and other classes of its kind; by rank.

    Args:
        layer: The layer.
        path: Its path.
        numbers: Constants of the file next to what differs.
        found: What differs.
    """
    from tflrecover.tracing.standin import StandIn

    config = configuration(layer)
    hints = Hints.of(found, numbers)
    named = {d.attribute for d in found if d.keras_layer == path}
    # One activation that is missing may as well have been a layer of its own.
    is_missing = [d.kind for d in found].count("missing") == 1
    # How a call has it is not known: it may be given.
    for key, default in _call_switches(layer):
        for value in (not default, default):
            yield Candidate(path, key, not value, value, StandIn(layer, layer, {key: value}))
    yield from _divided(layer, path, config, hints)
    siblings = _siblings(layer) if config else []
    options = [
        (_rank(place[-1] in named, value == comparable(_default(layer, place)), ways), place, have, value)
        for place, have in _arguments(config)
        if not (is_missing and have == "linear")
        for values in [hints.values(place[-1], have, _default(layer, place))]
        for value in values
        for ways in [_ways(have, value, len(values))]
    ]
    options += [(len(siblings), (), type(layer), sibling) for sibling in siblings]
    others = [_wrapping(layer, path, config), both_ways(layer, path, found)]
    if len(found) > 1 and any(difference.kind in _OF_ONE_TOO_MANY for difference in found):
        others.append(removal(layer, path, found, _AS_SOON))
    yield from heapq.merge(_built_otherwise(layer, path, config, options), *others, key=attrgetter("rank"))


def _built_otherwise(
    layer: Any, path: str, config: Mapping[str, Any], options: Iterable[tuple[int, _Place, Any, Any]]
) -> Iterator[Candidate]:
    """The layer with each of some values, or of each of some classes."""
    from tflrecover.tracing.standin import StandIn

    for rank, place, have, value in sorted(options, key=itemgetter(0)):
        given = [_followed(layer, _changed(config, place, value), have)] if place else _taken(value, layer, config)
        for one in given:
            made = built(type(layer) if place else value, one)
            if made is not None:
                yield _candidate(path, place, have, value, StandIn(layer, made), rank)


def _wrapping(layer: Any, path: str, config: Mapping[str, Any]) -> Iterator[Candidate]:
    """The layer around another layer of the kind that it wraps."""
    from tflrecover.tracing.standin import StandIn

    inner = getattr(layer, _WRAPPED[0], None) or getattr(layer, "forward_layer", None)
    if inner is None or not isinstance(config.get(_WRAPPED[0]), Mapping):
        return
    siblings = _siblings(inner)
    for kind in siblings:
        for given in _taken(kind, inner, configuration(inner)):
            other = built(kind, given)
            # What goes the other way is made anew, like it.
            mine = {key: value for key, value in config.items() if key not in _WRAPPED}
            made = None if other is None else _made(type(layer), other, mine)
            if made is not None:
                yield _candidate(path, (), type(inner), kind, StandIn(layer, made), len(siblings))


def both_ways(layer: Any, path: str, found: Sequence[Difference]) -> Iterator[Candidate]:
    """A recurrent layer that goes both ways, or of two that do the one that goes forward; whatever differs."""
    from tflrecover.tracing.standin import StandIn

    public = _public(type(layer)) if is_of_keras(layer) else {}
    if not isinstance(layer, (public.get("RNN", ()), public.get("Bidirectional", ()))):
        return
    one = getattr(layer, "forward_layer", layer)
    have, inner = type(layer).__name__, type(one).__name__
    if one is layer:
        made = [
            (
                f"Bidirectional({inner}, merge_mode={mode!r})",
                _made(public["Bidirectional"], other, {"merge_mode": mode}),
            )
            for mode in WORDS["merge_mode"]
            if (other := built(type(layer), configuration(layer))) is not None
        ]
    else:
        made = [(inner, built(type(one), configuration(one)))]
    for rank, (value, other) in enumerate(made, _AS_SOON):
        if other is not None:
            yield Candidate(path, SIBLING, have, value, StandIn(layer, other), rank)


def _divided(layer: Any, path: str, config: Mapping[str, Any], hints: Hints) -> Iterator[Candidate]:
    """Other factors of a size, as the file has them next to each other: heads and what is in each."""
    from tflrecover.tracing.standin import StandIn

    for one, two in _FACTORS:
        have, other = config.get(one), config.get(two)
        for a, b in hints.factors_of(have * other) if have and other else ():
            made = built(type(layer), _followed(layer, {**config, one: a, two: b}, other)) if a != have else None
            if made is not None:
                yield Candidate(path, one, have, a, StandIn(layer, made), also=((two, other, b),))


def like(layer: Any, path: str, other: Any) -> Iterator[Candidate]:
    """A layer with every argument that another one of its class has otherwise.

    What may be in the weights of a layer behind, such as a scale, is left as it is at first.

    Args:
        layer: The layer.
        path: Its path.
        other: The other.
    """
    from tflrecover.tracing.standin import StandIn

    config, wanted = configuration(layer), configuration(other)
    changed = {
        place[-1]: (comparable(have), value)
        for place, have in _arguments(config)
        if len(place) == 1 and comparable(have) != (value := rounded(comparable(_at(wanted, place))))
    }
    # What need not be given follows what it is like.
    given = {name: both for name, both in changed.items() if _default(layer, (name,)) is not None}
    config |= {name: None for name, both in changed.items() if name not in given and both in given.values()}
    changed = {name: both for name, both in changed.items() if config[name] is not None}
    for left in (_IN_WEIGHTS, ()):
        told = {name: both for name, both in changed.items() if name not in left}
        made = built(type(layer), {**config, **{name: value for name, (_, value) in told.items()}})
        if len(told) > 1 and made is not None:
            (name, (have, value)), *rest = told.items()
            yield Candidate(path, name, have, value, StandIn(layer, made), also=tuple((n, *v) for n, v in rest))
        if told == changed:
            break


def _rank(is_named: bool, is_default: bool, count: int) -> int:
    """What was named comes first, then what a class takes by itself or has no third way, then what takes few values."""
    return 0 if is_named else 1 if is_default else count


def _ways(have: Any, value: Any, count: int) -> int:
    """How many values there are to take; more where several numbers change together, for which one would do."""
    if not isinstance(value, tuple) or not any(type(n) is float for n in value):
        return count
    is_one_factor = all(
        math.isclose(a * have[0], b * value[0], rel_tol=_ROUNDED) for a, b in zip(value, have, strict=False)
    )
    return count + _UNLIKELY if is_one_factor and len(value) > 1 else count


def _candidate(path: str, place: _Place, have: Any, value: Any, stand_in: StandIn, rank: int) -> Candidate:
    if place:
        return Candidate(path, place[-1], comparable(have), value, stand_in, rank)
    return Candidate(path, SIBLING, have.__name__, value.__name__, stand_in, rank)


def configuration(layer: Any) -> dict[str, Any]:
    """The arguments of a layer; none for one that does not say how it was built."""
    try:
        return dict(layer.get_config())
    except Exception:  # A class of the user's may not have it, and raise what it likes.
        return {}


def _arguments(config: Mapping[str, Any], place: _Place = ()) -> Iterator[tuple[_Place, Any]]:
    """Where each argument stands in a configuration, and its value; those of a wrapped layer too."""
    for key, value in config.items():
        if key == "backward_layer":
            continue
        if key in _WRAPPED and isinstance(value, Mapping) and isinstance(value.get("config"), Mapping):
            yield from _arguments(value["config"], (*place, key, "config"))
        elif key not in _IDLE and not key.endswith(_IDLE_ENDS) and _is_plain(value):
            yield (*place, key), value


def _is_plain(value: Any) -> bool:
    """Whether a value can be compared: a class of the user's may keep arrays in its configuration."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    return value is None or isinstance(value, (bool, int, float, str))


def _changed(config: Mapping[str, Any], place: _Place, value: Any) -> dict[str, Any]:
    """The configuration with another value there; layers that are wrapped together are built alike."""
    first, *rest = place
    if not rest:
        return {**config, first: value}
    have = _at(config, place)
    alike = [key for key in _WRAPPED if key in config and _at(config, (key, *rest)) == have]
    return {**config, **{key: _changed(config[key], tuple(rest), value) for key in {first, *alike}}}


def _at(config: Any, place: _Place) -> Any:
    for key in place:
        config = config.get(key) if isinstance(config, Mapping) else None
    return config


def _followed(layer: Any, config: Mapping[str, Any], have: Any) -> dict[str, Any]:
    """Arguments that need not be given, and had the value of the one that was changed, follow it."""
    follow = {
        key for key, value in config.items() if _default(layer, (key,)) is None and _is_plain(value) and value == have
    }
    return {key: None if key in follow else value for key, value in config.items()}


def _default(layer: Any, place: _Place) -> Any:
    """What the class itself would take; ``inspect.Parameter.empty`` where it takes nothing by itself."""
    parameter = inspect.signature(type(layer).__init__).parameters.get(place[0]) if len(place) == 1 else None
    return inspect.Parameter.empty if parameter is None else parameter.default


def _taken(cls: Any, layer: Any, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a class takes of the arguments of a layer of its kind: all, or, if that is less, those that were given."""
    parameters = inspect.signature(cls.__init__).parameters
    taken = {key: value for key, value in config.items() if key in {*parameters, *_OF_ALL}}
    # What the layer's class has by itself the other may have otherwise, such as the epsilon of a norm.
    own = {
        key
        for key, value in taken.items()
        if key in parameters
        and comparable(_default(layer, (key,))) == comparable(value) != comparable(parameters[key].default)
    }
    return [taken, {key: value for key, value in taken.items() if key not in own}] if own else [taken]


def built(cls: Any, config: Mapping[str, Any]) -> Any:
    """A layer of a class by its arguments; None where they do not go together."""
    from tflrecover.tracing.standin import unbuilt

    try:
        return cls.from_config(unbuilt(config))
    except Exception:  # Keras raises what it likes.
        return None


def _made(cls: Any, inner: Any, config: Mapping[str, Any]) -> Any:
    """A layer around another."""
    try:
        return cls(inner, **{key: config[key] for key in inspect.signature(cls.__init__).parameters if key in config})
    except Exception:  # As above.
        return None


def _call_switches(layer: Any) -> list[tuple[str, bool]]:
    """Arguments of a layer's call that are on or off."""
    parameters = inspect.signature(layer.call).parameters.values()
    return [(p.name, p.default) for p in parameters if isinstance(p.default, bool) and p.name not in _IDLE_CALL]


def _siblings(layer: Any) -> list[Any]:
    """Keras's own classes of the same kind: other merges for a merge, pools for a pool, norms for a norm."""
    base = type(layer).__mro__[1]
    if "keras" not in base.__module__ or base.__name__ in ("Operation", "object"):
        return []
    kinds: list[Any] = [] if base.__name__ == "Layer" else base.__subclasses__()
    kinds = list(dict.fromkeys([*kinds, *_neighbours(type(layer))]))
    return [kind for kind in kinds if kind is not type(layer) and _takes_as_much(kind, type(layer))]


def _public(cls: Any) -> dict[str, Any]:
    """The public layers of the Keras that a class is of."""
    return dict(vars(sys.modules[cls.__module__.partition(".")[0]].layers))


def _takes_as_much(kind: Any, cls: Any) -> bool:
    """Whether a public class takes tensors of as many axes, and whatever another one cannot be made without."""
    if kind not in _public(cls).values():
        return False
    taken = inspect.signature(kind.__init__).parameters
    asked = [
        name
        for name, parameter in inspect.signature(cls.__init__).parameters.items()
        if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    ranks = [_RANK.findall(one.__name__) for one in (kind, cls)]
    return ranks[0] == ranks[1] and all(name in taken for name in asked)


def _neighbours(cls: Any) -> list[Any]:
    """Layers of Keras that stand beside one because they are of one kind, though they have no class in common."""
    package = cls.__module__.rpartition(".")[0]
    if not package.endswith(_KINDS):
        return []
    kinds = (
        kind for kind in _public(cls).values() if isinstance(kind, type) and kind.__module__.startswith(f"{package}.")
    )
    return list(dict.fromkeys(kinds))
