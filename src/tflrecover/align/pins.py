"""What is certain before any operator is looked at: which input is which, which output is which, and the mapping.

A position in a list is no evidence: converters order outputs as they like. Evidence is the mapping, then names (a
signature's, a dict key), then being the only one, then being the only one of its shape.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

_NUMBERED = re.compile(r"^(?:output|input|args)_(\d+)$")


@dataclass(frozen=True, slots=True)
class Pins:
    """Certain pairs, from the file to Keras.

    Attributes:
        inputs: File input number to Keras input number.
        outputs: File output number to Keras output number.
        ops: Operator index in the file, or layer path in the first of two models, to Keras layer path (from the
            mapping).
        numbered_inputs: Those of the file's inputs that are paired by a number in a signature, and by nothing else.
        numbered_outputs: Likewise of its outputs.
    """

    inputs: Mapping[int, int] = field(default_factory=dict)
    outputs: Mapping[int, int] = field(default_factory=dict)
    ops: Mapping[int | str, str] = field(default_factory=dict)
    numbered_inputs: frozenset[int] = frozenset()
    numbered_outputs: frozenset[int] = frozenset()


def pin(
    file_names: Sequence[str],
    keras_names: Sequence[str],
    possible: Sequence[Collection[int]],
    given: Mapping[int, int],
    *,
    numbered: bool,
) -> dict[int, int]:
    """Pairs inputs or outputs, file number to Keras number.

    Args:
        file_names: Names on the file's side, from its signature where it has one.
        keras_names: Names on Keras's side, ``""`` where there is none.
        possible: Per Keras number, the file numbers whose shape it can have.
        given: Pairs from the mapping; they win.
        numbered: Whether names like ``output_2`` come from a signature and so mean Keras's number 2.

    Returns:
        The pairs that are certain; what is missing is left to structure.
    """
    pairs = dict(given)
    is_square = len(file_names) == len(keras_names)
    free = [i for i in range(len(file_names)) if i not in pairs]
    open_ = [j for j in range(len(keras_names)) if j not in pairs.values()]
    named = _by_name(free, open_, file_names, keras_names)
    if numbered and not named and is_square:
        by_number = numbers(file_names)
        named = {i: by_number[i] for i in free} if {by_number.get(i) for i in free} == set(open_) else {}
    # Names that contradict the shapes are no evidence at all; of two alone, that they are alone is enough.
    if all(i in possible[j] for i, j in named.items()):
        pairs.update(named)
    return {**pairs, **_by_shape(pairs, len(file_names), possible, is_square=is_square)}


def numbered_only(
    file_names: Sequence[str], keras_names: Sequence[str], possible: Sequence[Collection[int]], given: Mapping[int, int]
) -> frozenset[int]:
    """Those that :func:`pin` pairs by their number in a signature: without it they would be left to structure."""
    by_number = pin(file_names, keras_names, possible, given, numbered=True)
    others = pin(file_names, keras_names, possible, given, numbered=False)
    return frozenset(by_number.keys() - others.keys())


def _by_shape(
    pairs: Mapping[int, int], count: int, possible: Sequence[Collection[int]], *, is_square: bool
) -> dict[int, int]:
    """What is the only one of its shape on both sides, and what is left alone when all others are paired."""
    found: dict[int, int] = {}
    while True:
        free = [i for i in range(count) if i not in pairs and i not in found]
        open_ = [j for j in range(len(possible)) if j not in pairs.values() and j not in found.values()]
        if is_square and len(free) == len(open_) == 1:
            return {**found, free[0]: open_[0]}
        can_be = {j: [i for i in free if i in possible[j]] for j in open_}
        rivals = Counter(i for listed in can_be.values() for i in listed)
        alone = {listed[0]: j for j, listed in can_be.items() if len(listed) == 1 and rivals[listed[0]] == 1}
        if not alone:
            return found
        found.update(alone)


def _by_name(
    free: list[int], open_: list[int], file_names: Sequence[str], keras_names: Sequence[str]
) -> dict[int, int]:
    mine, theirs = Counter(file_names[i] for i in free), Counter(keras_names[j] for j in open_)
    return {
        i: next(j for j in open_ if keras_names[j] == file_names[i])
        for i in free
        if file_names[i] and mine[file_names[i]] == theirs[file_names[i]] == 1
    }


def numbers(names: Sequence[str]) -> dict[int, int]:
    """Number of an end to the one that a signature's name for it says, as ``output_2`` does."""
    return {i: int(found[1]) for i, name in enumerate(names) if (found := _NUMBERED.match(name))}
