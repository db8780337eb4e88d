"""A report's text with colours, as wide as the terminal that it is for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from tflrecover.render.text import sections

if TYPE_CHECKING:
    from tflrecover.render.selection import Selection
    from tflrecover.report import Report

# Pattern and style; where two patterns meet, the later one wins.
STYLES = (
    (r"^\S[^:\n]*(:|$)", "bold"),
    (r"^The words of this report.*$", "not bold dim"),
    (
        r"(?<=: )(the model is the file's network|ported, complete and beyond doubt|the numbers agree"
        r"|the same network with the same weights)$",
        "bold green",
    ),
    (r"(?<=: )the numbers of \d+ of \d+ operators agree, .*$", "bold yellow"),
    (
        r"(?<=: )(ported, complete if the order is the same \(see the note\)|the same network, .*|not decided: .*)$",
        "bold yellow",
    ),
    (
        r"(?<=: )(the model is not the file's network|NOT ported|ported in part|the numbers do NOT agree"
        r"|the numbers that could be compared agree, but .*"
        r"|the structure is equal, but the model does not hold the file's weights|not the same network)$",
        "bold red",
    ),
    (r"\[(attribute|missing|extra|wiring|shape|constant)\]", "red"),
    (r"\(accepted\)", "green"),
    (r"`[^`\n]*`", "cyan"),
    (r"<- first divergence|out of tolerance$|^  NOT checked:|^  (unresolved|unexplained): .*$", "red"),
)
# A list's number stands before what a wrapped line continues.
_HANGING = 3


def show(report: Report, selection: Selection, console: Console) -> None:
    """Prints what is selected of a report: the summary in a frame, lines of text wrapped, those of the graph never.

    Raises:
        UnknownLayer: nothing in the report matches the selection's pattern.
    """
    summary, *others = sections(report, replace(selection, width=console.width))
    framed = Text("\n").join(coloured(str(line)) for line in summary)
    style = "red" if not report.ok else "yellow" if report.unchecked else "green"
    console.print(Panel(framed, border_style=style, expand=False))
    for section in others:
        console.print()
        for line in section:
            console.print(line if isinstance(line, Text) else _wrapped(coloured(line), console), soft_wrap=True)


def coloured(text: str) -> Text:
    """The text, styled; its characters are unchanged, and nothing in it is taken for markup."""
    found = Text(text)
    for pattern, style in STYLES:
        found.highlight_regex(f"(?m){pattern}", style)
    return found


def _wrapped(line: Text, console: Console) -> Text:
    """The line between words, where it goes on farther to the right than where it began."""
    indent = len(line.plain) - len(line.plain.lstrip())
    margin = " " * (indent + _HANGING if indent else 0)
    if line.cell_len <= console.width or console.width <= 2 * len(margin):
        return line
    head, body = line.divide([indent])
    parts = body.wrap(console, console.width - len(margin), overflow="fold")
    return head + Text(f"\n{margin}").join(parts)
