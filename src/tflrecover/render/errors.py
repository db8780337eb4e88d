"""Which row of a report the numbers of a check stand at."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tflrecover.checks import Check
    from tflrecover.report import Report


def by_row(report: Report) -> dict[int, Check]:
    """Number of a row to its check; of several, one that is out of tolerance.

    A fused operator is several rows; the numbers are those of the last, which makes the tensor.
    """
    places = {
        (row.tflite.index, row.tflite.name): number for number, row in enumerate(report.rows) if row.tflite is not None
    }
    found: dict[int, Check] = {}
    for check in sorted(report.checks, key=lambda check: check.ok, reverse=True):
        number = places.get((check.tflite_op, check.tflite_name))
        if number is not None:
            found[number] = check
    return found
