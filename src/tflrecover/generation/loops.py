"""Runs of equal steps that are left, each on the result of the one before, become loops over what differs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from tflrecover.generation.layout import WIDTH
from tflrecover.generation.parameters import Derived, main_first, names_for, varying
from tflrecover.generation.repetition import join_repeats
from tflrecover.generation.steps import Form, Function, Loop, Repeat, Scope, Step

_LONGEST_TURN = 8
_WIDTH = 60
# A table that is wider than long says less than the steps.
_MOST_COLUMNS, _COLUMNS_OF_TWO = 4, 0


def make_loops(scope: Scope, taken: set[str]) -> None:
    """Puts loops in the place of runs, the one that saves most lines first.

    Args:
        scope: Where; it is changed in place.
        taken: Names of its parameters.
    """
    join_repeats(scope, of_layers=True)
    _write_out(scope)
    while True:
        best = max(_runs(scope), key=lambda run: _saving(scope, *run), default=None)
        if best is None or _saving(scope, *best) < 1:
            return
        _make_loop(scope, *best, taken)


def _write_out(scope: Scope) -> None:
    """Takes loops of one or two turns apart, which are no shorter."""
    fresh = itertools.count(1 + max((value for step in scope.steps for value in step.outputs), default=0))
    steps: list[Step] = []
    for step in scope.steps:
        if not isinstance(step.form.target, Repeat) or step.literals[0] not in ("1", "2"):
            steps.append(step)
            continue
        count, *literals = step.literals
        once = replace(step, form=step.form.target.form, literals=tuple(literals))
        if count == "2":
            between = tuple(-next(fresh) for _ in step.outputs)
            steps.append(replace(once, outputs=between))
            once = replace(once, inputs=(*between, *step.inputs[len(between) :]))
        steps.append(once)
    scope.steps[:] = steps


def _runs(scope: Scope) -> list[tuple[int, int, int]]:
    """Runs, as the place of the first step, the steps of a turn and the number of turns."""
    found = []
    last_uses = scope.last_uses()
    for period in range(1, _LONGEST_TURN + 1):
        start = 0
        while start + 2 * period <= len(scope.steps):
            turns = 1
            while _follows(scope, start, start + turns * period, period, last_uses):
                turns += 1
            end = start + turns * period
            last = scope.steps[end - period : end]
            if any(last_uses.get(value, -1) >= end for step in last[:-1] for value in step.outputs):
                turns -= 1
            if turns > 1:
                found.append((start, period, turns))
            start += max(1, (turns - 1) * period)
    return found


def _follows(scope: Scope, first: int, place: int, period: int, last_uses: dict[int, int]) -> bool:
    """Whether the steps from a place do to the result of those before what the first of the run do."""
    before, steps = scope.steps[place - period : place], scope.steps[place : place + period]
    begin = scope.steps[first : first + period]
    if len(steps) < period or any(one.form != other.form for one, other in zip(begin, steps, strict=True)):
        return False
    if any(isinstance(step.form.target, Loop) for step in steps):
        return False
    inside = {value for step in before for value in step.outputs}
    # Only the results of a turn's last step leave it, and only to the next.
    for value in inside:
        is_last = value in before[-1].outputs
        if last_uses.get(value, -1) >= (place + period if is_last else place):
            return False
    if period > 1 and any(step.form.results != 1 for step in steps):
        return False
    carried = before[-1].outputs
    return _wiring(begin, begin[0].inputs[: len(carried)]) == _wiring(steps, carried)


def _wiring(steps: Sequence[Step], carried: Sequence[int]) -> list[tuple[object, ...]]:
    """Per step where its tensors come from: one that is carried, a step of the turn, or from outside."""
    places: dict[int, object] = {value: ("carried", i) for i, value in enumerate(carried)}
    made: list[tuple[object, ...]] = []
    for i, step in enumerate(steps):
        made.append(tuple(places.get(value, ("outside", value)) for value in step.inputs))
        places.update(dict.fromkeys(step.outputs, i))
    return made


def _saving(scope: Scope, start: int, period: int, turns: int) -> int:
    steps = scope.steps[start : start + period * turns]
    found = varying([steps[i : i + period] for i in range(0, len(steps), period)], is_one_scope=True)
    if any("None" in column and '"' in "".join(column) for column, _, _ in found.columns):
        # The last of equal blocks makes an output, whose name the others do not have.
        return 0
    width = sum(len(source) + 2 for column, _, _ in found.columns for source in column)
    table = 0 if width < _WIDTH else turns + 1
    is_layer = period == 1 and isinstance(steps[0].form.target, str)
    if len(found.columns) > (1 if is_layer else _MOST_COLUMNS if turns > 2 else _COLUMNS_OF_TWO):
        return 0
    body = period + sum(_longer(step, sources) for step, sources in zip(steps, found.sources, strict=False))
    return period * turns - body - 1 - table - (turns == 2)


def _longer(step: Step, sources: Sequence[str | Derived]) -> int:
    """Lines more that a call of a function takes where names stand in the place of numbers."""
    form = step.form
    if not isinstance(form.target, Function) or not any(isinstance(one, Derived) for one in sources):
        return 0
    given = zip(form.names, form.defaults, step.literals, sources, strict=True)
    shown = [
        f"{name}={name if isinstance(source, Derived) else source}"
        for name, default, literal, source in given
        if literal != default
    ]
    width = len("        x = residual_block(x, )") + len(", ".join(shown))
    return len(shown) + 2 if width > WIDTH else 0


def _make_loop(scope: Scope, start: int, period: int, turns: int, taken: set[str]) -> None:
    end = start + period * turns
    steps = scope.steps[start:end]
    places = [steps[i : i + period] for i in range(0, len(steps), period)]
    found = varying(places, is_one_scope=True)
    names = names_for(found, places, taken)
    body = [
        replace(step, literals=tuple(one.of(names[one.column]) if isinstance(one, Derived) else one for one in sources))
        for step, sources in zip(places[0], found.sources, strict=True)
    ]
    inside = {value for step in body for value in step.outputs}
    inputs = tuple(dict.fromkeys(value for step in body for value in step.inputs if value not in inside))
    order = main_first(names)
    rows = tuple(zip(*(found.columns[i][0] for i in order), strict=True)) or ((),) * turns
    loop = Loop(Scope(inputs, body, body[-1].outputs), tuple(names[i] for i in order), rows)
    outputs = steps[-1].outputs
    scope.steps[start:end] = [Step(Form(loop, (), (), (), (), len(outputs)), inputs, (), outputs)]


def set_defaults(functions: Sequence[Function], calls: Sequence[Step]) -> None:
    """A parameter of which most calls want what the layer does by itself need not be given."""
    for function in functions:
        rows = [row for step in calls if (row := _given(step, function)) is not None]
        for place, parameter in enumerate(function.parameters):
            wanted = [row[place] for row in rows]
            is_usual = wanted.count(parameter.natural) * 2 >= len(wanted)
            parameter.default = parameter.natural if is_usual else ""


def _given(step: Step, function: Function) -> tuple[str, ...] | None:
    target = step.form.target
    if target is function:
        return step.literals
    is_repeat = getattr(getattr(target, "form", None), "target", None) is function
    return step.literals[1:] if is_repeat else None
