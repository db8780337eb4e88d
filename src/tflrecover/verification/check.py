"""Compares every place that both sides can show, in two ways.

End to end: both sides run on the same inputs of the network. That is what a user of the model gets; behind the first
rounding all errors are mixed. Alone: what lies between a place and those right before it is run on the file's own
values there. So each error shows where it comes in and nowhere else, however deep the network; and as these parts
cover everything between inputs and outputs, the whole agrees if all of them do.
"""

from __future__ import annotations

import numpy as np

from tflrecover import tolerances
from tflrecover.checks import Check
from tflrecover.stages import stage
from tflrecover.verification.allowance import clipped
from tflrecover.verification.both import Both, largest
from tflrecover.verification.sites import Site
from tflrecover.weight import Array, rms


def check_all(both: Both) -> tuple[Check, ...]:
    """Checks in file order.

    Args:
        both: A run of the file, and the model beside it.

    Raises:
        EvaluationError: TensorFlow cannot run the model.
    """
    stage("running the model, operator by operator")
    ends, alone = dict(both.end_to_end()), dict(both.alone())
    return tuple(_check(both, site, ends[site.value], *alone[site.value]) for site in both.sites)


def unshown(both: Both) -> tuple[str, ...]:
    """A note on the outputs of the file that hold nothing to compare with."""
    ends = [site for site in both.sites if site.output is not None]
    names = [str(end.output) for end in ends if lost(both.array(end.tensor))]
    told = "nothing is shown there; run them on inputs that the network is made for"
    return (f"Outputs {names} of the file are no finite numbers on these inputs: {told}.",) if names else ()


def _check(both: Both, site: Site, end: Array, alone: Array, allowed: float) -> Check:
    """The numbers of one site."""
    want = both.array(site.tensor)
    max_abs, max_rel, rms_rel = errors(want, end)
    got = clipped(alone, both.comparison.file.graph.values[site.tensor])
    worst = errors(want, got)[0]
    if allowed < worst < float("inf") and (moved := both.saturation(site)) is not None:
        # What the file cuts off on the way it cannot show.
        left = np.abs(want.astype(np.float64).ravel() - got.ravel()) - moved.ravel()
        worst = float(np.nanmax(left, initial=0.0))
    magnitude = largest(want)
    peak = magnitude or 1.0
    return Check(
        site.op,
        site.type,
        site.name,
        site.layer,
        max_abs,
        max_rel,
        rms_rel,
        worst / peak,
        allowed / peak,
        # Where the file itself gives no numbers, that the model gives none either shows nothing.
        worst <= allowed and not (site.output is not None and lost(want)),
        site.output,
        "evaluated" if any(site.tensor in op.outputs for op in both.run.evaluated) else "litert",
        allowed <= tolerances.MOST_CHECKED * magnitude,
    )


def errors(want: Array, got: Array) -> tuple[float, float, float]:
    """``(largest absolute, that relative to the largest magnitude, RMS relative to the RMS)``; inf for other shapes.

    Of what is no number or infinite in one, the other must have the same: then it counts as no error.
    """
    if want.size != got.size:
        return (float("inf"),) * 3
    a, b = want.astype(np.float64).ravel(), got.astype(np.float64).ravel()
    finite = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return (float("inf"),) * 3
    a, b = a[finite], b[finite]
    if not a.size:
        return 0.0, 0.0, 0.0
    worst, peak = float(np.abs(a - b).max()), float(np.abs(a).max())
    return worst, worst / (peak or 1.0), rms(a - b) / (rms(a) or 1.0)


def lost(array: Array) -> bool:
    """Whether a result holds what is no finite number, as it does where numbers on the way got too large."""
    return array.dtype.kind == "f" and not np.isfinite(array).all()
