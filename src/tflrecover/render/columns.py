"""Both graphs side by side as lines of text: the file at the left, the model at the right, what is equal folded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, TypeAlias

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from tflrecover.ir import short_name
from tflrecover.render.selection import Selection
from tflrecover.render.values import safe, shape_text, value_text

if TYPE_CHECKING:
    from tflrecover.report import Report, Row

    # A row that is shown, or a stretch that is folded.
    Item: TypeAlias = Row | list[Row]
    # Of a line: characters and their style.
    Part: TypeAlias = tuple[str, str]

# State of a row: its mark, what the mark means, and its style.
_STATES = {
    "different": ("≠", "differs", "bold yellow"),
    "missing": ("+", "in the file only", "green"),
    "extra": ("\N{MINUS SIGN}", "in the model only", "red"),
    "following": ("~", "follows from a difference", "yellow"),
    "unsure": ("?", "not sure to be a pair", "yellow"),
    "scaling": ("·", "a scaling that is elsewhere on the other side", "dim"),
    "equal": (" ", "", ""),
}
_ROOTS = frozenset({"different", "missing", "extra", "unsure"})
_EQUAL = frozenset({"equal", "scaling"})

# So many rows stay in sight on either side of what differs, the fewer the more there is of it, and so many at the ends
# of a long run that one difference is about; a shorter stretch is not worth a fold.
_CONTEXTS = (2, 1, 0)
_RUN_END = 3
_SHORTEST_FOLD = 3
# What stands on one screen.
_LINES = 32

# Beyond these widths types and shapes are cut; with less room for a name than this, names of tensors and the model's
# types are left out.
_TYPE, _SHAPE, _NAME = 24, 20, 12
_BAR, _GAP = " │ ", "  "


def graph(report: Report, selection: Selection) -> Iterator[Text]:
    """The rows that are selected, one line each, with what differs below; nothing where there are none."""
    rows = selection.rows(report)
    if selection.only_differences:
        rows = [row for row in rows if row.state not in _EQUAL]
    # Whoever asks for a layer wants to see it, equal or not.
    is_unfolded = selection.full or (selection.layer is not None and len(rows) <= _LINES)
    if not rows:
        return
    if not is_unfolded and all(row.state in _EQUAL for row in rows):
        yield _heading(f": none of {len(rows)} differs in structure (--full shows them side by side)")
        return
    shown, left_out = (list(rows), []) if is_unfolded else _on_one_screen(rows)
    visible = [item for item in shown if not isinstance(item, list)]
    accepted = frozenset(number for number, one in enumerate(report.differences) if one.accepted)
    columns = _Columns.fitting(visible, selection.width, accepted, report.sides)
    # What is folded has no mark in sight: it may follow from what is no operator, such as the size of an input.
    yield _heading(f" ({_legend(visible) or _legend(rows) or 'all equal'})")
    yield columns.header()
    for item in shown:
        yield from [columns.fold(item)] if isinstance(item, list) else columns.lines(item)
    if left_out:
        yield columns.note(f"and {len(left_out)} more ({_states(left_out)}); --full shows them")


def _heading(told: str) -> Text:
    return Text.assemble(("Operators", "bold"), told)


def _on_one_screen(rows: Sequence[Row]) -> tuple[list[Item], list[Row]]:
    """With as much context as there is room for; and the rows that no room is left for."""
    for context in _CONTEXTS:
        items = list(_folded(rows, context))
        shown, left_out = _cut(items)
        if not left_out:
            break
    return shown, left_out


def _folded(rows: Sequence[Row], context: int) -> Iterator[Item]:
    """The rows, with stretches that are out of sight as one item each."""
    for is_shown, numbers in groupby(range(len(rows)), _in_sight(rows, context).__getitem__):
        stretch = [rows[number] for number in numbers]
        if is_shown or len(stretch) < _SHORTEST_FOLD:
            yield from stretch
        else:
            yield stretch


def _in_sight(rows: Sequence[Row], context: int) -> list[bool]:
    """Whether each row is shown: what differs, with its context, but not the middle of a run of one difference."""
    shown = [False] * len(rows)
    for (is_root, _), members in groupby(enumerate(rows), lambda item: (item[1].state in _ROOTS, item[1].differences)):
        if not is_root:
            continue
        run = [number for number, _ in members]
        for number in range(max(0, run[0] - context), min(len(rows), run[-1] + 1 + context)):
            shown[number] = True
        hidden = run[_RUN_END:-_RUN_END]
        for number in hidden if len(hidden) >= _SHORTEST_FOLD else ():
            shown[number] = False
    return shown


def _cut(items: list[Item]) -> tuple[list[Item], list[Row]]:
    """As many items as stand on one screen, and the rows of the others."""
    lines = 0
    for at, item in enumerate(items):
        lines += 1 if isinstance(item, list) else 1 + len(item.differing)
        if lines > _LINES:
            end = at - isinstance(items[at - 1], list)
            return items[:end], [row for one in items[end:] for row in (one if isinstance(one, list) else [one])]
    return items, []


def _told(rows: Sequence[Row]) -> str:
    """How many operators there are in which state."""
    states = _states(rows)
    return f"{len(rows)} operators ({states})" if "," in states else f"{states} operators"


def _states(rows: Sequence[Row]) -> str:
    """How many rows are in which state; a scaling on an edge that is equal counts as equal."""
    states = Counter("equal" if row.state in _EQUAL else row.state for row in rows)
    return ", ".join(f"{count} {state}" for state, count in states.most_common())


def _legend(rows: Sequence[Row]) -> str:
    """The marks that appear."""
    states = {row.state for row in rows}
    marks = [f"{mark} {meaning}" for state, (mark, meaning, _) in _STATES.items() if meaning and state in states]
    return ", ".join(marks)


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where what stands in a line.

    Attributes:
        width: Of a whole line.
        number: Width of the numbers of differences.
        index: Width of an operator's index in the file.
        type: Width of a type.
        shape: Width of a shape.
        accepted: Numbers of the differences that are accepted.
        sides: What the two sides are called.
    """

    width: int
    number: int
    index: int
    type: int
    shape: int
    accepted: frozenset[int]
    sides: tuple[str, str]

    @classmethod
    def fitting(cls, rows: Sequence[Row], width: int, accepted: frozenset[int], sides: tuple[str, str]) -> _Columns:
        """The narrowest columns for these rows; what is left is for names."""
        cells = [cell for row in rows for cell in (row.tflite, row.keras) if cell is not None]
        return cls(
            width,
            max((len(_numbers(row)) for row in rows), default=0),
            max((len(str(cell.index)) for cell in cells if cell.index is not None), default=0),
            min(max((cell_len(safe(cell.type)) for cell in cells), default=0), _TYPE),
            min(max((len(shape_text(cell.shape)) for cell in cells), default=0), _SHAPE),
            accepted,
            sides,
        )

    @property
    def gutter(self) -> int:
        return 1 + sum(1 + width for width in (self.number, self.index) if width) + len(_GAP)

    @property
    def half(self) -> int:
        return (self.width - self.gutter - len(_BAR)) // 2

    @property
    def is_wide(self) -> bool:
        return self.half - self.type - self.shape - 2 * len(_GAP) >= _NAME

    @property
    def left(self) -> int:
        return self.half if self.is_wide else self.type + len(_GAP) + self.shape

    @property
    def right(self) -> int:
        return self.width - self.gutter - len(_BAR) - self.left

    def header(self) -> Text:
        left, right = (
            _field(side, width, "bold") for side, width in zip(self.sides, (self.left, self.right), strict=True)
        )
        return self._line([(" " * self.gutter, "")], [left], [right])

    def fold(self, rows: Sequence[Row]) -> Text:
        return self.note(f"⋯ {_told(rows)}")

    def note(self, text: str) -> Text:
        return self._clipped([(" " * self.gutter, ""), (text, "dim")])

    def lines(self, row: Row) -> Iterator[Text]:
        """The row, and below it what differs, the file's value at the left and the model's at the right."""
        yield self._line(self._margin(row), self._file(row), self._keras(row))
        for name, *values in _differing(row, is_type_shown=self.is_wide):
            left, right = ("" if value is None else f"  {name}={value}" for value in values)
            fields = [_field(left, self.left, "green")], [_field(right, self.right, "red")]
            yield self._line([(" " * self.gutter, "")], *fields)

    def _margin(self, row: Row) -> list[Part]:
        style, index = self._style(row), "" if row.tflite is None or row.tflite.index is None else row.tflite.index
        parts = [(_STATES[row.state][0], style)]
        parts += [(" ", ""), _field(_numbers(row), self.number, style)] if self.number else []
        parts += [(" ", ""), _field(index, self.index, "dim", is_right=True)] if self.index else []
        return [*parts, (_GAP, "")]

    def _file(self, row: Row) -> list[Part]:
        cell = row.tflite
        if cell is None:
            return [(" " * self.left, "")]
        kind = _field(cell.type, self.type, self._style(row))
        shape = _field(shape_text(cell.shape), self.shape, _shape_style(row, "green"), is_right=True)
        if not self.is_wide:
            return _apart(kind, shape)
        room = self.left - self.type - self.shape - 2 * len(_GAP)
        return _apart(kind, _field(short_name(cell.name), room, "dim", is_end_kept=True), shape)

    def _keras(self, row: Row) -> list[Part]:
        cell = row.keras
        if cell is None:
            return []
        room = self.right - self.shape - len(_GAP) - (self.type + len(_GAP) if self.is_wide else 0)
        layer = _field(cell.layer or cell.name, room, self._style(row), is_end_kept=True)
        kind = _field(cell.type, self.type, self._style(row))
        shape = _field(shape_text(cell.shape), self.shape, _shape_style(row, "red"), is_right=True)
        return _apart(layer, kind, shape) if self.is_wide else _apart(layer, shape)

    def _style(self, row: Row) -> str:
        is_accepted = row.differences and self.accepted.issuperset(row.differences)
        return "green" if is_accepted else _STATES[row.state][2]

    def _line(self, margin: list[Part], left: list[Part], right: list[Part]) -> Text:
        return self._clipped([*margin, *left, (_BAR, "dim"), *right])

    def _clipped(self, parts: list[Part]) -> Text:
        line = Text.assemble(*parts)
        line.rstrip()
        if line.cell_len > self.width:
            line.truncate(self.width, overflow="ellipsis")
        return line


