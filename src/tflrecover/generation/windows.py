"""Finds steps in a row that stand in several places and do the same with other literals.

All windows of a length that begin alike are compared at once, and only those that are not alone grow by a step: what is
inside of a window is numbered from its beginning, so equal structure is an equal key.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from tflrecover.generation.steps import Scope, Step


@dataclass(eq=False, slots=True)
class Window:
    """Steps in a row.

    Attributes:
        scope: Where they stand.
        start: Place of the first.
        steps: The steps.
        inputs: Tensors that they take from outside, in the order of their first use.
        outputs: Tensors of theirs that are used outside.
    """

    scope: Scope
    start: int
    steps: Sequence[Step]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def end(self) -> int:
        """Place behind the last step."""
        return self.start + len(self.steps)

    @property
    def ends(self) -> tuple[int, ...]:
        """Tensors that are cut."""
        return self.inputs + self.outputs

    @property
    def literals(self) -> tuple[str, ...]:
        """Those of all steps."""
        return tuple(source for step in self.steps for source in step.literals)


@dataclass(eq=False, slots=True)
class _Growing:
    """A window that is looked at, with the numbers of the tensors in it."""

    scope: Scope
    start: int
    key: int
    inside: dict[int, tuple[int, int]] = field(default_factory=dict)
    outside: dict[int, int] = field(default_factory=dict)


def repeated_windows(scopes: Sequence[Scope], shortest: int, longest: int) -> Iterator[list[Window]]:
    """Groups of windows with one structure, whose results are used from the same places in them."""
    keys: dict[Hashable, int] = {}
    growing = [_Growing(scope, start, 0) for scope in scopes for start in range(len(scope.steps))]
    last_uses = {id(scope): scope.last_uses() for scope in scopes}
    for length in range(1, longest + 1):
        groups: dict[int, list[_Growing]] = defaultdict(list)
        for one in growing:
            if one.start + length <= len(one.scope.steps):
                groups[_grow(one, length, keys)].append(one)
        groups = {key: group for key, group in groups.items() if len(group) > 1}
        growing = [one for group in groups.values() for one in group]
        if length < shortest:
            continue
        for group in groups.values():
            by_outputs: dict[Hashable, list[Window]] = defaultdict(list)
            for one in group:
                window = _window(one, length, last_uses[id(one.scope)])
                by_outputs[tuple(one.inside[value] for value in window.outputs)].append(window)
            yield from (windows for windows in by_outputs.values() if len(windows) > 1)


def _grow(one: _Growing, length: int, keys: dict[Hashable, int]) -> int:
    step = one.scope.steps[one.start + length - 1]
    wiring: list[tuple[int, ...]] = []
    for value in step.inputs:
        place = one.inside.get(value)
        wiring.append(place if place is not None else (one.outside.setdefault(value, len(one.outside)),))
    one.inside.update({value: (length, place) for place, value in enumerate(step.outputs)})
    one.key = keys.setdefault((one.key, step.form, tuple(wiring)), len(keys) + 1)
    return one.key


def _window(one: _Growing, length: int, last_uses: dict[int, int]) -> Window:
    end = one.start + length
    outputs = tuple(value for value in one.inside if last_uses.get(value, -1) >= end)
    return Window(one.scope, one.start, one.scope.steps[one.start : end], tuple(one.outside), outputs)


def apart(windows: Sequence[Window]) -> list[Window]:
    """Those that do not overlap with one that is kept before them."""
    kept: list[Window] = []
    for window in windows:
        if not kept or kept[-1].scope is not window.scope or kept[-1].end <= window.start:
            kept.append(window)
    return kept
