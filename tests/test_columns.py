"""Both graphs side by side in the text of a report."""

import io
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text
from typer.testing import CliRunner

import tflrecover
from tests.reports import ACCEPTED, POOL, aligned, cell, same
from tflrecover.cli import commands, shell
from tflrecover.errors import UnknownLayer
from tflrecover.ir import Difference
from tflrecover.render import text
from tflrecover.render.selection import Selection
from tflrecover.render.terminal import show
from tflrecover.report import Report, Row

MINUS = "\N{MINUS SIGN}"


def graph(report: Report, **selected: Any) -> list[Text]:
    """The lines of the graph."""
    (section,) = [s for s in text.sections(report, Selection(**selected)) if str(s[0]).startswith("Operators")]
    return [line for line in section if isinstance(line, Text)]


def words(report: Report, **selected: Any) -> list[str]:
    """The same without the legend and the header, with single spaces."""
    return [" ".join(line.plain.split()) for line in graph(report, **selected)[2:]]


def terminal(report: Report, width: int = 120, **selected: Any) -> str:
    """What a terminal is sent."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system="standard", width=width, highlight=False)
    show(report, Selection(**selected), console)
    return file.getvalue()


def test_columns() -> None:
    assert [line.plain for line in graph(aligned(10), width=99)] == [
        f"Operators (≠ differs, + in the file only, {MINUS} in the model only)",
        "        file                                         │ Keras",
        "        ⋯ 7 equal operators",
        "     7  CONV_2D      conv_7               1x24x24x64 │ conv2d_7             CONV_2D      1x24x24x64",
        "     8  CONV_2D      conv_8               1x24x24x64 │ conv2d_8             CONV_2D      1x24x24x64",
        "≠ 1  9  MAX_POOL_2D  conv_9               1x24x24x64 │ pool_9               MAX_POOL_2D  1x24x24x64",
        "          pool_size=(2, 2)                           │   pool_size=(5, 5)",
        "+ 2 10  ADD          conv_10              1x24x24x64 │",
        f"{MINUS} 3                                                  │ conv2d               MUL          1x24x24x64",
    ]


def test_a_narrow_terminal_keeps_what_tells_most() -> None:
    lines = words(aligned(10), width=80, only_differences=True)
    assert lines == [
        "≠ 1 9 MAX_POOL_2D 1x24x24x64 │ pool_9 1x24x24x64",
        "pool_size=(2, 2) │ pool_size=(5, 5)",
        "+ 2 10 ADD 1x24x24x64 │",
        f"{MINUS} 3 │ conv2d 1x24x24x64",
        "│ type=MUL",
    ]


def test_what_follows_and_what_is_elsewhere_is_marked() -> None:
    rows = (
        Row(cell(0), cell(None, shape=(1, 24, 24, 32)), following=(0, 1, 2)),
        Row(cell(1, type="AFFINE"), None),
        Row(cell(2), cell(None)),
    )
    assert words(same(rows=rows, differences=(POOL,) * 3), full=True) == [
        "~ 1,2,… 0 CONV_2D conv_0 1x24x24x64 │ conv2d CONV_2D 1x24x24x32",
        "· 1 AFFINE conv_1 1x24x24x64 │",
        "? 2 CONV_2D conv_2 1x24x24x64 │ conv2d CONV_2D 1x24x24x64",
    ]


def test_what_is_equal_is_one_line() -> None:
    report = replace(aligned(9), rows=aligned(9).rows[:9], differences=())
    (line,) = graph(report)
    assert line.plain == "Operators: none of 9 differs in structure (--full shows them side by side)"
    assert len(words(report, full=True)) == 9
    assert "Operators" not in report.to_text(only_differences=True)
    assert "Operators" not in same().to_text()


def test_hundreds_of_differences_stand_on_one_screen() -> None:
    report = aligned(4000)
    lines = report.to_text().splitlines()
    assert len(lines) < 64
    assert "  12. [attribute] set `pool_size=(2, 2)` on layer 'pool_119' (1 follow from it)" in lines
    assert "  and 390 more; --full shows them" in lines
    assert words(report)[-3:] == [
        "≠ 10 99 MAX_POOL_2D conv_99 1x24x24x64 │ pool_99 MAX_POOL_2D 1x24x24x64",
        "pool_size=(2, 2) │ pool_size=(5, 5)",
        "and 3902 more (3510 equal, 390 different, 1 missing, 1 extra); --full shows them",
    ]


def test_full_folds_and_cuts_nothing() -> None:
    report = aligned(400)
    assert len(words(report, full=True)) == 402 + 40
    complete = report.to_text(full=True)
    assert "⋯" not in complete
    assert complete.count("[attribute]") == complete.count("[shape]") == 40


def test_the_middle_of_a_run_of_one_difference_is_folded() -> None:
    rows = tuple(Row(cell(i), None, differences=(0,)) for i in range(50))
    lines = words(same(rows=rows, differences=(POOL,)))
    assert [line.split()[2] for line in lines[:3] + lines[4:]] == ["0", "1", "2", "47", "48", "49"]
    assert lines[3] == "⋯ 44 missing operators"


def test_only_differences_shows_nothing_else() -> None:
    assert aligned(20).to_text(only_differences=True).split("\n\n")[2].splitlines()[2:] == [
        line.plain for line in graph(aligned(20)) if line.plain[0] in f"≠+{MINUS}" or "pool_size" in line.plain
    ]
    assert len(aligned(20).to_text(only_differences=True).split("\n\n")) == 3


@pytest.mark.parametrize("pattern", ["pool_?9", "pool_19", "conv_19", "*_19"])
def test_only_what_matches_a_layer_or_a_tensor_is_shown(pattern: str) -> None:
    report = aligned(30)
    lines = words(report, layer=pattern)
    assert "≠ 2 19 MAX_POOL_2D conv_19 1x24x24x64 │ pool_19 MAX_POOL_2D 1x24x24x64" in lines
    assert not [line for line in lines if line.startswith("≠ 1") or "⋯" in line]
    shown = report.to_text(layer=pattern).split("\n\n")[1].splitlines()
    assert shown[0] == f"Differences ({len(shown) // 2} of 5 at {pattern!r})"
    assert shown[1].startswith("  2. ")


def test_an_equal_layer_that_was_asked_for_is_shown() -> None:
    report = aligned(30)
    assert words(report, layer="conv2d_3") == ["3 CONV_2D conv_3 1x24x24x64 │ conv2d_3 CONV_2D 1x24x24x64"]
    assert "Differences (none of 5 at 'conv2d_3')" in report.to_text(layer="conv2d_3").splitlines()


def test_a_path_with_brackets_is_itself() -> None:
    report = same(rows=(Row(cell(0), cell(None, layer="blocks[0]/conv")),))
    assert words(report, layer="blocks[0]/conv")[0].endswith("│ blocks[0]/conv CONV_2D 1x24x24x64")


def test_a_consequence_at_a_layer_brings_its_cause() -> None:
    cause = Difference("attribute", "the cause", consequences=(Difference("shape", "after", keras_layer="head"),))
    assert "1. [attribute] the cause" in same(differences=(cause,)).to_text(layer="head")


def test_a_pattern_that_matches_nothing_does_not_look_like_no_difference() -> None:
    with pytest.raises(UnknownLayer, match=r"matches 'pool_99'; did you mean 'pool_9'") as caught:
        aligned(10).to_text(layer="pool_99")
    assert caught.value.pattern == "pool_99"


NAMES = {
    "long": "a/" * 200 + "end",
    "wide": "\N{CJK UNIFIED IDEOGRAPH-5C64}" * 90 + "end",
    "combining": "e\N{COMBINING ACUTE ACCENT}" * 90 + "end",
    "hostile": "\x1b[2J\n[bold]\u202e[/]" + "x" * 90 + "end",
}


@pytest.mark.parametrize("width", [1, 40, 80, 120])
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_no_line_of_the_graph_wraps(name: str, width: int) -> None:
    sides = (cell(0, type=name, name=name, attributes={name: name}), cell(None, layer=name, attributes={name: 1}))
    lines = graph(same(rows=(Row(*sides, differing=(name,)),)), width=width)[1:]
    assert [line.plain for line in lines if cell_len(line.plain) > width or not line.plain.isprintable()] == []
    if width == 120:
        assert lines[1].plain.count("end ") == 2


def test_a_terminal_gets_colours_and_a_frame_and_the_same_characters() -> None:
    named = replace(aligned(10), notes=("[bold]not markup[/bold]",))
    sent = terminal(named)
    plain = Text.from_ansi(sent).plain.rstrip()
    assert sent.startswith("\x1b[31m╭")
    assert "\x1b[32m  pool_size=(2, 2)" in sent
    assert "\x1b[31m  pool_size=(5, 5)" in sent
    body = named.to_text().rstrip("\n").split("\n\n", 1)[1]
    assert plain.endswith(body)
    assert "\x1b" not in named.to_text()


def test_what_is_accepted_is_green() -> None:
    rows = (Row(None, cell(None), differences=(0,)),)
    assert graph(same(rows=rows, differences=(ACCEPTED,)))[2].spans[0].style == "green"
    assert graph(same(rows=rows, differences=(replace(ACCEPTED, accepted=False),)))[2].spans[0].style == "red"


def test_long_lines_are_wrapped_under_themselves() -> None:
    plain = Text.from_ansi(terminal(same(differences=(POOL,)), 60)).plain.splitlines()
    start = next(number for number, line in enumerate(plain) if line.startswith("  1. "))
    assert [len(line) - len(line.lstrip()) for line in plain[start : start + 4]] == [2, 5, 5, 6]
    assert " ".join(" ".join(plain[start : start + 3]).split()).endswith(f"[attribute] {POOL.message}")


class Terminal(io.StringIO):
    """A standard output that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("out", [io.StringIO, Terminal])
