"""What one argument of a layer would explain, found by trying: the layer built otherwise, traced, compared again.

Many layers are several operators (attention, a layer norm, a recurrent cell): another ``num_heads`` or ``epsilon``
shows up in a handful of places, none of which a user has written. Where differences lie inside such a layer, each of
its arguments is changed in turn, to what the differences suggest; if they are gone then, that argument is the one
difference, and it is proved.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tflrecover.comparison import Comparison, compared_again
from tflrecover.differences import describe
from tflrecover.differences.layers import Layers, class_of
from tflrecover.errors import TFLRecoverError
from tflrecover.ir import Difference, Shape

if TYPE_CHECKING:
    from tflrecover.tracing.standin import StandIn

# So many traces at most: what is wholly another network is not explained by an argument.
_MOST_TRIALS = 32
_MOST_SUSPECTS = 6

_ACTIVATIONS = ("linear", "relu", "sigmoid", "tanh", "silu", "gelu", "elu", "relu6", "hard_sigmoid", "softmax")
# Arguments that take one of a few words, by the end of their names.
_WORDS: Mapping[str, tuple[Any, ...]] = {
    "activation": _ACTIVATIONS,
    "padding": ("same", "valid", "causal"),
    "interpolation": ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"),
    "merge_mode": ("concat", "sum", "mul", "ave"),
    "score_mode": ("dot", "concat"),
}
_AXES = (-1, 1, 2, 3)
# They do not change what a trained layer computes.
_IDLE = ("name", "trainable", "dtype", "seed", "unroll", "dropout", "recurrent_dropout", "rate", "momentum", "stateful")
_WRAPPED = ("layer", "forward_layer", "backward_layer", "cell")
_IDLE_CALL = ("training", "mask")


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One argument with another value; ``argument`` is ``"layer"`` where it is another class."""

    path: str
    argument: str
    have: Any
    value: Any
    stand_in: StandIn


def explained(comparison: Comparison) -> Comparison:
    """The comparison with everything that one argument of one layer explains told as that argument."""
    trials = 0
    for path in _suspects(comparison):
        before = _open(comparison)
        if not before or all(_is_clear(comparison, d) for d in before) and len(before) == 1:
            break
        best: tuple[list[Difference], _Candidate] | None = None
        for candidate in _candidates(comparison, path):
            trials += 1
            left = _left(comparison, candidate) if trials <= _MOST_TRIALS else None
            if left is not None and len(left) < len(before if best is None else best[0]):
                best = left, candidate
            if best is not None and not best[0]:
                break
        if best is not None:
            comparison = _told(comparison, best[1], best[0])
    return comparison


def _is_clear(comparison: Comparison, difference: Difference) -> bool:
    """Whether a difference is one argument that a user has written."""
    owner = _composites(comparison.trace.layers).get(difference.keras_layer or "", difference.keras_layer)
    return difference.kind == "attribute" and difference.attribute != "layer" and owner == difference.keras_layer


def _open(comparison: Comparison) -> list[Difference]:
    return [difference for difference in comparison.differences if not difference.accepted]


def _key(difference: Difference) -> tuple[Any, ...]:
    """What makes two differences of two comparisons the same one."""
    return difference.kind, difference.keras_layer, difference.attribute, difference.tflite_op


def _left(comparison: Comparison, candidate: _Candidate) -> list[Difference] | None:
    """What still differs with the stand-in; None where anything new does, or it cannot be called so."""
    try:
        again = compared_again(comparison, candidate.stand_in)
    except TFLRecoverError:
        return None
    if len(again.ambiguities) > len(comparison.ambiguities):
        return None
    known = {_key(difference) for difference in comparison.differences}
    left = _open(again)
    return left if all(_key(difference) in known for difference in left) else None


