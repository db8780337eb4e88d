"""What a diff, a port or a verification found. Plain data; renderers only draw it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tflrecover.ir import Ambiguity, Assignment, Check, ConstantUse, Difference, Match


@dataclass(frozen=True, eq=False)
class Report:
    """The outcome of :func:`tflrecover.diff`, :func:`~tflrecover.port` or :func:`~tflrecover.verify`.

    Attributes:
        action: ``"diff"``, ``"port"`` or ``"verify"``.
        source: The file, as given.
        model: Name of the Keras model.
        matches: Pairs of operators, in file order.
        differences: One per root cause, in file order; accepted ones included and marked.
        ambiguities: What structure cannot decide.
        assignments: One per Keras variable.
        constants: One per constant tensor of the file.
        checks: Numbers per matched operator (``verify`` only), in file order.
        notes: Sentences that a user should read: quantization, input order, what was not checked.
        ok: Nothing differs (but for what the mapping accepts), nothing is ambiguous, unresolved or unexplained, and
            every check passed.
    """

    action: str
    source: str
    model: str
    matches: tuple[Match, ...] = ()
    differences: tuple[Difference, ...] = ()
    ambiguities: tuple[Ambiguity, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    constants: tuple[ConstantUse, ...] = ()
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()
    applied: bool = field(default=False)

    @property
    def ok(self) -> bool:
        """Whether the file and the model are the same network, completely and beyond doubt."""
        return (
            all(d.accepted for d in self.differences)
            and not self.ambiguities
            and not any(a.state == "unresolved" for a in self.assignments)
            and not any(c.state == "unexplained" for c in self.constants)
            and all(c.ok for c in self.checks)
        )

    @property
    def first_divergence(self) -> Check | None:
        """The first operator in file order whose output is out of tolerance, or None."""
        return next((c for c in self.checks if not c.ok), None)
