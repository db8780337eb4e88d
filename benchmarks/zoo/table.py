"""The sweep as text: a line per case while it runs, a Markdown table when it is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.zoo.models import MODELS, MODES, cases
from benchmarks.zoo.results import Case, Result

RATIO = 0.15
MULTIPLE = 2.5
_HEADER = (
    "| model | mode | port | output, relative | output port / file, dB | logits port / file, dB | inner values, dB "
    "| port() | convert() | ratio | peak memory |",
    "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
)


def line(name: str, mode: str, result: Result) -> str:
    """One case for the terminal."""
    word = "PASS" if result["passed"] else "NO FILE" if result.get("no_file") else "FAIL"
    numbers = ""
    if "relative" in result:
        ratio = "" if result["ratio"] is None else f", {result['ratio']:.0%} of convert()"
        numbers = (
            f" rel={result['relative']:.0e} output {result['port_db']:.0f}/{result['file_db']:.0f} dB, logits "
            f"{result['logits_port_db']:.0f}/{result['logits_file_db']:.0f} dB, port() {result['port_s']:.1f} s{ratio}"
        )
    reason = f" {result['reason']}" if result["reason"] else ""
    return f"{word} {name}.{mode}{numbers}{reason}"


def _cell(result: Result, key: str, form: str) -> str:
    value = result.get(key)
    return "" if value is None else form.format(value)


def _row(case: Case, result: Result) -> str:
    state = "passes" if result["passed"] else "no file" if result.get("no_file") else "**fails**"
    cells = [
        *case,
        state,
        _cell(result, "relative", "{:.0e}"),
        _pair(result, "port_db", "file_db"),
        _pair(result, "logits_port_db", "logits_file_db"),
        _cell(result, "inside_db", "{:.0f}"),
        _cell(result, "port_s", "{:.1f} s"),
        _cell(result, "convert_s", "{:.1f} s"),
        _cell(result, "ratio", "{:.0%}"),
        _memory(result),
    ]
    return "| " + " | ".join(cells) + " |"


def _pair(result: Result, mine: str, theirs: str) -> str:
    return f"{result[mine]:.0f} / {result[theirs]:.0f}" if mine in result else ""


def _memory(result: Result) -> str:
    multiple = result.get("peak_multiple")
    return "" if multiple is None else f"{multiple:.1f} x {result['weights_mb']:.0f} MB"


def summary(newest: Mapping[Case, Result]) -> list[str]:
    """How many pass per mode, and the extremes of time and memory."""
    lines = []
    for mode in MODES:
        wanted = [case for case in cases() if case[1] == mode]
        run = [newest[case] for case in wanted if case in newest]
        passed = sum(result["passed"] for result in run)
        lines.append(f"- {mode}: {passed} of {len(wanted)} pass" + _rest(len(wanted), len(run)))
    ratios = {case: r["ratio"] for case, r in newest.items() if r.get("ratio") is not None}
    if ratios:
        lines.append(_extreme("port() as a part of convert()", ratios, RATIO, "{:.0%}"))
    peaks = {case: r["peak_multiple"] for case, r in newest.items() if r.get("peak_multiple") is not None}
    if peaks:
        lines.append(_extreme("peak memory of port() as a multiple of the weights", peaks, MULTIPLE, "{:.1f}"))
    return lines


def _rest(wanted: int, run: int) -> str:
    return "" if run == wanted else f", {wanted - run} not run yet"


def _extreme(what: str, found: Mapping[Case, Any], limit: float, form: str) -> str:
    case = max(found, key=lambda key: found[key])
    inside = sum(value < limit for value in found.values())
    worst = f"at most {form.format(found[case])} ({' '.join(case)})"
    return f"- {what}: {worst}; under {form.format(limit)} in {inside} of {len(found)}"


def markdown(newest: Mapping[Case, Result]) -> str:
    """Summary, failures, and one row per case."""
    order = {name: i for i, name in enumerate(MODELS)}
    listed = sorted(newest.items(), key=lambda item: (order[item[0][0]], MODES.index(item[0][1])))
    failures = [
        f"- {' '.join(case)}: {result['reason']}"
        for case, result in listed
        if not result["passed"] and result["reason"]
    ]
    versions = sorted({result["commit"] or result["version"] for _, result in listed})
    parts = [
        "\n".join(summary(newest)),
        *(["Not passed:\n\n" + "\n".join(failures)] if failures else []),
        f"Measured with {', '.join(versions)}. Output, logits and inner values are compared with those of the original "
        "model; peak memory is what the resident set rose by during port(), the model and the bytes of the file being "
        "there before.",
        "\n".join([*_HEADER, *(_row(case, result) for case, result in listed)]),
    ]
    return "\n\n".join(parts) + "\n"