def _told(comparison: Comparison, candidate: _Candidate, left: Sequence[Difference]) -> Comparison:
    """The differences that the candidate explains become one, with them under it."""
    kept = {_key(difference) for difference in left}
    gone = [d for d in _open(comparison) if _key(d) not in kept]
    first = gone[0]
    where = f"layer {candidate.path!r}"
    if not candidate.argument:
        advice = f"remove {where} ({class_of(comparison.trace.layers, candidate.path)})"
    elif candidate.argument == "layer":
        advice = f"use {candidate.value} instead of {candidate.have} at {where}"
    else:
        advice = f"set `{candidate.argument}={describe.show(candidate.value)}` on {where}"
    rest = "nothing differs" if not left else f"{len(gone)} of the differences are gone"
    have = f"the model has {describe.show(candidate.have)}; " if candidate.argument not in ("", "layer") else ""
    root = Difference(
        "attribute" if candidate.argument else "extra",
        f"{advice}: {have}this was tried, and with it {rest}",
        first.tflite_op,
        first.tflite_type,
        first.tflite_name,
        candidate.path,
        candidate.argument or None,
        candidate.value,
        candidate.have,
        consequences=tuple(gone),
        operators=tuple(dict.fromkeys(op for d in gone for op in d.operators)),
    )
    at = comparison.differences.index(first)
    others = [d for d in comparison.differences if d not in gone]
    return replace(comparison, differences=(*others[:at], root, *others[at:]), suggestion="")


def _suspects(comparison: Comparison) -> list[str]:
    """Paths of layers that may be built otherwise, the most often named first; none for one clear difference."""
    found = _open(comparison)
    if comparison.overview or (len(found) == 1 and _is_clear(comparison, found[0])):
        return []
    inside = _composites(comparison.trace.layers)
    counts: dict[str, float] = {}
    for difference in found:
        # What is one argument already comes first: the rest may follow from it.
        weight = len(found) if _is_clear(comparison, difference) else 1
        for path in _near(comparison, difference):
            owner = inside.get(path, path)
            if owner in comparison.trace.layers:
                counts[owner] = counts.get(owner, 0) + weight
    return sorted(counts, key=lambda path: -counts[path])[:_MOST_SUSPECTS]


def _near(comparison: Comparison, difference: Difference) -> list[str]:
    """The layer of a difference; where it has none, those next to what the file has in excess."""
    if difference.keras_layer is not None:
        return [*difference.layers] or [difference.keras_layer]
    alignment = comparison.alignment
    file, keras = alignment.file, alignment.keras
    listed = {file.number[op_id] for op_id in difference.operators if op_id in file.number}
    around = {edge.source for f in listed for edge in file.operands[f]} | {
        consumer for f in listed for consumer, _, _ in file.consumers[f]
    }
    pairs = [alignment.pairs[f] for f in sorted(around) if f in alignment.pairs]
    return describe.layers_of(keras.ops[k] for k in pairs)


def _composites(layers: Layers) -> dict[str, str]:
    """Path of a layer to that of the outermost layer around it that is no model."""
    paths = {id(layer): path for path, layer in layers.items()}
    found: dict[str, str] = {}
    for path, layer in layers.items():
        if not hasattr(layer, "_flatten_layers") or hasattr(layer, "compile"):
            continue
        for inner in layer._flatten_layers(include_self=False):
            if id(inner) in paths:
                # Layers are listed from the outside in.
                found.setdefault(paths[id(inner)], found.get(path, path))
    return found


def _candidates(comparison: Comparison, path: str) -> Iterator[_Candidate]:
    """Every argument of a layer with other values, the likeliest first; the layer left out; its siblings."""
    from tflrecover.tracing.standin import StandIn, identity

    layer = comparison.trace.layers[path]
    try:
        config = dict(layer.get_config())
    except Exception:  # A class of the user's need not say how it was built.
        return
    found = _open(comparison)
    hints = _Hints.of(found)
    for place, have in sorted(_arguments(config), key=lambda item: not _is_named(item[0][-1], path, found)):
        # An activation that is missing may as well have been a layer of its own.
        if have == "linear" and any(d.kind == "missing" for d in found):
            continue
        parameter = inspect.signature(type(layer).__init__).parameters.get(place[-1])
        default = parameter.default if parameter is not None and len(place) == 1 else inspect.Parameter.empty
        for value in hints.values(place[-1], have, default):
            made = _built(type(layer), _changed(config, place, value))
            if made is not None:
                yield _Candidate(path, place[-1], have, value, StandIn(layer, made))
    for key, have in _call_switches(layer):
        yield _Candidate(path, key, have, not have, StandIn(layer, layer, {key: not have}))
    for cls in _siblings(layer):
        made = _built(cls, config)
        if made is not None:
            yield _Candidate(path, "layer", type(layer).__name__, cls.__name__, StandIn(layer, made))
    if any(d.kind == "extra" for d in found):
        yield _Candidate(path, "", None, None, StandIn(layer, identity(layer)))


