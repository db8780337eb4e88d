"""What is left where much differs: layers with weights, paired by the order in which both sides compute them.

Other steps follow edges, and an edge ends where another activation, or a merge that one side lacks, stands between two
layers. The order stays: code is traced as it is written, and converters keep that. Such pairs are a reading of what
differs; no weight is copied by them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from tflrecover import ops
from tflrecover.align.matching import Matching
from tflrecover.align.steps import SUBSTITUTE, Keys, alike, anchored, between, neighbourhoods, propagate
from tflrecover.align.view import View

# Open layers of one side, and of the other.
_Gap = tuple[Sequence[int], Sequence[int]]
# Where a single layer is open, it is what differs.
_FEWEST = 2


def read_in_order(matching: Matching) -> Matching:
    """A copy with further pairs; the matching itself where there are none.

    What stands for something else is looked for anew: of the places where it was found, one end may have been open.
    """
    read = matching.without([f for f, (step, _) in matching.step.items() if step == SUBSTITUTE])
    layers = _layers(matching.file), _layers(matching.keras)
    open_ = [f for f in layers[0] if f not in read.pairs], [k for k in layers[1] if k not in read.back]
    if min(map(len, open_)) < _FEWEST:
        return matching
    for hops in (5, 3, 2):
        _pair_counted(read, layers, *anchored(read, hops))
    # What takes them tells layers apart that stand side by side, in whatever order.
    for hops in (3, 2, 1):
        _pair_counted(read, layers, *anchored(read, hops, only_behind=True))
    for labels in ((read.file.strict, read.keras.strict), (read.file.loose, read.keras.loose)):
        keys = [dict(enumerate(side)) for side in labels]
        _pair_counted(read, layers, *keys)
        _pair_longest(read, layers, *keys)
    for step in (propagate, neighbourhoods, between, propagate, between):
        step(read)
    return read if len(read.pairs) > len(matching.pairs) else matching


def _layers(side: View) -> list[int]:
    """Operators that have weights of their own."""
    specs = ((i, ops.by_name(op.type)) for i, op in enumerate(side.ops))
    return [i for i, spec in specs if spec is not None and spec.family == "linear"]


def _pair_counted(matching: Matching, layers: _Gap, mine: Keys, theirs: Keys) -> None:
    """Pairs what has a key that either side has as often, in its order."""
    for fs, ks in list(_gaps(matching, *layers)):
        for some, others in alike(fs, ks, mine, theirs):
            if len(some) == len(others):
                _add(matching, some, others)


def _pair_longest(matching: Matching, layers: _Gap, mine: Keys, theirs: Keys) -> None:
    """Pairs what has the same keys in a row, the longest row first."""
    for fs, ks in list(_gaps(matching, *layers)):
        matcher = SequenceMatcher(None, [mine[f] for f in fs], [theirs[k] for k in ks], autojunk=False)
        for i, j, size in matcher.get_matching_blocks():
            _add(matching, fs[i : i + size], ks[j : j + size])


def _add(matching: Matching, fs: Sequence[int], ks: Sequence[int]) -> None:
    for f, k in zip(fs, ks, strict=True):
        matching.add(f, k, "order", "stands at the same place in the order of the layers")


def _gaps(matching: Matching, mine: Sequence[int], theirs: Sequence[int]) -> Iterator[_Gap]:
    """Open layers between those that are pairs and follow each other on both sides."""

    def opened(fs: Sequence[int], ks: Sequence[int]) -> _Gap:
        return [f for f in fs if f not in matching.pairs], [k for k in ks if k not in matching.back]

    place = {k: i for i, k in enumerate(theirs)}
    begun = start = 0
    for end, f in enumerate(mine):
        other = place.get(matching.pairs.get(f, -1), -1)
        if other >= start:
            yield opened(mine[begun:end], theirs[start:other])
            begun, start = end + 1, other + 1
    yield opened(mine[begun:], theirs[start:])
