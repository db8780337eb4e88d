"""Compares every place that both sides can show, in two ways.

End to end: both sides run on the same inputs of the network. That is what a user of the model gets; behind the first
rounding all errors are mixed. Alone: what lies between a place and those right before it is run on the file's own
values there. So each error shows where it comes in and nowhere else, however deep the network; and as these parts
cover everything between inputs and outputs, the whole agrees if all of them do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tflrecover.comparison import Comparison
from tflrecover.ir import Check
from tflrecover.verification.allowance import clipped
from tflrecover.verification.both import Both, largest, run_both
from tflrecover.verification.sites import Site
from tflrecover.weight import Array


def check_all(comparison: Comparison, arrays: Sequence[Array]) -> tuple[tuple[Check, ...], tuple[str, ...]]:
    """Checks in file order, and notes on what could not be checked.

    Args:
        comparison: File and model.
        arrays: One per input of the file, real numbers, in file order.

    Raises:
        EvaluationError: LiteRT cannot run the file, or inputs are not paired.
        InputMismatch: the model does not take inputs of these shapes.
    """
    both = run_both(comparison, arrays)
    ends, alone = dict(both.end_to_end()), dict(both.alone())
    return tuple(_check(both, site, ends[site.value], *alone[site.value]) for site in both.sites), both.notes


def _check(both: Both, site: Site, end: Array, alone: Array, allowed: float) -> Check:
    """The numbers of one site."""
    want = both.array(site.tensor)
    max_abs, max_rel, rms = errors(want, end)
    worst = errors(want, clipped(alone, both.comparison.file.graph.values[site.tensor]))[0]
    peak = largest(want) or 1.0
    return Check(
        site.op,
        site.type,
        site.name,
        site.layer,
        max_abs,
        max_rel,
        rms,
        worst / peak,
        allowed / peak,
        worst <= allowed,
        site.output,
    )


def errors(want: Array, got: Array) -> tuple[float, float, float]:
    """``(largest absolute, that relative to the largest magnitude, RMS relative to the RMS)``; inf for other shapes."""
    if want.size != got.size or not np.isfinite(got.astype(np.float64)).all():
        return (float("inf"),) * 3
    a, b = want.astype(np.float64).ravel(), got.astype(np.float64).ravel()
    if not a.size:
        return 0.0, 0.0, 0.0
    worst, peak = float(np.abs(a - b).max()), float(np.abs(a).max())
    rms, power = float(np.sqrt(np.mean((a - b) ** 2))), float(np.sqrt(np.mean(a**2)))
    return worst, worst / (peak or 1.0), rms / (power or 1.0)
