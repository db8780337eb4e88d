"""Orders in which steps can be written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tflrecover.generation.steps import Scope, Step


def depth_first(scope: Scope) -> list[Step]:
    """Each step just before the first that needs it, so that a branch is not torn apart.

    What an input is made ready for, such as a mask that all blocks take, stands before them: within the first, it would
    make that another.
    """
    made_by = {value: step for step in scope.steps for value in step.outputs}
    found: dict[int, Step] = {}
    pending = [(value, False) for value in reversed((*_ready(scope), *scope.outputs))]
    while pending:
        value, is_ready = pending.pop()
        step = made_by.get(value)
        if step is None or id(step) in found:
            continue
        if is_ready:
            found[id(step)] = step
        else:
            pending.append((value, True))
            pending += [(wanted, False) for wanted in reversed(step.inputs)]
    return list(found.values())


def _ready(scope: Scope) -> list[int]:
    """Values that several steps take and that are made of one input alone, one step after the other."""
    users: dict[int, list[Step]] = defaultdict(list)
    for step in scope.steps:
        for value in dict.fromkeys(step.inputs):
            users[value].append(step)
    found = []
    for value in scope.inputs if len(scope.inputs) > 1 else ():
        end = value
        while len(users[end]) == 1 and len({*users[end][0].inputs}) == len(users[end][0].outputs) == 1:
            (end,) = users[end][0].outputs
        if end != value and len(users[end]) > 1:
            found.append(end)
    return found


def layers_beside(steps: Sequence[Step]) -> list[Step]:
    """A layer that is called several times is made just before it is first called."""
    made = {step.outputs[0]: step for step in steps if step.form.is_uncalled}
    found: list[Step] = []
    for step in steps:
        if not step.form.is_uncalled:
            found += [made.pop(value) for value in step.inputs if value in made]
            found.append(step)
    return found


def forward(scope: Scope) -> list[Step]:
    """What takes a result as soon as it is there, so that a head stands behind the features that it is for."""
    needed = {id(step) for step in depth_first(scope)}
    steps = [step for step in scope.steps if id(step) in needed]
    users: dict[int, list[Step]] = defaultdict(list)
    for step in steps:
        for value in dict.fromkeys(step.inputs):
            users[value].append(step)
    missing = {id(step): len({*step.inputs} - {*scope.inputs}) for step in steps}
    found: list[Step] = []
    pending = [step for step in reversed(steps) if not missing[id(step)]]
    while pending:
        step = pending.pop()
        found.append(step)
        ready = []
        for value in step.outputs:
            for user in users[value]:
                missing[id(user)] -= 1
                if not missing[id(user)]:
                    ready.append(user)
        pending += reversed(ready)
    return found