def _numbers(row: Row) -> str:
    """Where in the list of differences the row is told, or what it follows from."""
    numbers = [str(number + 1) for number in row.differences or row.following]
    return ",".join(numbers if len(numbers) <= 2 else [*numbers[:2], "…"])


def _differing(row: Row, *, is_type_shown: bool) -> Iterator[tuple[str, str | None, str | None]]:
    """Name, the file's value, the model's."""
    mine, theirs = row.tflite, row.keras
    if not is_type_shown and theirs is not None and (mine is None or mine.type != theirs.type):
        yield "type", None if mine is None else str(mine.type), str(theirs.type)
    for name in row.differing:
        values = [cell.attributes.get(name) if cell is not None else None for cell in (mine, theirs)]
        told = [None if value is None else value_text(value) for value in values]
        if any(value is not None for value in told):
            yield name, told[0], told[1]


def _shape_style(row: Row, style: str) -> str:
    """The style if the other side has another shape."""
    is_other = row.tflite is not None and row.keras is not None and row.tflite.shape != row.keras.shape
    return style if is_other else "dim"


def _apart(*fields: Part) -> list[Part]:
    return [part for field in fields for part in ((_GAP, ""), field)][1:]


def _field(text: object, width: int, style: str = "", *, is_right: bool = False, is_end_kept: bool = False) -> Part:
    """Text that is so wide, and its style; of a name that is too long, the end is what tells it from others."""
    clean, width = safe(text), max(width, 1)
    if cell_len(clean) > width:
        clean = f"…{_tail(clean, width - 1)}" if is_end_kept else f"{set_cell_size(clean, width - 1)}…"
    padding = " " * (width - cell_len(clean))
    return (padding + clean if is_right else clean + padding), style


def _tail(text: str, width: int) -> str:
    """The end of a text that is wider than this."""
    found = text[len(text) - width :]
    while cell_len(found) > width:
        found = found[1:]
    return found
