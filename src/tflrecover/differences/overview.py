"""One sentence where a list of differences says little: the two are wholly different."""

from __future__ import annotations

from collections.abc import Sequence

from tflrecover.align import Alignment
from tflrecover.ir import Difference, OperatorCounts, at_operator


def count(alignment: Alignment, in_file: int) -> OperatorCounts:
    """How many operators there are and how many are paired, scalings on edges left out."""
    matched = sum(match.step != "edge" for match in alignment.matches)
    return OperatorCounts(in_file, len(alignment.file), len(alignment.keras), matched)


def is_far_apart(counts: OperatorCounts, differences: Sequence[Difference]) -> bool:
    """Whether the two differ, and fewer than half of the operators of the smaller side match."""
    return bool(differences) and counts.matched * 2 < min(counts.canonical, counts.model)


def overview(counts: OperatorCounts, differences: Sequence[Difference]) -> str:
    """What to say when fewer than half of the operators of the smaller side match; else nothing."""
    if not is_far_apart(counts, differences):
        return ""
    first = differences[0]
    at = f"layer {first.keras_layer!r}"
    if first.tflite_op is not None:
        at = at_operator(first.tflite_op, first.tflite_type, first.tflite_name or "")
    place = "" if first.tflite_op is None and first.keras_layer is None else f"; the first disagreement is at {at}"
    return (
        f"only {counts.matched} of the file's {counts.canonical} canonical operators match: "
        f"this is probably another architecture{place}"
    )
