"""What one argument of a layer would explain, found by trying: the layer built otherwise, traced, compared again.

Many layers are several operators (attention, a layer norm, a recurrent cell): another ``num_heads`` or ``epsilon``
shows up in a handful of places, none of which a user has written. And what changes shapes makes others differ behind
it. So where differences are not one argument each, the arguments of the layers concerned are changed in turn, to what
the differences suggest. If differences are gone then, that argument is their root, and it is proved.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from tflrecover.comparison import Comparison, compared_again, marked
from tflrecover.differences import describe
from tflrecover.differences.layers import Layers, class_of
from tflrecover.errors import TFLRecoverError
from tflrecover.ir import Difference
from tflrecover.trials.candidates import REMOVED, SIBLING, Candidate, candidates, configuration, removal

# So many traces at most, of so many layers: what is wholly another network is not explained by an argument.
_MOST_TRIALS = 40
_MOST_SUSPECTS = 6


def explained(comparison: Comparison) -> Comparison:
    """The comparison, with everything that one argument of one layer explains told as that argument."""
    trials = 0
    layers = comparison.trace.layers
    owners = _owners(layers)
    for attempts in _attempts(comparison):
        before = opened(comparison)
        if all(_is_argument(difference, layers) for difference in before) and trials:
            break
        best: tuple[list[Difference], Candidate] | None = None
        for candidate in attempts(before):
            trials += 1
            left = _left(comparison, candidate) if trials <= _MOST_TRIALS else None
            if left is not None and len(left) < len(before if best is None else best[0]):
                best = left, candidate
            if best is not None and not any(candidate.path in _concerned(d, owners) for d in best[0]):
                break
        if best is not None:
            comparison = _told(comparison, best[1], best[0])
    return comparison


def _attempts(comparison: Comparison) -> Iterator[Callable[[Sequence[Difference]], Iterable[Candidate]]]:
    """What is tried together, of which the best counts: the model without a layer, then one layer otherwise."""
    layers = comparison.trace.layers
    suspects = _suspects(comparison)
    surplus = [layer for d in opened(comparison) if d.kind == "extra" for layer in d.layers]
    paired = _paired(comparison)
    for path in dict.fromkeys(path for path in surplus if path in suspects and path not in paired):
        yield partial(removal, layers[path], path)
    for path in suspects:
        yield partial(candidates, layers[path], path)


def opened(comparison: Comparison) -> list[Difference]:
    """Differences that the mapping does not accept."""
    return [difference for difference in comparison.differences if not difference.accepted]


def _suspects(comparison: Comparison) -> list[str]:
    """Paths of layers that may be built otherwise, the most often named first."""
    owners = _owners(comparison.trace.layers)
    found, layers = opened(comparison), comparison.trace.layers
    paired = _paired(comparison)
    clear = [d for d in found if d.keras_layer not in owners and (_is_argument(d, layers) or _is_layer(d, paired))]
    if len(found) == 1 and clear:
        return []
    counts: dict[str, int] = {}
    for difference in found:
        for path in _near(comparison, difference):
            owner = owners.get(path, path)
            # What is one argument already comes first: the rest may follow from it.
            weight = len(found) if difference in clear else 1
            if owner in layers:
                counts[owner] = counts.get(owner, 0) + weight
    if comparison.overview and len(counts) > _MOST_SUSPECTS:
        return []
    return sorted(counts, key=lambda path: -counts[path])[:_MOST_SUSPECTS]


def _is_argument(difference: Difference, layers: Layers) -> bool:
    """Whether a difference is an argument that the layer was given."""
    layer = layers.get(difference.keras_layer or "")
    return difference.kind == "attribute" and layer is not None and difference.attribute in configuration(layer)


def _concerned(difference: Difference, owners: Mapping[str, str]) -> set[str]:
    """Paths of the layers that a difference is about."""
    named = (difference.keras_layer, *difference.layers)
    return {owners.get(path, path) for path in named if path is not None}


def _is_layer(difference: Difference, paired: Collection[str]) -> bool:
    """Whether a difference is one layer too many."""
    return difference.kind == "extra" and len(difference.layers) == 1 and difference.keras_layer not in paired


def _paired(comparison: Comparison) -> set[str]:
    """Paths of layers of which the file has something."""
    alignment = comparison.alignment
    return set(describe.layers_within(alignment.keras.ops[k] for k in alignment.pairs.values()))


def _owners(layers: Layers) -> dict[str, str]:
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


def _near(comparison: Comparison, difference: Difference) -> list[str]:
    """The layers of a difference; where it has none, those next to what the file has in excess."""
    if difference.keras_layer is not None:
        return [*difference.layers] or [difference.keras_layer]
    alignment = comparison.alignment
    file, keras = alignment.file, alignment.keras
    listed = {file.number[op_id] for op_id in difference.operators if op_id in file.number}
    before = {edge.source for f in listed for edge in file.operands[f]}
    behind = [alignment.pairs[c] for f in listed for c, _, _ in file.consumers[f] if c in alignment.pairs]
    # What the model has in its place may be paired with something else: two equal layers are one operator.
    instead = [edge.source for k in behind for edge in keras.operands[k] if edge.source >= 0]
    nodes = [*(alignment.pairs[f] for f in sorted(before) if f in alignment.pairs), *instead, *behind]
    return describe.layers_within(keras.ops[k] for k in nodes)


def _key(difference: Difference) -> tuple[Any, ...]:
    """What makes differences of two comparisons the same one."""
    return difference.kind, difference.keras_layer, difference.attribute, difference.tflite_op


def _left(comparison: Comparison, candidate: Candidate) -> list[Difference] | None:
    """What still differs with the candidate; None where anything new does, or the model cannot be called so."""
    try:
        with warnings.catch_warnings(action="ignore"):
            again = compared_again(comparison, candidate.stand_in)
    except TFLRecoverError:
        return None
    if len(again.ambiguities) > len(comparison.ambiguities):
        return None
    known = {_key(difference) for difference in comparison.differences}
    left = opened(again)
    return left if all(_key(difference) in known for difference in left) else None


def _told(comparison: Comparison, candidate: Candidate, left: Sequence[Difference]) -> Comparison:
    """The differences that the candidate explains become one, with them under it."""
    kept = {_key(difference) for difference in left}
    gone = [difference for difference in opened(comparison) if _key(difference) not in kept]
    first = gone[0]
    told_already = ("attribute", candidate.path, candidate.argument)
    same = (d for d in gone if (d.kind, d.keras_layer, d.attribute) == told_already)
    root = next(same, None) or Difference(
        "extra" if candidate.argument == REMOVED else "attribute",
        _message(comparison, candidate, len(gone), is_all=not left),
        first.tflite_op,
        first.tflite_type,
        first.tflite_name,
        candidate.path,
        candidate.argument if candidate.argument != REMOVED else None,
        candidate.value,
        candidate.have,
        operators=tuple(dict.fromkeys(op for d in gone for op in d.operators)),
    )
    at = comparison.differences.index(first)
    others = [d for d in comparison.differences if d not in gone]
    under = tuple(d for d in gone if d is not root)
    told = marked(replace(root, consequences=(*root.consequences, *under)), comparison)
    return replace(comparison, differences=(*others[:at], told, *others[at:]))


def _message(comparison: Comparison, candidate: Candidate, count: int, *, is_all: bool) -> str:
    where = f"layer {candidate.path!r}"
    tried = f"this was tried, and with it {'nothing differs' if is_all else f'{count} differences are gone'}"
    if candidate.argument == REMOVED:
        return f"remove {where} ({class_of(comparison.trace.layers, candidate.path)}): {tried}"
    if candidate.argument == SIBLING:
        return f"use {candidate.value} instead of {candidate.have} at {where}: {tried}"
    value, have = describe.show(candidate.value), describe.show(candidate.have)
    return f"set `{candidate.argument}={value}` on {where}: the model has {have}; {tried}"
