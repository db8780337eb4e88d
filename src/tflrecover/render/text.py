"""A report as plain text."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias, get_args

from tflrecover.checks import WeightCheck
from tflrecover.ir import Assignment, Difference, VariableState, called, short_name
from tflrecover.render.checks import agreement, disagreement, table, verified
from tflrecover.render.values import safe

if TYPE_CHECKING:
    from rich.text import Text

    from tflrecover.render.selection import Selection
    from tflrecover.report import Report

    # Lines; those that are Text have styles.
    Section: TypeAlias = list[str | Text]

_STATES: tuple[VariableState, ...] = get_args(VariableState)
# What only a port does.
_WRITTEN = ("assigned", "reparametrised")
# Who verifies has ported: how the file has them is what is left to say.
_IN_THE_FILE = {"assigned": "in the file as they are", "reparametrised": "folded in the file"}
_LISTED = 12
# With more lines than this, consequences are only counted.
_TREE = 24
_WORST = 5

REPARAMETRISED = (
    "Reparametrised: the file holds these only merged with others, as a batch norm with its neighbour. The function is "
    "exactly the file's; how it is shared out among them need not be as in the original model."
)
UNCALIBRATED = (
    " The batch norms among them hold no statistics of their own: call tflrecover.calibrate(model, data) before "
    "training."
)
_STATISTICS = ("moving_mean", "moving_variance")


UNDECIDED = "not decided: what structure cannot tell apart is listed under the ambiguities"
WORDS = "The words of this report are explained in docs/report.md."
WANTED = "If it is meant to end otherwise (a new head, or none), this mapping says so:"
PARTLY = "Or port with strict=False (--no-strict): what is sure is copied, the rest keeps its weights."


def suggested(mapping: str) -> list[str]:
    """Mapping lines that would accept what differs, ready to be copied."""
    lines = ["tflrecover: 1", *mapping.splitlines()]
    return [WANTED, *(f"      {line}" for line in lines), PARTLY]


def summary(report: Report) -> str:
    """The report in a few lines."""
    lines = [headline(report), *counts(report)]
    lines += [f"  - {safe(d.message)}" for _, d in report.ranked if not d.accepted][:_WORST]
    lines += [f"  - {safe(a.message)}" for a in report.ambiguities][:_WORST]
    lines += [f"  {safe(assumption)}" for assumption in report.assumptions]
    return "\n".join(lines)


def full(report: Report, selection: Selection) -> str:
    """What is selected of the report, without styles.

    Raises:
        UnknownLayer: nothing in the report matches the selection's pattern.
    """
    return "\n\n".join("\n".join(map(str, section)) for section in sections(report, selection)) + "\n"


def sections(report: Report, selection: Selection) -> Iterator[Section]:
    """What is selected of the report, part by part; the first is the summary.

    Raises:
        UnknownLayer: nothing in the report matches the selection's pattern.
    """
    from tflrecover.render.columns import graph

    selection.require(report)
    yield [headline(report), *counts(report)]
    parts: list[Section] = [list(_differences(report, selection)), list(graph(report, selection))]
    parts.append(list(_ambiguities(report)))
    if not selection.only_differences:
        parts += map(list, _rest(report, sys.maxsize if selection.full else _LISTED, is_full=selection.full))
    yield from filter(None, parts)


def _rest(report: Report, limit: int, *, is_full: bool) -> Iterator[Iterable[str]]:
    """What is no difference."""
    yield map(safe, suggested(report.suggestion)) if report.suggestion else ()
    yield [f"Note: {safe(note)}" for note in (*report.assumptions, *report.notes)]
    yield _variables(report, limit)
    yield _weights(report, limit)
    yield _constants(report, limit)
    yield _matches(report) if is_full else ()
    yield [WORDS]
    yield table(report, limit)


def verdict(report: Report) -> str:
    """What the report comes to."""
    said = {
        "diff": ("the model is the file's network", _difference(report)),
        "port": ("ported, complete and beyond doubt", "NOT ported" if not report.applied else "ported in part"),
        "verify": (agreement(report), disagreement(report)),
    }[report.action]
    if report.is_pair:
        said = ("the same network with the same weights", _changed(report))
    if report.assumptions and report.action == "port":
        said = ("ported, complete if the order is the same (see the note)", said[1])
    if report.action == "verify" and all(check.is_open for check in report.checks):
        said = ("nothing could be compared",) * 2
    return said[0] if report.ok else said[1]


def _difference(report: Report) -> str:
    """The verdict of a diff that is not sure of the same network."""
    is_open = report.ambiguities and all(difference.accepted for difference in report.differences)
    return UNDECIDED if is_open else "the model is not the file's network"


def headline(report: Report) -> str:
    """What was compared, and what it comes to."""
    return f"{safe(report.source)} -> {safe(report.model)}: {verdict(report)}"


def _changed(report: Report) -> str:
    """The verdict on two of a kind that are not the same."""
    if not all(difference.accepted for difference in report.differences):
        return "not the same network"
    if report.ambiguities:
        return UNDECIDED
    return f"the same network, {_moved(report)}"


def _moved(report: Report) -> str:
    """How many weights of two of a kind differ, or how they are equal."""
    if not report.weight_checks:
        return "none that could be compared"
    total, count = len(report.weight_checks), len(moved(report))
    rounded = sum(weight.ok and weight.max_abs > 0 for weight in report.weight_checks)
    but = f" ({rounded} of them but for rounding)" if rounded else ""
    return f"{count} of {total} weights differ" if count else f"all {total} weights are equal{but}"


def counts(report: Report) -> Iterator[str]:
    """The report in numbers, one line each."""
    open_ = [d for d in report.differences if not d.accepted]
    accepted = len(report.differences) - len(open_)
    states = Counter(a.state for a in report.assignments)
    parts = [f"{states[state]} {said(report, state)}" for state in _STATES if states[state]]
    yield f"  operators matched: {_matched(report)}"
    if report.overview:
        yield f"  {safe(report.overview)}"
    yield f"  differences: {len(open_)}" + (f" (and {accepted} accepted)" if accepted else "")
    if report.ambiguities:
        yield f"  ambiguities: {len(report.ambiguities)}"
    if report.is_pair:
        yield f"  weights: {_moved(report)}"
    elif report.action != "verify":
        yield f"  variables: {', '.join(parts) or 'none'}"
    else:
        yield from verified(report)


def said(report: Report, state: str) -> str:
    """A state of variables; what only a port does is done by a port only."""
    if report.action == "verify":
        return _IN_THE_FILE.get(state, state)
    return f"would be {state}" if state in _WRITTEN and not report.applied else state


def _matched(report: Report) -> str:
    have = report.operators
    if have is None:
        return str(len(report.matches))
    if have.matched == have.canonical == have.model:
        stored = "" if report.is_pair else f" ({have.file} in the file)"
        return f"all {have.canonical} canonical operators{stored}"
    if report.is_pair:
        return f"{have.matched} of {have.canonical} canonical operators of the first, the second has {have.model}"
    mine = f"{have.canonical} canonical operators of the file ({have.file} as stored)"
    return f"{have.matched} of {mine}, the model has {have.model}"


def _differences(report: Report, selection: Selection) -> Iterator[str]:
    if not report.differences:
        return
    chosen, total = selection.differences(report), len(report.differences)
    if selection.layer is None:
        yield "Differences"
    else:
        yield f"Differences ({len(chosen) or 'none'} of {total} at {safe(selection.layer)!r})"
    tree = list(_tree(chosen))
    if selection.full or len(tree) <= _TREE:
        yield from tree
        return
    for number, difference in chosen[:_LISTED]:
        following = len(list(_tree(list(enumerate(difference.consequences)))))
        yield f"{_listed(number, difference)}{f' ({following} follow from it)' if following else ''}"
        yield from _effect(difference)
    left_out = len(chosen) - _LISTED
    yield f"  and {left_out} more; --full shows them" if left_out > 0 else "  --full shows what follows from them"


def _tree(numbered: Sequence[tuple[int, Difference]], indent: str = "") -> Iterator[str]:
    """Differences by their numbers, their consequences indented below them."""
    for number, difference in numbered:
        yield f"{indent}{_listed(number, difference)}"
        yield from (f"{indent}{line}" for line in _effect(difference))
        yield from _tree(list(enumerate(difference.consequences)), indent + "    ")


def _effect(difference: Difference) -> Iterator[str]:
    if difference.effect is not None:
        yield f"     {safe(difference.effect)}"


def _listed(number: int, difference: Difference) -> str:
    mark = "(accepted) " if difference.accepted else ""
    return f"  {number + 1}. [{difference.kind}] {mark}{safe(difference.message)}"


def _ambiguities(report: Report) -> Iterator[str]:
    if report.ambiguities:
        yield "Ambiguities"
    for ambiguity in report.ambiguities:
        yield f"  - {safe(ambiguity.message)}; for example:"
        yield from (f"      {safe(line)}" for line in ambiguity.mapping.splitlines())


def _variables(report: Report, limit: int) -> Iterator[str]:
    assignments = report.assignments
    if not assignments:
        return
    yield "Variables"
    for state in _STATES:
        members = [a for a in assignments if a.state == state]
        if not members:
            continue
        yield f"  {said(report, state)}: {len(members)}{_held(members)}"
        # Their number says enough, unless somebody wants to see everything.
        if state not in _WRITTEN or limit == sys.maxsize:
            yield from (f"    {safe(a.variable)} ({safe(a.recipe)})" for a in members[:limit])
            if len(members) > limit:
                yield f"    and {len(members) - limit} more"
    if report.action != "verify" and any(a.state == "reparametrised" for a in assignments):
        yield f"  {reparametrised(report)}"


def _held(members: Sequence[Assignment]) -> str:
    """How many the model holds now, where that was looked at."""
    looked_at = [a.held for a in members if a.held is not None]
    return f" (the model holds {sum(looked_at)} of them)" if looked_at else ""


def reparametrised(report: Report) -> str:
    """What it means that variables are; of batch norms also what to do."""
    shared = [a.variable for a in report.assignments if a.state == "reparametrised"]
    return REPARAMETRISED + UNCALIBRATED * any(path.rsplit("/", 1)[-1].startswith(_STATISTICS) for path in shared)


def moved(report: Report) -> list[WeightCheck]:
    """Weights of two of a kind that differ, what moved most first."""
    return sorted((weight for weight in report.weight_checks if not weight.ok), key=lambda weight: -weight.rms_rel)


def _weights(report: Report, limit: int) -> Iterator[str]:
    listed = moved(report)
    if not listed:
        return
    yield "Weights that differ (root mean square of the change, relative to the first's)"
    for weight in listed[:limit]:
        name = short_name(weight.tflite)
        other = f" / {short_name(weight.keras)}" if weight.keras != weight.tflite else ""
        # A variable's name says what it is, a tensor's may be that of what takes it.
        role = "" if weight.tflite_op is None else f", {weight.role}"
        yield f"  {weight.rms_rel:>8.2%}  {safe(name + other + role)} {list(weight.shape)}"
    if len(listed) > limit:
        yield f"  and {len(listed) - limit} more"


def _constants(report: Report, limit: int) -> Iterator[str]:
    states = Counter(c.state for c in report.constants)
    if not states:
        return
    yield f"Constants of the file: {', '.join(f'{count} {state}' for state, count in sorted(states.items()))}"
    unexplained = [c for c in report.constants if c.state == "unexplained"]
    yield from (f"  unexplained: tensor {c.tensor} {safe(called(c.name))}".rstrip() for c in unexplained[:limit])
    if len(unexplained) > limit:
        yield f"  and {len(unexplained) - limit} more"


def _matches(report: Report) -> Iterator[str]:
    steps = Counter(match.step for match in report.matches)
    if steps:
        yield f"Matches by step: {', '.join(f'{count} {safe(step)}' for step, count in steps.most_common())}"
