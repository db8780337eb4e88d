"""What a comparison of any two networks gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tflrecover.align import Alignment
from tflrecover.checks import WeightCheck
from tflrecover.comparison.forms import Facing
from tflrecover.ir import Ambiguity, Assignment, ConstantUse, Difference, Match, OperatorCounts
from tflrecover.mapping import ResolvedMapping
from tflrecover.transfer import Plan

if TYPE_CHECKING:
    from tflrecover.tracing.standin import StandIn


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome(ABC):
    """What a comparison of any two networks gives.

    Attributes:
        both: Both sides, and the mapping.
        alignment: Pairs of canonical operators.
        plan: New values of variables, and equations that do not hold.
        differences: Roots in file order, accepted ones marked.
        ambiguities: What structure cannot decide.
        notes: Sentences for the user.
        operators: How many operators there are on either side, and how many match.
        overview: A sentence where the two are wholly different; empty otherwise.
        assumptions: What was taken on trust, because nothing in the file proves or refutes it.
        suggestion: Mapping lines under which what differs is wanted, where all of it is at the end of the network.
        constants: The state of every constant of the file.
        weights: One per pair of weights of two of a kind.
    """

    both: Facing
    alignment: Alignment
    plan: Plan
    differences: tuple[Difference, ...]
    ambiguities: tuple[Ambiguity, ...]
    notes: tuple[str, ...]
    operators: OperatorCounts
    overview: str = ""
    assumptions: tuple[str, ...] = ()
    suggestion: str = ""
    constants: tuple[ConstantUse, ...] = ()
    weights: tuple[WeightCheck, ...] = ()

    @abstractmethod
    def again(self, stand_ins: Sequence[StandIn]) -> Outcome:
        """The same on the same inputs, with other layers in the places of some of the model's."""

    @property
    def mapping(self) -> ResolvedMapping:
        """The mapping with names resolved."""
        return self.both.mapping

    @property
    def matches(self) -> tuple[Match, ...]:
        """Sure pairs of operators, scalings on edges included."""
        sure = {match.tflite for match in self.alignment.matches}
        scalings = ((f, k) for f, k in self.plan.scalings.items() if f not in sure)
        return (*self.alignment.matches, *(Match(f, k, "edge", "on the same edge of both graphs") for f, k in scalings))

    @property
    def assignments(self) -> tuple[Assignment, ...]:
        """One per Keras variable."""
        return self.plan.assignments


def accepted(difference: Difference, mapping: ResolvedMapping) -> Difference:
    """The difference, marked where the mapping wants it."""
    is_wanted = difference.keras_layer in mapping.skip or any(a.accepts(difference) for a in mapping.accept)
    return replace(difference, accepted=True) if is_wanted else difference
