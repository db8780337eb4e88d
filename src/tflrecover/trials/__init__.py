"""What one argument of a layer would explain, found by trying: the layer built otherwise, traced, compared again.

Many layers are several operators (attention, a layer norm, a recurrent cell): another ``num_heads`` or ``epsilon``
shows up in a handful of places, none of which a user has written. And what changes shapes makes others differ behind
it. So where differences are not one argument each, the arguments of the layers concerned are changed in turn, to what
the differences suggest. If differences are gone then, that argument is their root, and it is proved.
"""

from __future__ import annotations

import heapq
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from tflrecover.comparison import Outcome, accepted
from tflrecover.differences import describe
from tflrecover.differences.layers import class_of
from tflrecover.errors import TFLRecoverError
from tflrecover.ir import Difference
from tflrecover.memory import given_back
from tflrecover.trials.candidates import REMOVED, SIBLING, Candidate, both_ways, removal, turned
from tflrecover.trials.recovered import Recovered
from tflrecover.trials.suspects import Suspects, opened

if TYPE_CHECKING:
    from tflrecover.tracing.standin import StandIn

T = TypeVar("T", bound=Outcome)

# So many traces at most, of so many operators together: minutes of trying would be worse than to be told less.
_MOST_TRIALS = 40
_MOST_OPERATORS = 40_000
# So many where each difference could be a fault by itself: one that is the root of all is among the likeliest.
_MOST_WHERE_CLEAR = 8
# So many where the two have little in common: one layer that is nearly all of a network, or another network.
_MOST_WHERE_FAR = 16


def explained(comparison: T) -> T:
    """The comparison, with everything that one argument of one layer explains told as that argument."""
    # What Keras has against a way of building that nobody asked for is of no interest.
    with warnings.catch_warnings(action="ignore"):
        return _explained(comparison)


def _explained(comparison: T) -> T:
    trials = _MOST_OPERATORS // max(len(comparison.both.theirs.source), _MOST_OPERATORS // _MOST_TRIALS)
    if comparison.overview:
        trials = min(trials, _MOST_WHERE_FAR)
    suspects = Suspects(comparison)
    recovered = Recovered(comparison, suspects)
    settled: list[Candidate] = []
    rest = opened(comparison)
    if len(rest) == 1 and not suspects.one_way and suspects.are_paired(rest[0]) and recovered.is_layer(rest[0]):
        return comparison
    if all(map(suspects.is_clear, rest)):
        layers = {difference.keras_layer for difference in rest if difference.kind == "attribute"}
        trials = min(trials, 1 if len(layers) == len(rest) else _MOST_WHERE_CLEAR)
    for attempt in _attempts(suspects, recovered, settled):
        best: tuple[list[Difference], Candidate] | None = None
        for candidate in attempt(rest):
            if trials == 0:
                break
            trials -= 1
            left = _left(comparison, [one.stand_in for one in (*settled, candidate)], rest)
            if left is not None and _explains(suspects, candidate, [d for d in rest if d not in left], left):
                best = min(best or (left, candidate), (left, candidate), key=lambda one: len(one[0]))
            if best is not None and not any(best[1].path in suspects.nearby(d) for d in best[0]):
                break
        if best is not None:
            left, candidate = best
            comparison = _told(comparison, candidate, [d for d in rest if d not in left], is_all=not left)
            settled.append(candidate)
            rest = left
            if all(map(suspects.is_clear, rest)):
                break
        if trials == 0:
            break
    return comparison


def _attempts(
    suspects: Suspects, recovered: Recovered, settled: Sequence[Candidate]
) -> Iterator[Callable[[Sequence[Difference]], Iterable[Candidate]]]:
    """What is tried together, of which the best counts; what has settled a layer is tried of others like it."""
    known = len(settled)
    for attempt in _attempts_apart(suspects, recovered, settled):
        yield attempt
        while known < len(settled):
            known = len(settled)
            yield partial(_likewise, suspects, settled)


def _attempts_apart(
    suspects: Suspects, recovered: Recovered, settled: Sequence[Candidate]
) -> Iterator[Callable[[Sequence[Difference]], Iterable[Candidate]]]:
    """What a difference says, what the file has, then any way."""
    for difference in suspects.arguments:
        yield partial(_said, suspects, difference)
    for path in suspects.turned:
        yield partial(turned, suspects.layers[path], path)
    for path in suspects.along:
        yield partial(_along, suspects, path)
    for path in suspects.one_way:
        yield partial(both_ways, suspects.layers[path], path)
    for path in suspects.paths:
        yield partial(recovered.instead, path)
    for path in suspects.surplus:
        yield partial(removal, suspects.layers[path], path)
    known = -1
    # Where nothing was settled, the same layers would be tried in the same ways again.
    while known < len(settled):
        known = len(settled)
        yield partial(_likeliest, suspects, _targets(settled))


def _targets(settled: Iterable[Candidate]) -> set[int]:
    return {id(candidate.stand_in.target) for candidate in settled}


def _likewise(suspects: Suspects, settled: Sequence[Candidate], found: Sequence[Difference]) -> Iterator[Candidate]:
    """The value that settled the last layer, for the next of its class that differs: a block is repeated.

    What was recovered from the file has arguments of its own at each place.
    """
    last, done = settled[-1], _targets(settled)
    if last.source:
        return
    kind = type(suspects.layers[last.path])
    near = dict.fromkeys(path for difference in found for path in sorted(suspects.nearby(difference)))
    alike = [path for path in near if type(suspects.layers.get(path)) is kind and id(suspects.layers[path]) not in done]
    wanted = last.argument, last.have, last.value
    for path in alike[:1]:
        yield from (c for c in suspects.candidates(path, found) if (c.argument, c.have, c.value) == wanted)


