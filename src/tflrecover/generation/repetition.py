"""What is repeated becomes functions, the one that saves most lines first.

What a function was found for is one step from then on, so that functions of functions are found in the same way.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from tflrecover.generation.joints import joints
from tflrecover.generation.layout import WIDTH
from tflrecover.generation.parameters import Derived, Varying, has_more, main_first, names_for, varying
from tflrecover.generation.steps import (
    Argument,
    Form,
    Function,
    Name,
    Parameter,
    Program,
    Repeat,
    Scope,
    Slot,
    Step,
    Tensor,
)
from tflrecover.generation.windows import Window, apart, repeated_windows

# Lines of a function besides its steps: its head, its docstring and two empty ones.
_FRAME = 4
# What makes a call harder to read, in lines.
_PARAMETER, _INPUT, _OUTPUT = 0.25, 0.5, 1.5
_FREE_PARAMETERS = 2
_MOST_PARAMETERS, _MOST_INPUTS, _MOST_OUTPUTS = 6, 3, 3
_LEAST_SAVING = 1.0
# Among fewer, one is no exception.
_FEW = 4
# A cut inside of what belongs together.
_TORN = 1.0


def find_functions(program: Program, longest: int, channels: Callable[[int], int], tall: int = 1) -> None:
    """Puts functions of at most so many steps in the place of what is repeated, until that saves no line.

    Args:
        program: It is changed in place.
        longest: The most steps of a function.
        channels: Of a tensor the size of its last axis.
        tall: As how many lines one counts that is divided into several, as it is too long.
    """
    while True:
        for scope in program.scopes:
            join_repeats(scope)
        _count_single(program.scopes)
        best, most = None, _LEAST_SAVING
        bound = {id(scope): joints(scope, channels) for scope in program.scopes}
        for windows in _candidates(program.scopes, longest):
            # What is saved at most, before it is looked at closely.
            if _lines(windows[0].steps, tall) * (len(windows) - 1) - _FRAME <= most:
                continue
            torn = sum(value in bound[id(window.scope)] for window in windows for value in window.ends)
            saving = _saving(windows, tall) - _TORN * torn
            if saving > most:
                best, most = windows, saving
        if best is None:
            return
        _make_function(program, best)


def _candidates(scopes: Sequence[Scope], longest: int) -> Iterable[Sequence[Window]]:
    for group in repeated_windows(scopes, 2, longest):
        first = group[0]
        if not 1 <= len(first.outputs) <= _MOST_OUTPUTS or not 1 <= len(first.inputs) <= _MOST_INPUTS:
            continue
        for windows in _alike(group):
            kept = apart(windows)
            if len(kept) > 1:
                yield kept


def _alike(group: Sequence[Window]) -> Iterable[Sequence[Window]]:
    """All of a group, those of it that are usual, and those that differ in numbers only."""
    yield group
    yield _without_exceptions(group)
    by_words: dict[tuple[str, ...], list[Window]] = defaultdict(list)
    for window in group:
        by_words[tuple(source for source in window.literals if _is_word(source))].append(window)
    if len(by_words) > 1:
        yield from by_words.values()


def _without_exceptions(group: Sequence[Window]) -> Sequence[Window]:
    """Those of a group that have no literal that all others have otherwise."""
    if len(group) < _FEW:
        return ()
    odd = set()
    for column in zip(*(window.literals for window in group), strict=True):
        usual, count = Counter(column).most_common(1)[0]
        if count == len(group) - 1:
            odd |= {i for i, source in enumerate(column) if source != usual}
    return [window for i, window in enumerate(group) if i not in odd] if odd else ()


def _is_word(source: str) -> bool:
    return source.startswith('"') or source in ("True", "False", "None")


def _saving(windows: Sequence[Window], tall: int) -> float:
    first, places = windows[0], [window.steps for window in windows]
    if has_more(places, _MOST_PARAMETERS):
        return 0.0
    found = varying(places)
    count = len(found.columns)
    if count > _MOST_PARAMETERS:
        return 0.0
    call = _call_height(found, first.steps) + _PARAMETER * max(0, count - _FREE_PARAMETERS)
    call += _INPUT * (len(first.inputs) - 1) + _OUTPUT * (len(first.outputs) - 1)
    lines = _lines(first.steps, tall)
    before = lines * len(windows)
    after = lines + _FRAME + sum(call * min(run, 2) for run in _runs(windows))
    return before - after


def _runs(windows: Sequence[Window]) -> Iterable[int]:
    """Lengths of runs of windows, each on the result of the one before: two lines, however long they are."""
    length = 1
    for before, after in pairwise(windows):
        is_next = before.scope is after.scope and before.end == after.start and before.outputs[0] in after.inputs
        if is_next and before.literals == after.literals:
            length += 1
        else:
            yield length
            length = 1
    yield length


def _lines(steps: Sequence[Step], tall: int) -> int:
    return sum(_height(step, tall) for step in steps)


def _call_height(found: Varying, steps: Sequence[Step]) -> int:
    """Lines of a call of what is a function with these parameters, of which two go without their names."""
    names = [f"{steps[step].form.names[slot]}=" for _, step, slot in found.columns]
    sources = [max(column, key=len) for column, _, _ in found.columns]
    width = len("".join([*names[_FREE_PARAMETERS:], *sources])) + len(", ") * len(sources)
    return 1 if len("    x = residual_block(x)") + width <= WIDTH else 3


def _height(step: Step, tall: int) -> int:
    """Lines of a step, or ``tall`` where its arguments have a line each."""
    form = step.form
    if isinstance(form.target, Repeat):
        return 1 if step.literals[0] == "1" else 2
    given = zip(form.names, form.defaults, step.literals, strict=True)
    shown = [f"{name}={source}, " for name, default, source in given if source != default]
    width = len("    x = (, )(x)") + len("".join(shown)) + (len(form.target) if form.is_layer else 0)
    return tall if form.is_layer and width > WIDTH else 1


def _make_function(program: Program, windows: Sequence[Window]) -> None:
    windows = _carried(windows)
    places = [window.steps for window in windows]
    found = varying(places)
    names = names_for(found, places, set())
    first = windows[0]
    body = [
        replace(step, literals=tuple(one.of(names[one.column]) if isinstance(one, Derived) else one for one in sources))
        for step, sources in zip(first.steps, found.sources, strict=True)
    ]
    order = main_first(names)
    kept = [(names[i], *found.columns[i]) for i in order]
    parameters = [Parameter(name, first.steps[step].form.defaults[slot]) for name, _, step, slot in kept]
    function = Function(Scope(first.inputs, body, first.outputs), parameters)
    form = _call_form(function)
    for i, window in reversed(list(enumerate(windows))):
        literals = tuple(column[i] for _, column, _, _ in kept)
        stems = tuple(stem for step in window.steps for stem in step.stems)
        step = Step(form, window.inputs, literals, window.outputs, stems)
        window.scope.steps[window.start : window.end] = [step]
    # What it calls is defined before it, and it before what it was found in.
    users = [i for i, other in enumerate(program.functions) if any(w.scope is other.body for w in windows)]
    program.functions.insert(min(users, default=len(program.functions)), function)


def _carried(windows: Sequence[Window]) -> Sequence[Window]:
    """Windows with their results in the order in which the next takes them, where one takes all."""
    for before, after in pairwise(windows):
        if {*before.outputs} <= {*after.inputs}:
            order = sorted(range(len(before.outputs)), key=lambda i: after.inputs.index(before.outputs[i]))
            return [replace(window, outputs=tuple(window.outputs[i] for i in order)) for window in windows]
    return windows


def _call_form(function: Function) -> Form:
    tensors = [Argument("", Tensor(i), True) for i in range(len(function.body.inputs))]
    names = tuple(parameter.name for parameter in function.parameters)
    literals = [Argument(name, Slot(i), True) for i, name in enumerate(names)]
    defaults = tuple(parameter.natural for parameter in function.parameters)
    return Form(function, (), (*tensors, *literals), names, defaults, len(function.body.outputs))


def join_repeats(scope: Scope, *, of_layers: bool = False) -> None:
    """Makes one step of a function that is called again and again on its own result."""
    uses: dict[int, int] = defaultdict(int)
    for value in (*scope.outputs, *(value for step in scope.steps for value in step.inputs)):
        uses[value] += 1
    joined: list[Step] = []
    for step in scope.steps:
        last = joined[-1] if joined else None
        if last is not None and _continues(last, step, of_layers) and all(uses[value] == 1 for value in last.outputs):
            joined[-1] = _once_more(last, step)
        else:
            joined.append(step)
    scope.steps[:] = joined


def _count_single(scopes: Sequence[Scope]) -> None:
    """What is called several times in some places is called once in others: so they are alike."""
    several = {
        step.form.target.form for scope in scopes for step in scope.steps if isinstance(step.form.target, Repeat)
    }
    for scope in scopes:
        for place, step in enumerate(scope.steps):
            if step.form in several:
                scope.steps[place] = _repeated(step, "1")


def _repeated(step: Step, count: str) -> Step:
    names, defaults = ("blocks", *step.form.names), ("", *step.form.defaults)
    form = Form(Repeat(step.form), (), (), names, defaults, step.form.results)
    return replace(step, form=form, literals=(count, *step.literals))


def _continues(last: Step, step: Step, of_layers: bool) -> bool:
    is_joined = isinstance(last.form.target, Repeat)
    form, literals = (last.form.target.form, last.literals[1:]) if is_joined else (last.form, last.literals)
    if not (isinstance(form.target, Function) or of_layers) or (is_joined and isinstance(last.literals[0], Name)):
        return False
    count = form.results
    same = form == step.form and literals == step.literals and last.inputs[count:] == step.inputs[count:]
    return same and step.inputs[:count] == last.outputs


def _once_more(last: Step, step: Step) -> Step:
    if isinstance(last.form.target, Repeat):
        literals = (str(int(last.literals[0]) + 1), *last.literals[1:])
        return replace(last, literals=literals, outputs=step.outputs, stems=last.stems + step.stems)
    made = _repeated(last, "2")
    return replace(made, outputs=step.outputs, stems=last.stems + step.stems)
