"""A difference on its way into a report."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from tflrecover.ir import Difference


@dataclass(frozen=True, slots=True)
class Found:
    """A difference with its place in the file, for ordering and grouping.

    Attributes:
        place: Node of the file.
        difference: The difference.
        is_root: Whether nothing else is known to be why.
        said: What it says, whatever the operator; None: nothing that another could say again.
    """

    place: int
    difference: Difference
    is_root: bool = True
    said: Hashable = None