def _said(suspects: Suspects, difference: Difference, found: Sequence[Difference]) -> Iterator[Candidate]:
    """A layer with the argument that a difference asks for, unless that is explained already."""
    path = difference.keras_layer
    if path is not None and difference in found:
        yield from islice((one for one in suspects.candidates(path, found) if _is_said(one, difference)), 1)


def _along(suspects: Suspects, path: str, found: Sequence[Difference]) -> Iterator[Candidate]:
    """A layer along other axes."""
    yield from (one for one in suspects.candidates(path, found) if one.argument == "axis")


def _likeliest(suspects: Suspects, done: Collection[int], found: Sequence[Difference]) -> Iterable[Candidate]:
    """Candidates of several layers but those that are settled, the likeliest first."""
    open_ = [path for path in suspects.left(found) if id(suspects.layers[path]) not in done]
    return heapq.merge(*(suspects.candidates(path, found) for path in open_), key=attrgetter("rank"))


def _key(difference: Difference) -> tuple[Any, ...]:
    """What makes differences of two comparisons the same one."""
    return difference.kind, difference.keras_layer, difference.attribute, difference.tflite_op


@given_back()
def _left(comparison: Outcome, stand_ins: Sequence[StandIn], known: Sequence[Difference]) -> list[Difference] | None:
    """Which of the known differences the stand-ins leave; None where they bring new ones, or cannot be called."""
    try:
        again = comparison.again(stand_ins)
    except TFLRecoverError:
        return None
    if len(again.ambiguities) > len(comparison.ambiguities):
        return None
    if _hanging(again) > _hanging(comparison):
        # What only hangs under another one now is not gone.
        return None
    left = {_key(difference) for difference in opened(again)}
    return [d for d in known if _key(d) in left] if left <= set(map(_key, known)) else None


def _hanging(comparison: Outcome) -> int:
    """How many operators too many or too few are told under another difference."""
    under = (follower for difference in comparison.differences for follower in difference.consequences)
    return sum(follower.kind in ("missing", "extra") for follower in under)


def _explains(suspects: Suspects, candidate: Candidate, gone: Sequence[Difference], left: Sequence[Difference]) -> bool:
    """Whether it does: what a difference says itself, or a layer that is not there any more, has to explain others.

    So has what leaves another difference of its own layer: of several that a layer has, one may go by chance.
    """
    is_itself = candidate.argument == REMOVED or any(_is_said(candidate, difference) for difference in gone)
    is_part = is_itself or any(candidate.path in suspects.concerned(difference) for difference in left)
    return not left or len(gone) > is_part


def _told(comparison: T, candidate: Candidate, gone: Sequence[Difference], *, is_all: bool) -> T:
    """The differences that the candidate explains become one, with them under it."""
    first = gone[0]
    root = next((d for d in gone if _is_told(comparison, candidate, d)), None) or Difference(
        "extra" if candidate.argument == REMOVED else "attribute",
        _message(comparison, candidate, len(gone), is_all=is_all),
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
    told = accepted(replace(root, consequences=(*root.consequences, *under)), comparison.mapping)
    return replace(comparison, differences=(*others[:at], told, *others[at:]))


def _is_told(comparison: Outcome, candidate: Candidate, difference: Difference) -> bool:
    """Whether a difference says already what the candidate has shown, or more of it."""
    if candidate.argument == REMOVED:
        # Without a layer that joins branches those that lead to it go, too.
        return difference.kind == "extra" and candidate.path in difference.layers and _joins(comparison, candidate.path)
    return _is_said(candidate, difference)


def _is_said(candidate: Candidate, difference: Difference) -> bool:
    """Whether a difference asks for the argument of the candidate."""
    said = difference.kind, difference.keras_layer, difference.attribute, difference.tflite_value
    return said == ("attribute", candidate.path, candidate.argument, candidate.value)


def _joins(comparison: Outcome, path: str) -> bool:
    """Whether a layer takes several tensors."""
    keras = comparison.alignment.keras
    return any(
        len(set(operands)) > 1
        for op, operands in zip(keras.ops, keras.operands, strict=True)
        if describe.layer_of(op) == path
    )


def _message(comparison: Outcome, candidate: Candidate, count: int, *, is_all: bool) -> str:
    where = f"layer {candidate.path!r}"
    gone = "nothing differs" if is_all else f"{count} {'difference is' if count == 1 else 'differences are'} gone"
    tried = f"this was tried, and with it {gone}"
    if candidate.argument == REMOVED:
        return f"remove {where} ({class_of(comparison.both.theirs.layers, candidate.path)}): {tried}"
    if candidate.argument == SIBLING:
        wanted = f"`{candidate.source}`" if candidate.source else candidate.value
        return f"use {wanted} instead of {candidate.have} at {where}: {tried}"
    value, have = describe.show(candidate.value), describe.show(candidate.have)
    for name, other, wanted in candidate.also:
        value, have = f"{value}`, `{name}={describe.show(wanted)}", f"{have} and {describe.show(other)}"
    return f"set `{candidate.argument}={value}` on {where}: the model has {have}; {tried}"
