"""What varies between places that do the same becomes parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tflrecover.generation.steps import Form, Function, Name, Repeat, Step

Column = tuple[str, ...]

# Smaller numbers are multiples of each other by chance.
_MULTIPLES = range(2, 17)
_CHANCE = 8
# Of so many different numbers, half as large ones are not.
_SURE = 3


@dataclass(frozen=True, slots=True)
class Varying:
    """Literals of equal steps in several places, one column per literal.

    Attributes:
        columns: What differs and is given, each once, with the step and the literal that it is first in.
        sources: Per step its literals: what is the same everywhere, or an expression of a column.
    """

    columns: tuple[tuple[Column, int, int], ...]
    sources: tuple[tuple[str | Derived, ...], ...]


@dataclass(frozen=True, slots=True)
class Derived:
    """A literal that a column decides: the column itself, times a number, or divided by one."""

    column: int
    factor: int = 1
    divisor: int = 1

    def of(self, name: str) -> Name:
        """The expression, of the column's name."""
        if self.divisor != 1:
            return Name(f"{name} // {self.divisor}")
        return Name(f"{self.factor} * {name}" if self.factor != 1 else name)


def varying(places: Sequence[Sequence[Step]], *, is_one_scope: bool = False) -> Varying:
    """Compares the literals of the same steps in several places.

    Args:
        places: Where the steps stand.
        is_one_scope: Whether parameters mean the same in all of them and in what is made of them.
    """
    columns = list(_columns(places, is_one_scope))
    chosen: list[_Column] = []
    for column in sorted(columns, key=_preference):
        if not any(_derived(column, known, 0) for known in chosen):
            chosen.append(column)
    chosen.sort(key=columns.index)
    derived = {}
    for column in columns:
        made = (_derived(column, known, i) for i, known in enumerate(chosen))
        derived[column.place, column.slot] = next(one for one in made if one is not None)
    sources = tuple(
        tuple(
            derived.get((place, slot), _settled((source,), [steps[place] for steps in places], slot)[0])
            for slot, source in enumerate(step.literals)
        )
        for place, step in enumerate(places[0])
    )
    return Varying(tuple((one.sources, one.place, one.slot) for one in chosen), sources)


def has_more(places: Sequence[Sequence[Step]], most: int) -> bool:
    """Whether more columns than so many differ, whatever numbers are multiples of others; sooner known than which."""
    found: set[tuple[Column, str]] = set()
    for column in _columns(places, is_one_scope=False):
        if not _are_large(column.sources):
            found.add((column.sources, column.name))
            if len(found) > most:
                return True
    return False


def _columns(places: Sequence[Sequence[Step]], is_one_scope: bool) -> Iterator[_Column]:
    """Literals that differ."""
    for place, steps in enumerate(zip(*places, strict=True)):
        for slot, sources in enumerate(zip(*(step.literals for step in steps), strict=True)):
            sources = _settled(sources, steps, slot)
            if len(set(sources)) > 1 or (isinstance(sources[0], Name) and not is_one_scope):
                yield _Column(sources, place, slot, steps[0].form.names[slot])


def _settled(sources: Column, steps: Sequence[Step], slot: int) -> Column:
    """Paddings; where the kernel is one number there is nothing to pad, and any padding will do."""
    form = steps[0].form
    if form.names[slot] != "padding":
        return sources
    known = {step.literals[slot] for step in steps if not form.is_pointwise(step.literals)}
    return (known.pop(),) * len(sources) if len(known) == 1 else sources


@dataclass(frozen=True, slots=True)
class _Column:
    """What one literal is in each of several places."""

    sources: Column
    place: int
    slot: int
    name: str


# What others are multiples of.
_BASES = ("filters", "units")


def _preference(column: _Column) -> tuple[bool, int]:
    """The number of filters first, and smaller numbers before their multiples."""
    return (column.name not in _BASES, int(column.sources[0]) if column.sources[0].isdigit() else 0)


def _derived(column: _Column, known: _Column, index: int) -> Derived | None:
    if column.sources == known.sources:
        return Derived(index) if column.name == known.name or _are_large(column.sources) else None
    if not (_are_large(column.sources) and _are_large(known.sources)):
        return None
    pairs = [(int(a), int(b)) for a, b in zip(column.sources, known.sources, strict=True)]
    for factor in _MULTIPLES:
        if all(a == factor * b for a, b in pairs):
            return Derived(index, factor=factor)
        if all(b == factor * a for a, b in pairs):
            return Derived(index, divisor=factor)
    return None


def _are_large(column: Column) -> bool:
    """Whether these are numbers whose relation is no chance."""
    values = {int(source) for source in column if source.isdigit()} if len(set(column)) > 1 else set()
    is_sure = bool(values) and min(values) >= (_CHANCE if len(values) < _SURE else _CHANCE // 2)
    return is_sure and all(source.isdigit() for source in column)


def names_for(found: Varying, places: Sequence[Sequence[Step]], taken: set[str]) -> list[str]:
    """A name per column: its argument's, told apart by the layers' names in the file or by a number."""
    wanted = [_argument(places[0][step].form, slot) for _, step, slot in found.columns]
    made: list[str] = []
    for i, ((_, step, _), name) in enumerate(zip(found.columns, wanted, strict=True)):
        if wanted.count(name) > 1:
            if role := _role(step, places):
                name = f"{role}_{name}"
            elif i != max(j for j, other in enumerate(wanted) if other == name) and not name.startswith("inner_"):
                name = f"inner_{name}"
        made.append(_free(name, {*made, *taken, *MODULES, *TENSORS}))
    return made


def main_first(names: Sequence[str]) -> list[int]:
    """The order in which a person gives them: how many filters, before how they are made."""
    return sorted(range(len(names)), key=lambda i: names[i] not in _BASES)


def _argument(form: Form, slot: int) -> str:
    """The argument of a layer, or of a function of the source, that a parameter comes from."""
    name = form.names[slot]
    if isinstance(form.target, (Function, Repeat)):
        return name
    name = re.sub(r"_\d+$", "", name.removeprefix("inner_"))
    return _SHORT.get(name, name) if name.isidentifier() else "value"


# Arguments of which a person would not write the whole name.
_SHORT = {"target_shape": "shape", "newshape": "shape", "pad_width": "padding", "x1": "value", "x2": "value"}

# What else a source uses names for.
MODULES = frozenset(("keras", "layers", "ops", "np", "tf", "operator", "range", "float"))
TENSORS = frozenset(("x", "y", "z", "w", "skip", "inputs", "outputs"))


def _free(name: str, taken: set[str]) -> str:
    number = 1
    wanted = re.sub(r"_\d+$", "", name)
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name


_ROLE = re.compile(r"[a-z]{4,12}")
# Words that name a kind of layer say nothing of what one is for.
_KINDS = re.compile(
    r"conv|depthwise|batch|norm|relu|model|dense|functional|pool|activation|dropout|layer|block|tensor"
    r"|global|average|reshape|multiply|padding|sampling"
)


def _role(step: int, places: Sequence[Sequence[Step]]) -> str:
    """A word that names of this layer have in all places, and no other layer's."""
    words = [_words(steps[step]) for steps in places]
    others = {word for steps in places for i, one in enumerate(steps) if i != step for word in _words(one)}
    common = [word for word in words[0] if all(word in found for found in words) and word not in others]
    return next((word for word in common if _ROLE.fullmatch(word) and not _KINDS.search(word)), "")


def _words(step: Step) -> list[str]:
    return [word for stem in step.stems for word in re.split(r"[^A-Za-z]+", stem.lower()) if word]
