"""What structure leaves open is tried: a choice is right when all weights fit, which is checked like any other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tflrecover.align import Alignment
from tflrecover.transfer.equations import System, equations
from tflrecover.transfer.gauges import gauges
from tflrecover.transfer.plan import Plan

# Look-alikes of which one is shared with another place, or has another constant, are few.
_MOST_TRIES = 24


@dataclass(frozen=True, eq=False)
class Settled:
    """An alignment and what its equations gave."""

    alignment: Alignment
    system: System
    plan: Plan

    @property
    def misfits(self) -> int:
        """How much does not fit."""
        return len(self.plan.failed) + len(self.alignment.odd)


def settle(
    alignment: Alignment, again: Callable[[Sequence[int]], Alignment], solved: Callable[[System], Plan]
) -> Settled:
    """The first alignment whose weights all fit, or the one with the fewest that do not.

    Args:
        alignment: The one with the first choice everywhere.
        again: Choices between look-alikes to alignment.
        solved: Equations to plan.
    """
    best = _with_gauges(alignment, solved)
    picks: list[int] = []
    tries = 0
    while best.misfits and best.alignment.complete and len(picks) < len(best.alignment.choices):
        chosen = 0
        for pick in range(1, best.alignment.choices[len(picks)]):
            tries += 1
            tried = _with_gauges(again((*picks, pick)), solved) if tries <= _MOST_TRIES else best
            if tried.misfits < best.misfits:
                best, chosen = tried, pick
        picks.append(chosen)
    return best


def _with_gauges(alignment: Alignment, solved: Callable[[System], Plan]) -> Settled:
    """Solved; with the scalings between linear operators left open, if nothing else and everything then holds."""
    system = equations(alignment)
    plain = Settled(alignment, system, solved(system))
    found = gauges(alignment) if plain.misfits else {}
    if not found or any(link.source not in found for link in alignment.odd):
        return plain
    system = equations(alignment, found)
    open_ = Settled(replace(alignment, odd=()), system, solved(system))
    return plain if open_.misfits else open_
