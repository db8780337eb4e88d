"""What a diff, a port or a verification found. Plain data; renderers only draw it."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tflrecover.checks import Check, WeightCheck
from tflrecover.ir import (
    Ambiguity,
    Assignment,
    ConstantUse,
    Difference,
    Match,
    OperatorCounts,
    Shape,
)
from tflrecover.render import text
from tflrecover.saving import require_folder, require_place, write_atomically

Action = Literal["diff", "port", "verify"]


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """A canonical operator of one side, as it is shown.

    Attributes:
        index: Of what it was made from in the file, or None.
        type: Canonical type.
        name: Name of its first output.
        layer: Keras layer path, or None.
        shape: Of its first output, or None.
        dtype: Of its first output.
        attributes: By name.
        operands: Numbers of the rows that it takes something from, in operand order; inputs and constants left out.
    """

    index: int | None
    type: str | int
    name: str
    layer: str | None
    shape: Shape | None
    dtype: str | int
    attributes: Mapping[str, Any] = field(default_factory=dict)
    operands: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A pair of canonical operators, or one without a partner.

    Attributes:
        tflite: The file's, or None.
        keras: The model's, or None.
        step: The matching step that paired them for sure; empty where that is not sure.
        evidence: Its phrase for a human.
        differing: Attributes that must be taken from the file for both to compute the same.
        differences: Numbers of the report's differences, from 0, that are told here.
        following: Numbers of those whose consequences are told here.
        variables: Keras variables that the model's operator computes with, in operand order.
    """

    tflite: Cell | None
    keras: Cell | None
    step: str = ""
    evidence: str = ""
    differing: tuple[str, ...] = ()
    differences: tuple[int, ...] = ()
    following: tuple[int, ...] = ()
    variables: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """One of ``different missing extra following unsure equal``, or ``scaling``: one on an edge that is equal."""
        mine, theirs = self.tflite, self.keras
        if mine is not None and theirs is not None:
            if self.differences or self.differing or mine.type != theirs.type:
                return "different"
            if self.following or mine.shape != theirs.shape:
                return "following"
            return "equal" if self.step or mine.type == "AFFINE" else "unsure"
        alone = mine or theirs
        if alone is not None and alone.type == "AFFINE" and not self.differences and not self.following:
            return "scaling"
        return "missing" if theirs is None else "extra"


