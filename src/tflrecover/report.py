"""What a diff, a port or a verification found. Plain data; renderers only draw it."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tflrecover.ir import Ambiguity, Assignment, Check, ConstantUse, Difference, Match, OperatorCounts
from tflrecover.render import text

Action = Literal["diff", "port", "verify"]


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
        applied: Whether the model holds the weights now (``port`` only).
        operators: How many operators there are on either side, and how many match.
        overview: A sentence where file and model are wholly different; empty otherwise.
        assumptions: What was taken on trust, because nothing in the file proves or refutes it.
        suggestion: Mapping lines under which what differs is wanted, where all of it is at the end of the network.
        ok: Nothing differs (but for what the mapping accepts), nothing is ambiguous, unresolved or unexplained, and
            every check passed.
    """

    action: Action
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
    operators: OperatorCounts | None = None
    overview: str = ""
    assumptions: tuple[str, ...] = ()
    suggestion: str = ""

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
    def unported(self) -> bool:
        """Whether nothing is wrong but that variables do not hold the file's weights (``verify`` only)."""
        return (
            all(d.accepted for d in self.differences)
            and not self.ambiguities
            and any(a.held is False for a in self.assignments)
            and not any(a.state == "unresolved" for a in self.assignments)
        )

    @property
    def first_divergence(self) -> Check | None:
        """The first operator in file order whose output is out of tolerance, or None."""
        return next((c for c in self.checks if not c.ok), None)

    def __str__(self) -> str:
        return text.summary(self)

    def to_text(self, *, full: bool = False) -> str:
        """The report for a terminal, without colours.

        Args:
            full: Nothing is cut, and it also says by which steps the operators were matched.
        """
        return text.full(self, is_full=full)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-ready values, in a stable order; arrays appear as shape and dtype only.

        The format is that of ``docs/report.schema.json``; ``tflrecover_report`` is its version.
        """
        return {
            "tflrecover_report": SCHEMA_VERSION,
            "action": self.action,
            "source": self.source,
            "model": self.model,
            "ok": self.ok,
            "applied": self.applied,
            **{name: _plain(getattr(self, name)) for name in _SECTIONS},
            "first_divergence": _plain(self.first_divergence),
        }

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """The report as JSON.

        Args:
            path: Where to write it too; the file appears complete or not at all.
        """
        content = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        if path is not None:
            write_atomically(path, content)
        return content


SCHEMA_VERSION = 1
_SECTIONS = (
    "operators",
    "overview",
    "differences",
    "suggestion",
    "ambiguities",
    "assumptions",
    "matches",
    "assignments",
    "constants",
    "checks",
    "notes",
)


def _plain(value: Any) -> Any:
    """A value as JSON has it; numbers that JSON lacks become their names."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        return {"shape": list(value.shape), "dtype": str(value.dtype)}
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item) for item in value), key=str)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"bytes": len(value)}
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def write_atomically(path: str | os.PathLike[str], content: str) -> None:
    """Writes a text file that appears complete or not at all."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # A folder of its own: the file gets the permissions that any new file would have.
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / target.name
        made.write_text(content, encoding="utf-8")
        made.replace(target)
