"""What a verification comes to: the verdict, the numbers, and the table of checks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tflrecover import tolerances
from tflrecover.checks import Check
from tflrecover.ir import at_operator, short_name
from tflrecover.render.values import cut, safe

if TYPE_CHECKING:
    from tflrecover.report import Report

_WORST = 5


def agreement(report: Report) -> str:
    """The verdict on numbers where nothing is wrong."""
    if not report.unchecked:
        return "the numbers agree"
    total = len(report.checks)
    good = total - len(report.unchecked)
    return f"the numbers of {good} of {total} operators agree, {total - good} could not be checked"


def disagreement(report: Report) -> str:
    """The verdict on numbers where not all is well."""
    if all(check.ok for check in report.checks):
        if report.ambiguities and all(difference.accepted for difference in report.differences):
            return "the numbers that could be compared agree, but structure cannot decide all of them"
        return "the numbers that could be compared agree, but the model is not the file's network"
    if report.unported:
        return "the structure is equal, but the model does not hold the file's weights"
    return "the numbers do NOT agree"


def verified(report: Report) -> Iterator[str]:
    """What holds of the model as it is now."""
    looked_at = [a for a in report.assignments if a.held is not None]
    lacking = [a.variable for a in looked_at if not a.held]
    if looked_at:
        told = f"; {lacking[0]!r} is one that does not" if lacking else ""
        advice = "; run port first" if report.unported and not report.ok else ""
        count = f"{len(looked_at) - len(lacking)} of {len(looked_at)}"
        yield f"  variables with the file's own numbers: {count}{safe(told)}{advice}"
    if not report.checks:
        return
    yield from _decided([check for check in report.checks if not check.is_open])
    if report.unchecked:
        yield f"  NOT checked: {_unchecked(report)}"
    first = report.first_divergence
    if first is not None:
        yield f"  first divergence: {_place(first)}, relative error {first.alone:.2g}, tolerance {first.tolerance:.2g}"
    for check in report.checks:
        if check.output is not None:
            yield f"  output {safe(check.output)!r} end to end: relative RMS error {check.rms_rel:.2g}"


def _decided(checks: Sequence[Check]) -> Iterator[str]:
    """How many of the checks that show something have passed."""
    if checks:
        largest = max(check.tolerance for check in checks)
        yield (
            f"  checked: {sum(check.ok for check in checks)} of {len(checks)} operators within tolerance, each on the "
            f"file's own values (tolerance: what rounding explains, here at most {largest:.1g} of the largest value)"
        )


def _unchecked(report: Report) -> str:
    """Which operators no check decides about, and what to do."""
    places = [_place(check) for check in report.unchecked]
    more = [f"and {len(places) - _WORST} more"] if len(places) > _WORST else []
    return (
        f"{'; '.join((*places[:_WORST], *more))}: on these inputs rounding explains more than "
        f"{tolerances.MOST_CHECKED:.0%} of the largest value there; give inputs that the network is made for "
        "(inputs=, --inputs)"
    )


def _place(check: Check) -> str:
    layer = f"layer {check.keras_layer!r}" if check.keras_layer else "the model"
    # A converter joins the names of all that it has merged; the beginning is enough to find it.
    name = _cut(check.tflite_name, 60)
    return safe(f"{at_operator(check.tflite_op, check.tflite_type, name)}, {layer}")


def table(report: Report, limit: int) -> Iterator[str]:
    """Outputs, the first divergence, what could not be checked, and the worst operators."""
    if not report.checks:
        return
    first = report.first_divergence
    chosen = {id(check) for check in report.checks if check.output is not None or check is first}
    chosen |= {id(check) for check in sorted(report.checks, key=_error, reverse=True)[: min(limit, _WORST)]}
    chosen |= {id(check) for check in (max(report.checks, key=_alone), *report.unchecked[:limit])}
    shown = report.checks if limit >= len(report.checks) else [c for c in report.checks if id(c) in chosen]
    also = ", what could not be checked" if report.unchecked else ""
    yield f"Checks (outputs, the first divergence, the largest errors{also})"
    yield f"  {'operator':<44} {'layer':<28} {'alone':>9} {'tolerance':>9} {'max rel':>9} {'rms rel':>9}"
    for check in shown:
        marks = [f"output {check.output}"] if check.output is not None else []
        marks += ["<- first divergence"] if check is first else [] if check.ok else ["out of tolerance"]
        marks += ["not checked"] if check.is_open else []
        name = _cut(f"{check.tflite_op} {check.tflite_type} {short_name(check.tflite_name)}".rstrip(), 44)
        layer = _cut(check.keras_layer or "", 28)
        numbers = f"{check.alone:>9.1e} {check.tolerance:>9.1e} {check.max_rel:>9.1e} {check.rms_rel:>9.1e}"
        yield f"  {name:<44} {layer:<28} {numbers} {safe(', '.join(marks))}".rstrip()
    hidden = [check for check in report.checks if not any(check is other for other in shown)]
    if hidden:
        bad = sum(not check.ok for check in hidden)
        yield f"  and {len(hidden)} more, {bad} of them out of tolerance (--full shows them)"


def _alone(check: Check) -> float:
    """The error, to sort by: one that is no number is larger than any that is."""
    return math.inf if math.isnan(check.alone) else check.alone


def _error(check: Check) -> float:
    """The error in tolerances, to sort by."""
    return _alone(check) / (check.tolerance or 1.0)


def _cut(text: str, width: int) -> str:
    return cut(safe(text), width)
