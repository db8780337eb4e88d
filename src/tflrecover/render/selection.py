"""Which part of a report is shown as text, and how much of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from tflrecover.errors import UnknownLayer
from tflrecover.ir import Difference, short_name
from tflrecover.mapping.loader import nearest

if TYPE_CHECKING:
    from tflrecover.report import Report, Row


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a report is shown.

    Attributes:
        full: Nothing is cut and nothing is folded.
        only_differences: Only the differences and the rows that belong to them.
        layer: A pattern (as in ``fnmatch``) of layer paths or of tensor names of the file, or None.
        width: Of the two columns of the graph together, in characters.
    """

    full: bool = False
    only_differences: bool = False
    layer: str | None = None
    width: int = 120

    def require(self, report: Report) -> None:
        """Makes sure that the pattern matches anything.

        Raises:
            UnknownLayer: it matches nothing, which must not look like "no differences".
        """
        if self.layer is None or self.rows(report) or self.differences(report):
            return
        names = [name for row in report.rows for name in _names_of_row(row)]
        raise UnknownLayer(self.layer, nearest(self.layer, dict.fromkeys(names)))

    def rows(self, report: Report) -> list[Row]:
        """The rows whose layer or tensor matches, in the report's order."""
        return [row for row in report.rows if self.layer is None or self._matches(_names_of_row(row))]

    def differences(self, report: Report) -> list[tuple[int, Difference]]:
        """The differences that match or are told in a row that does, by rank, with their numbers in the report."""
        told = {number for row in self.rows(report) for number in (*row.differences, *row.following)}
        return [(n, d) for n, d in report.ranked if self.layer is None or n in told or self._matches(_names(d))]

    def _matches(self, names: Iterator[str]) -> bool:
        pattern = self.layer or ""
        # A path may hold brackets, which a pattern reads as a set of characters.
        return any(name == pattern or fnmatchcase(name, pattern) for name in names)


def _names_of_row(row: Row) -> Iterator[str]:
    if row.keras is not None and row.keras.layer is not None:
        yield row.keras.layer
    if row.tflite is not None:
        yield from (row.tflite.name, short_name(row.tflite.name))


def _names(difference: Difference) -> Iterator[str]:
    yield from filter(None, (difference.keras_layer, *difference.layers, difference.tflite_name))
    for one in difference.consequences:
        yield from _names(one)
