"""A function that is called once is written where it is called."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import replace

from tflrecover.generation.steps import Function, Name, Program, Repeat, Scope, Step

_ATOM = re.compile(r"\w+|\".*\"|\(.*\)")


def inline_single(program: Program) -> None:
    """Puts bodies in the place of single calls, the innermost last."""
    for function in reversed(program.functions.copy()):
        calls = Counter(id(_called(step)) for scope in program.scopes for step in scope.steps)
        place = _single_call(program, function) if calls[id(function)] == 1 else None
        if place is not None:
            scope, at = place
            scope.steps[at : at + 1] = _body(function, scope.steps[at], program)
            program.functions.remove(function)


def _called(step: Step) -> object:
    return step.form.target.form.target if isinstance(step.form.target, Repeat) else step.form.target


def _single_call(program: Program, function: Function) -> tuple[Scope, int] | None:
    """Where the call stands; None where it is in a loop, or what it is given cannot be put into an expression."""
    for scope in program.scopes:
        for at, step in enumerate(scope.steps):
            if step.form.target is function:
                return (scope, at) if all(_ATOM.fullmatch(source) for source in step.literals) else None
    return None


def _body(function: Function, call: Step, program: Program) -> list[Step]:
    used = [value for scope in program.scopes for step in scope.steps for value in (*step.inputs, *step.outputs)]
    fresh = itertools.count(max(used) + 1)
    values = dict(zip(function.body.inputs, call.inputs, strict=True))
    values |= dict(zip(function.body.outputs, call.outputs, strict=True))
    given = {one.name: source for one, source in zip(function.parameters, call.literals, strict=True)}
    made = []
    for step in function.body.steps:
        outputs = tuple(values.setdefault(value, next(fresh)) for value in step.outputs)
        literals = tuple(_filled(source, given) for source in step.literals)
        made.append(
            replace(step, inputs=tuple(values[value] for value in step.inputs), literals=literals, outputs=outputs)
        )
    return made


def _filled(source: str, given: dict[str, str]) -> str:
    if not isinstance(source, Name):
        return source
    filled = re.sub(r"[A-Za-z_]\w*", lambda found: given[found[0]], source)
    # Of parameters of the caller it is an expression again; of numbers alone, a number.
    if any(isinstance(one, Name) for one in given.values()):
        return Name(filled)
    return _computed(filled)


def _computed(source: str) -> str:
    parts = source.split()
    if len(parts) == 3 and parts[0].isdigit() and parts[2].isdigit():
        a, b = int(parts[0]), int(parts[2])
        return str(a * b if parts[1] == "*" else a // b)
    return source