def test_the_command_line_has_colours_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch, out: type) -> None:
    for name, value in (("TERM", "xterm-256color"), ("COLUMNS", "70")):
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "stdout", out())
    report = aligned(10)
    shell.Outputs(Selection(), None, None, None).take(report)
    sent = sys.stdout.getvalue()
    if out is Terminal:
        assert "\x1b[" in sent
        assert max(len(line) for line in Text.from_ansi(sent).plain.splitlines()) <= 70
    else:
        assert sent == report.to_text()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Runs a command of the command line that finds the report."""

    def invoke(command: str, report: Report, *options: str) -> Any:
        monkeypatch.setattr(commands, "_loaded", lambda file, *_: (file, SimpleNamespace(save=Path.touch), None))
        monkeypatch.setattr(tflrecover, command, lambda *_, **__: report, raising=False)
        output = ["-o", str(tmp_path / "out.keras"), "--force"] if command == "port" else []
        return CliRunner().invoke(commands.app, [command, "a.tflite", "m:f", *output, *options])

    return invoke


OPTIONS: dict[str, Any] = {
    "--full": {"full": True},
    "--only-differences": {"only_differences": True},
    "--layer=conv2d_3": {"layer": "conv2d_3"},
}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("command", ["diff", "port", "verify"])
def test_what_is_shown_does_not_change_the_exit_code(
    run: Callable[..., Any], tmp_path: Path, command: str, option: str
) -> None:
    report = aligned(30)
    result = run(command, report, option)
    written = f"{tmp_path / 'out.keras'}: written\n" if command == "port" else ""
    assert (result.exit_code, result.stdout) == (shell.DIFFERENT, report.to_text(**OPTIONS[option]) + written)


def test_a_layer_that_is_not_there_is_trouble_before_anything_is_written(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    result = run("port", aligned(5), "--layer", "pool_99", "--json", str(tmp_path / "out.json"))
    assert (result.exit_code, result.stdout, list(tmp_path.iterdir())) == (shell.TROUBLE, "", [])
    assert "matches 'pool_99'" in result.stderr
