"""Lines of Python as Black and Ruff lay them out, at 88 columns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

WIDTH = 88
STEP = "    "

_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|[()\[\]{},]|[^"\'()\[\]{},]+')


@dataclass(frozen=True, slots=True)
class _Group:
    """A piece of a line: text, and behind it, in brackets, what commas divide."""

    text: str
    brackets: str
    items: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.text}{self.brackets[0]}{', '.join(self.items)}{self.brackets[1]}"


def laid_out(line: str, indent: str = "") -> list[str]:
    """A statement, or an item of one, on as many lines as it takes.

    Args:
        line: All of it, on one line.
        indent: Spaces before it.
    """
    if len(indent) + len(line) <= WIDTH:
        return [indent + line]
    groups, rest = _groups(line)
    for place in reversed(range(len(groups))):
        before = "".join(map(str, groups[:place])) + groups[place].text
        after = "".join(map(str, groups[place + 1 :])) + rest
        fits = len(indent) + max(len(before), len(after)) + 1 <= WIDTH
        if groups[place].items and fits and not _is_name_alone(groups, place):
            return list(_split(indent, before, groups[place], after, is_last=place == len(groups) - 1))
    return [indent + line]


def _is_name_alone(groups: list[_Group], place: int) -> bool:
    """Whether ``(x)`` is all that would stand on a line of its own, behind arguments that can be divided."""
    alone = place > 0 and len(groups[place].items) == 1 and groups[place].items[0].isidentifier()
    return alone and len(groups[place - 1].items) > 1


def _split(indent: str, before: str, group: _Group, after: str, *, is_last: bool) -> Iterator[str]:
    yield f"{indent}{before}{group.brackets[0]}"
    inner = ", ".join(group.items)
    is_call = before[-1:].isalnum() or before[-1:] in ("_", ")", "]")
    if is_call and is_last and len(indent) + len(STEP) + len(inner) <= WIDTH:
        yield f"{indent}{STEP}{inner}"
    else:
        # A comma behind the last keeps each on a line of its own.
        for item in group.items:
            yield from laid_out(f"{item},", indent + STEP)
    yield f"{indent}{group.brackets[1]}{after}"


def _groups(line: str) -> tuple[list[_Group], str]:
    """The outermost brackets of a line, and the text behind the last."""
    found: list[_Group] = []
    depth, text, inner = 0, "", [""]
    opened = ""
    for token in _TOKEN.findall(line):
        if token in ")]}":
            depth -= 1
            if depth == 0:
                found.append(_Group(text, opened + token, tuple(item.strip() for item in inner if item.strip())))
                text, inner = "", [""]
                continue
        if depth == 0:
            if token in "([{":
                opened = token
            else:
                text += token
        elif depth == 1 and token == ",":
            inner.append("")
        else:
            inner[-1] += token
        depth += token in "([{"
    return found, text
