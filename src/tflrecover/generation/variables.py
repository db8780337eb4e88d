"""Names of the variables that hold tensors.

As in code that a person writes, ``x`` is what the next line works on, what is added to it later keeps its name as long,
and what is needed much later has a name that says what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tflrecover.generation.steps import Loop, Repeat, Scope, Several, Step
from tflrecover.recovery.names import snake_case

# What is needed for more steps than this gets a name of its own.
_SOON = 5
_POOL = ("x", "y", "z")
_BRANCH = "branch_1"


@dataclass(eq=False)
class Variables:
    """Gives names to the tensors of one function, step by step.

    Attributes:
        names: Per tensor its name, as long as it is needed.
        describe: What the file calls a tensor, or ``""``.
        size: A name by its size, or ``""``.
        output: A name for what the function returns, or ``""``.
        taken: Names that are in use for something else.
    """

    names: dict[int, str]
    describe: Callable[[int], str] = lambda value: ""
    size: Callable[[int], str] = lambda value: ""
    output: Callable[[int], str] = lambda value: ""
    taken: set[str] = field(default_factory=set)
    _telling: set[str] = field(default_factory=set)

    def results(self, scope: Scope, place: int, last_uses: dict[int, int]) -> list[str]:
        """Names for what a step makes; names of what it is the last to need are free again."""
        step = scope.steps[place]
        dying = [value for value in step.inputs if value in self.names and last_uses.get(value, -1) <= place]
        # What every turn of a loop takes is needed until its end: of that, only the name of what is carried is free.
        is_loop = isinstance(step.form.target, (Loop, Repeat))
        kept = {self.names[value] for value in step.inputs[len(step.outputs) :]} if is_loop else set()
        freed = [self.names.pop(value) for value in dict.fromkeys(dying)]
        if _merges_many(step):
            # What several are put together to is none of them.
            freed = [name for name in freed if name not in self._telling]
        made = []
        for value in step.outputs:
            if step.form.is_uncalled:
                kind = snake_case(step.form.target.rpartition(".")[2])
                made.append(self._free(self.describe(value) or kind, kept))
                self.names[value] = made[-1]
            elif value in last_uses:
                made.append(self._name(_Line(scope, last_uses, value, place), freed, kept))
                self.names[value] = made[-1]
            else:
                made.append("_")
        return made

    def _name(self, line: _Line, freed: Sequence[str], kept: set[str]) -> str:
        used = {*self.names.values(), *self.taken, *kept}
        if name := self.output(line.behind_loops):
            return self._free(name, kept)
        begins = not freed or any(name.startswith("branch_") for name in used)
        is_branch = begins and line.is_branch
        if line.is_needed_later or ((line.leads_far or is_branch) and "x" in used):
            known = next((name for name in freed if name in self._telling and name not in used), "")
            if name := known or self.describe(line.value) or self.describe(line.end):
                self._telling.add(name := known or self._free(name, kept))
                return name
            if line.is_needed_later and (name := self.size(line.behind_loops)):
                return self._free(name, kept)
        if "x" in used:
            # What goes on beside x keeps its name.
            for name in freed:
                if name not in used and (name in (*_POOL, *self._telling) or name.startswith("branch_")):
                    return name
        if is_branch:
            return self._free(_BRANCH, kept)
        short = next((name for name in _POOL if name not in used), "")
        return short or self._free(self.size(line.value) or _BRANCH, kept)

    def _free(self, wanted: str, kept: set[str]) -> str:
        used = {*self.names.values(), *self.taken, *kept}
        stem, number = (wanted[:-2], 1) if wanted == _BRANCH else (wanted, 1)
        while wanted in used:
            number += 1
            wanted = f"{stem}_{number}"
        return wanted


@dataclass(eq=False)
class _Line:
    """What becomes of a tensor.

    Attributes:
        value: The tensor.
        place: Place of the step that makes it.
        behind_loops: What comes of it by loops that take over its name.
        end: What comes of it by steps that take nothing else.
        is_branch: Whether that is in a list of more than two.
        is_needed_later: Whether it, or what loops make of it, is used many steps on.
        leads_far: Whether its end is.
    """

    scope: Scope
    last_uses: dict[int, int]
    value: int
    place: int

    def __post_init__(self) -> None:
        self.behind_loops, at = self._followed(lambda step: isinstance(step.form.target, (Loop, Repeat)))
        self.is_needed_later = self.last_uses[self.behind_loops] - at > _SOON
        self.end, at = self._followed(lambda step: len({*step.inputs}) == 1)
        self.leads_far = self.last_uses[self.end] - at > _SOON
        last = self.last_uses[self.end]
        self.is_branch = last < len(self.scope.steps) and _merges_many(self.scope.steps[last])

    def _followed(self, goes_on: Callable[[Step], bool]) -> tuple[int, int]:
        """The last of the tensors that come one from the other, each used only for the next, and where it is made."""
        value, place = self.value, self.place
        while (last := self.last_uses[value]) < len(self.scope.steps):
            step = self.scope.steps[last]
            is_alone = not any(value in other.inputs for other in self.scope.steps[place + 1 : last])
            if not is_alone or not goes_on(step) or step.inputs[0] != value or len(step.outputs) != 1:
                break
            if step.outputs[0] not in self.last_uses:
                break
            value, place = step.outputs[0], last
        return value, place


def _merges_many(step: Step) -> bool:
    lists = (argument.tree for argument in step.form.arguments)
    return len({*step.inputs}) > 2 and any(isinstance(tree, Several) for tree in lists)