@dataclass(frozen=True, slots=True)
class Distribution:
    """How numbers are distributed.

    Attributes:
        minimum: The least of them.
        maximum: The greatest.
        mean: Their mean.
        std: Their standard deviation.
        histogram: How many lie in each of the bins, which are equally wide; numbers that are not finite in none.
    """

    minimum: float
    maximum: float
    mean: float
    std: float
    histogram: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class WeightStatistics:
    """The numbers of one Keras variable: the file's, in the variable's own layout, and the model's before any port.

    Attributes:
        variable: Unique path, as in the assignments.
        shape: Of the variable.
        dtype: Of the variable.
        numbers: How many of its numbers were looked at: evenly spaced ones where there are many.
        ends: Where the first bin of both histograms begins, and the last one ends.
        file: Of what the file would assign; None where it assigns nothing.
        keras: Of what the model had.
    """

    variable: str
    shape: Shape
    dtype: str
    numbers: int
    ends: tuple[float, float]
    file: Distribution | None
    keras: Distribution


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """The outcome of :func:`tflrecover.diff`, :func:`~tflrecover.port` or :func:`~tflrecover.verify`.

    Attributes:
        action: ``"diff"``, ``"port"`` or ``"verify"``.
        source: The file, as given; of two models the name of the first.
        model: Name of the Keras model; of two files the second, as given.
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
        rows: The canonical operators of both sides in the file's order, pairs side by side.
        weights: Statistics of the numbers of every Keras variable, the file's against the model's.
        weight_checks: One per pair of weights of two files or of two models.
        sides: What the two sides are called: ``("file", "Keras")``, or ``("first", "second")`` of two of a kind. What
            is said of the file is then said of the first, and what is said of the model of the second.
        ok: Nothing differs (but for what the mapping accepts), nothing is ambiguous, unresolved or unexplained, and
            every check passed, of which at least one decides; of two of a kind also that no weight differs.
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
    rows: tuple[Row, ...] = ()
    weights: tuple[WeightStatistics, ...] = ()
    weight_checks: tuple[WeightCheck, ...] = ()
    sides: tuple[str, str] = ("file", "Keras")

    @property
    def ok(self) -> bool:
        """Whether the file and the model are the same network, completely and beyond doubt."""
        return (
            all(d.accepted for d in self.differences)
            and not self.ambiguities
            and not any(a.state == "unresolved" for a in self.assignments)
            and not any(c.state == "unexplained" for c in self.constants)
            and all(c.ok for c in self.checks)
            and (self.action != "verify" or any(c.decides for c in self.checks))
            and all(w.ok for w in self.weight_checks)
        )

    @property
    def ranked(self) -> list[tuple[int, Difference]]:
        """The differences with their numbers from 0 in file order, what changes the outputs most first."""
        numbered = list(enumerate(self.differences))
        return sorted(numbered, key=lambda item: math.inf if item[1].effect is None else item[1].effect.rank)

    @property
    def is_pair(self) -> bool:
        """Whether two files, or two models, were compared."""
        return self.sides == PAIR

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

    @property
    def unchecked(self) -> list[Check]:
        """Checks that show nothing, because rounding explains too much of what the file has there."""
        return [check for check in self.checks if check.is_open]

    def __str__(self) -> str:
        return text.summary(self)

    def __repr__(self) -> str:
        return f"<{self.action} report: {text.headline(self)}>"

    def __bool__(self) -> bool:
        # Of a diff, "true" could as well mean that there are differences.
        raise TypeError("a report is neither true nor false: ask for report.ok, or report.differences")

    def to_text(self, *, full: bool = False, only_differences: bool = False, layer: str | None = None) -> str:
        """The report for a terminal, without colours; both graphs side by side are in it.

        Args:
            full: Nothing is cut or folded, and it also says by which steps the operators were matched.
            only_differences: The list of differences and the operators that belong to them, nothing else.
            layer: A pattern of layer paths or of tensor names of the file, as in ``fnmatch``; operators and
                differences that do not match are left out.

        Raises:
            UnknownLayer: nothing matches the pattern.
        """
        from tflrecover.render.selection import Selection

        return text.full(self, Selection(full, only_differences, layer))

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
            **{name: plain(getattr(self, name)) for name in _SECTIONS},
            "first_divergence": plain(self.first_divergence),
        }

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """The report as JSON.

        Args:
            path: Where to write it too; the file appears complete or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        content = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        if path is not None:
            require_place(path)
            write_atomically(path, content)
        return content

    def to_html(self, path: str | os.PathLike[str]) -> None:
        """Writes the report as one HTML page that needs nothing else; docs/report.md says how to move in it.

        Args:
            path: Where to; the file appears complete or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        from tflrecover.render.html import page

        require_place(path)
        write_atomically(path, page(self))

    def to_model_explorer(self, path: str | os.PathLike[str]) -> None:
        """Writes a folder with which Google's Model Explorer shows file and model side by side, differences coloured.

        ``python path/show.py FILE.tflite`` opens it; docs/model-explorer.md says what each file is.

        Args:
            path: The folder; it is made if it is not there. Each file in it appears complete or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        from tflrecover.render.model_explorer import NAMES, folder

        require_folder(path)
        made = folder(self)
        for name in NAMES:
            if name in made:
                write_atomically(Path(path) / name, made[name])
            else:
                (Path(path) / name).unlink(missing_ok=True)

    def _repr_html_(self) -> str:
        """The same page inside a notebook."""
        from tflrecover.render.html import frame

        return frame(self)


PAIR = ("first", "second")
SCHEMA_VERSION = 1
_SECTIONS = (
    "operators",
    "overview",
    "differences",
    "suggestion",
    "ambiguities",
    "assumptions",
    "matches",
    "rows",
    "sides",
    "weight_checks",
    "assignments",
    "weights",
    "constants",
    "checks",
    "notes",
)


def plain(value: Any) -> Any:
    """A value as JSON has it; numbers that JSON lacks become their names."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        return {"shape": list(value.shape), "dtype": str(value.dtype)}
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=str)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"bytes": len(value)}
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
