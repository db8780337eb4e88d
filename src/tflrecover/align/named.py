"""Look-alikes told apart by names: what a file calls the tensors that operators make, and the names of layers."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from itertools import combinations

from tflrecover.align.matching import Matching

_NUMBER = re.compile(r"_\d+$")
# Paths of models in models in models are cut there.
_DEEPEST = 8


def named_pair(matching: Matching, fs: Sequence[int], ks: Sequence[int]) -> tuple[int, int] | None:
    """A node of the file and the node of Keras whose layer it is called after; None where names tell nothing.

    A file has layers' names as they are, or as Keras 3 exports them, each with a number behind it: ``dense`` is
    ``dense_1`` then, and ``dense_1`` is ``dense_1_2``. The reading that tells all apart counts; where none does, a name
    that stands there as it is.
    """
    names = {k: (matching.keras.ops[k].layer or "").rsplit("/", 1)[-1] for k in ks}
    paths = {f: list(_paths(matching, f)) for f in fs}
    for spelled in (_as_it_is, _unnumbered):
        words = {f: {word for path in paths[f] for word in _joined([*map(spelled, path)])} for f in fs}
        pairs = [(f, k) for f in fs for k in _named(words[f], names)]
        if len(pairs) == len(fs) == len({f for f, _ in pairs}) == len({k for _, k in pairs}):
            return pairs[0]
    for f in fs:
        found = _named({word for path in paths[f] for word in path}, names)
        if len(found) == 1:
            return f, found[0]
    return None


def are_counted(matching: Matching, ks: Collection[int]) -> bool:
    """Whether names of layers may only count what was built before: they end in numbers, or differ by them alone."""
    names = [matching.keras.ops[k].layer or "" for k in ks]
    stems = {_NUMBER.sub("", name) for name in names}
    return any(map(_NUMBER.search, names)) or len(stems) < len({*names})


def _paths(matching: Matching, f: int) -> Iterator[list[str]]:
    """The parts of a tensor's name; what a converter has merged has several, after one another."""
    name = matching.file.graph.values[matching.file.ops[f].outputs[0]].name
    return (path.split("/")[-_DEEPEST:] for path in name.split(";"))


def _joined(path: Sequence[str]) -> Iterator[str]:
    """Names in a path, and those of models together with what is in them, as recovered layers are called."""
    for first, last in combinations(range(len(path) + 1), 2):
        yield "_".join(path[first:last])


def _as_it_is(word: str) -> str:
    return word


def _unnumbered(word: str) -> str:
    return _NUMBER.sub("", word)


def _named(words: Collection[str], names: dict[int, str]) -> list[int]:
    return [k for k, name in names.items() if name in words]
