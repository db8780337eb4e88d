"""By which of two readings differences are told, where what is seen from either end of the networks is not the same."""

from __future__ import annotations

from collections.abc import Sequence

from tflrecover.align import Alignment
from tflrecover.differences.find import find
from tflrecover.differences.layers import Layers
from tflrecover.ir import Difference
from tflrecover.transfer.state import Failure


def read(alignment: Alignment, failed: Sequence[Failure], layers: Layers) -> tuple[Alignment, tuple[Difference, ...]]:
    """The alignment by which the fewest roots are found, and those.

    Of two layers alike in a row, of which one is missing, each may be the one that is there: what is seen from the
    start of a network is not what is seen from its end, and one of the two has other layers take the wrong one.

    Args:
        alignment: The pairs.
        failed: Equations that do not hold.
        layers: The model's layers by path.
    """
    found = find(alignment, failed, layers)
    if len(found) > 1 and alignment.otherwise is not None:
        other = find(alignment.otherwise, failed, layers)
        if 0 < len(other) < len(found):
            return alignment.otherwise, other
    return alignment, found
