"""What is certain before any operator is looked at: which input is which, which output is which, and the mapping.

A position in a list is no evidence: converters order outputs as they like. Evidence is the mapping, then names (a
signature's, a dict key), then being the only one, then being the only one of its shape.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tflrecover.ir import Shape

_NUMBERED = re.compile(r"^(?:output|input|args)_(\d+)$")


@dataclass(frozen=True, slots=True)
class Pins:
    """Certain pairs, from the file to Keras.

    Attributes:
        inputs: File input number to Keras input number.
        outputs: File output number to Keras output number.
        ops: Operator index in the file to Keras layer path (from the mapping).
    """

    inputs: Mapping[int, int] = field(default_factory=dict)
    outputs: Mapping[int, int] = field(default_factory=dict)
    ops: Mapping[int, str] = field(default_factory=dict)


def pin(
    file_names: Sequence[str],
    file_shapes: Sequence[Shape],
    keras_names: Sequence[str],
    keras_shapes: Sequence[Shape | None],
    given: Mapping[int, int],
    *,
    numbered: bool,
) -> dict[int, int]:
    """Pairs inputs or outputs, file number to Keras number.

    Args:
        file_names: Names on the file's side, from its signature where it has one.
        file_shapes: Shapes.
        keras_names: Names on Keras's side, ``""`` where there is none.
        keras_shapes: Shapes; None where nothing is declared.
        given: Pairs from the mapping; they win.
        numbered: Whether names like ``output_2`` come from a signature and so mean Keras's number 2.

    Returns:
        The pairs that are certain; what is missing is left to structure.
    """
    pairs = dict(given)
    free = [i for i in range(len(file_names)) if i not in pairs]
    open_ = [j for j in range(len(keras_names)) if j not in pairs.values()]
    if len(file_names) == len(keras_names) and len(free) == len(open_) == 1:
        return {**pairs, free[0]: open_[0]}
    named = _by_name(free, open_, file_names, keras_names)
    if numbered and not named and len(file_names) == len(keras_names):
        named = _by_number(free, open_, file_names)
    # Names that contradict the shapes are no evidence at all.
    if all(keras_shapes[j] in (None, file_shapes[i]) for i, j in named.items()):
        pairs.update(named)
    rest = [i for i in free if i not in pairs]
    others = [j for j in open_ if j not in pairs.values()]
    mine, theirs = Counter(file_shapes[i] for i in rest), Counter(keras_shapes[j] for j in others)
    for i in rest:
        shape = file_shapes[i]
        if mine[shape] == theirs[shape] == 1:
            pairs[i] = next(j for j in others if keras_shapes[j] == shape)
    rest = [i for i in rest if i not in pairs]
    others = [j for j in others if j not in pairs.values()]
    if len(file_names) == len(keras_names) and len(rest) == len(others) == 1:
        pairs[rest[0]] = others[0]
    return pairs


def _by_name(
    free: list[int], open_: list[int], file_names: Sequence[str], keras_names: Sequence[str]
) -> dict[int, int]:
    mine, theirs = Counter(file_names[i] for i in free), Counter(keras_names[j] for j in open_)
    return {
        i: next(j for j in open_ if keras_names[j] == file_names[i])
        for i in free
        if file_names[i] and mine[file_names[i]] == theirs[file_names[i]] == 1
    }


def _by_number(free: list[int], open_: list[int], file_names: Sequence[str]) -> dict[int, int]:
    numbers = {i: int(found[1]) for i in free if (found := _NUMBERED.match(file_names[i]))}
    complete = len(numbers) == len(free) and set(numbers.values()) == set(open_)
    return numbers if complete else {}