def _is_named(argument: str, path: str, found: Sequence[Difference]) -> bool:
    return any(d.keras_layer == path and d.attribute == argument for d in found)


def _arguments(config: Mapping[str, Any], place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Where each argument stands in a configuration, and its value; those of a wrapped layer too."""
    for key, value in config.items():
        if isinstance(value, Mapping) and isinstance(value.get("config"), Mapping) and key in _WRAPPED:
            yield from _arguments(value["config"], (*place, key, "config"))
        elif key not in _IDLE:
            yield (*place, key), value


def _changed(config: Mapping[str, Any], place: tuple[str, ...], value: Any) -> dict[str, Any]:
    first, *rest = place
    return {**config, first: _changed(config[first], tuple(rest), value) if rest else value}


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
    return [cls for cls in base.__subclasses__() if cls is not type(layer) and "keras" in cls.__module__]


@dataclass(frozen=True, slots=True)
class _Hints:
    """Numbers that the differences tell.

    Attributes:
        numbers: The file's.
        ratios: The file's by the model's.
        lists: The file's values that are several numbers.
    """

    numbers: tuple[float, ...]
    ratios: tuple[float, ...]
    lists: tuple[tuple[Any, ...], ...]

    @staticmethod
    def of(found: Sequence[Difference]) -> _Hints:
        """Those of some differences and of what follows from them."""
        numbers: dict[float, None] = {}
        ratios: dict[float, None] = {}
        for d in [*found, *(c for d in found for c in d.consequences)]:
            mine, theirs = _numbers(d.tflite_value), _numbers(d.keras_value)
            numbers.update(dict.fromkeys(mine))
            if len(mine) == len(theirs):
                ratios.update(dict.fromkeys(a / b for a, b in zip(mine, theirs, strict=True) if b and a != b))
        lists = dict.fromkeys(d.tflite_value for d in found if isinstance(d.tflite_value, tuple))
        return _Hints(tuple(numbers), tuple(ratios), tuple(lists))

    def tuples(self, length: int) -> list[tuple[Any, ...]]:
        """The file's lists in that length: operators over images stand for layers over steps, with an axis more."""
        return [value[-length:] for value in self.lists if len(value) >= length]

    def values(self, key: str, have: Any, default: Any) -> list[Any]:
        """Other values of an argument that are worth trying; first what the class itself would take."""
        words = next((words for end, words in _WORDS.items() if key.endswith(end)), ())
        found: list[Any] = [] if default is inspect.Parameter.empty else [default]
        if isinstance(have, str) or (have is None and words):
            found += words
        elif isinstance(have, bool):
            found.append(not have)
        elif key == "axis" and isinstance(have, int):
            found += _AXES
        elif isinstance(have, (list, tuple)):
            found += map(list, self.tuples(len(have)))
        elif isinstance(have, int):
            scaled = [have * r for r in (*self.ratios, *(r**2 for r in self.ratios), 2, 0.5)]
            found += [round(n) for n in scaled if n == round(n) and n > 0]
        elif isinstance(have, float) or have is None:
            found += [n for n in self.numbers if math.isfinite(n)]
            found += [float(f"{(have or 0.0) * r:.8g}") for ratio in self.ratios for r in (1 / ratio, ratio)]
        kept = dict.fromkeys(_hashable(value) for value in found)
        return [value for value in kept if value != _hashable(have) and (value is not None or value is default)]


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _numbers(value: Any) -> list[float]:
    if isinstance(value, bool) or value is None:
        return []
    if isinstance(value, (int, float)):
        return [float(value)]
    shape: Shape = value if isinstance(value, tuple) else ()
    return [float(n) for n in shape if isinstance(n, (int, float)) and not isinstance(n, bool)]
