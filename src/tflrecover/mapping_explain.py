"""What each entry of a mapping does: it is left out, and the comparison repeated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tflrecover.comparison import Comparison, compare
from tflrecover.errors import TFLRecoverError
from tflrecover.ir import Assignment, short_name
from tflrecover.mapping import Mapping
from tflrecover.memory import given_back
from tflrecover.tflite import TFLiteModel, read
from tflrecover.trials import explained

# The sections whose entries are left out in turn; those of the others are read from the comparison.
_LEFT_OUT = ("match", "inputs", "outputs", "skip", "ignore", "weights", "custom_ops")


@dataclass(frozen=True, slots=True)
class Effect:
    """What one entry of a mapping does.

    Attributes:
        key: Section, and name or number in it, e.g. ``("match", "conv2d_42")``.
        source: The YAML file, or ``"<mapping>"``.
        line: 1-based line, or None where the mapping is no file.
        is_needed: Whether something is worse, or other numbers are copied, without it.
        reason: What it does, or what happens without it.
    """

    key: tuple[str | int, ...]
    source: str
    line: int | None
    is_needed: bool
    reason: str

    def __str__(self) -> str:
        place = self.source if self.line is None else f"{self.source}:{self.line}"
        verdict = "took effect" if self.is_needed else "not needed"
        return f"{place}: {'.'.join(map(str, self.key))}: {verdict}: {self.reason}"


@given_back()
def explain_mapping(path: Any, model: Any, mapping: Any) -> tuple[Effect, ...]:
    """Which entries of a mapping took effect, and which were not needed.

    Every entry is judged alone: of two that say the same neither is needed, but one of them may be.

    Args:
        path: The file: a str, a PathLike, or its bytes.
        model: The Keras model; it is not changed.
        mapping: A path to YAML, a dict, or a :class:`~tflrecover.Mapping`.

    Returns:
        One per entry, by sections, in the mapping's order.

    Raises:
        InvalidFile: the file cannot be read.
        InvalidModel: the model cannot be traced.
        MappingError: the mapping is wrong or stale.

    Example:
        >>> for effect in tflrecover.explain_mapping("palm_detection.tflite", model, "map.yaml"):
        ...     print(effect)
    """
    user, file = Mapping.load(mapping), read(path)
    found = compare(file, model, user)

    def effect(is_needed: bool, reason: str, *key: str | int) -> Effect:
        return Effect(key, user.source, user.lines.get(key), is_needed, reason)

    def effects() -> Iterator[Effect]:
        if user.model.tflite is not None:
            yield effect(True, "it is this file", "tflite")
        for section in _LEFT_OUT:
            for key, smaller in _without_each(getattr(user.model, section)):
                rest = replace(user, model=user.model.model_copy(update={section: smaller}))
                try:
                    told = _lost(found, file, model, rest)
                except TFLRecoverError as error:
                    told = str(error)
                yield effect(bool(told), f"without it: {told}" if told else _spare(section), section, key)
        for i, (is_needed, reason) in enumerate(_accepting(explained(found))):
            yield effect(is_needed, reason, "accept", i)

    return tuple(effects())


def _without_each(section: Any) -> Iterator[tuple[str | int, Any]]:
    """Every entry's name or number, with the section that lacks it."""
    if isinstance(section, dict):
        yield from ((key, {k: v for k, v in section.items() if k != key}) for key in section)
    else:
        yield from ((i, (*section[:i], *section[i + 1 :])) for i in range(len(section)))


def _spare(section: str) -> str:
    return "its layers would get the file's weights" if section == "skip" else "without it the outcome is the same"


@given_back()
def _lost(found: Comparison, file: TFLiteModel, model: Any, rest: Mapping) -> str:
    """What is worse without an entry, under the rest of the mapping, or copied otherwise; empty if nothing is."""
    without = compare(file, model, rest)
    worse = [told for told in _troubles(without) if told not in set(_troubles(found))]
    if worse:
        return _first(worse)
    after = {assignment.variable: assignment for assignment in without.assignments}
    moved = [a.variable for a in found.assignments if a.value is not None and not _is_same(a, after[a.variable])]
    if moved:
        return f"other numbers for {_first(moved)}"
    ends = [end for end in ("inputs", "outputs") if getattr(found.alignment, end) != getattr(without.alignment, end)]
    return f"other pairs of {_first(ends)}" if ends else ""


def _first(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{texts[0]} (and {len(texts) - 1} more)"


def _is_same(a: Assignment, b: Assignment) -> bool:
    return a.value is not None and b.value is not None and np.array_equal(a.value, b.value)


def _troubles(comparison: Comparison) -> list[str]:
    """Everything that keeps a port from being complete and beyond doubt."""
    return [
        *(difference.message for difference in comparison.differences if not difference.accepted),
        *(ambiguity.message for ambiguity in comparison.ambiguities),
        *(f"no weight for {a.variable}" for a in comparison.assignments if a.state == "unresolved"),
        *(f"no use for the constant {short_name(c.name)!r}" for c in comparison.constants if c.state == "unexplained"),
        *comparison.assumptions,
    ]


def _accepting(comparison: Comparison) -> Iterator[tuple[bool, str]]:
    """Per entry of ``accept``, whether it alone wants a difference, and which."""
    rules, skip = comparison.mapping.accept, comparison.mapping.skip
    for i, rule in enumerate(rules):
        fitting = [difference for difference in comparison.differences if rule.accepts(difference)]
        others = (*rules[:i], *rules[i + 1 :])
        alone = [d for d in fitting if d.keras_layer not in skip and not any(other.accepts(d) for other in others)]
        if alone:
            yield True, f"it wants: {_first([difference.message for difference in alone])}"
        else:
            yield False, "another entry wants the same" if fitting else "no difference fits it"


__all__ = ["Effect", "explain_mapping"]
