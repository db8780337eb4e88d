"""A report as one HTML page that needs no network: template, style and script are beside this file."""

from __future__ import annotations

import base64
import hashlib
import html
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tflrecover.checks import Check
from tflrecover.ir import short_name
from tflrecover.render import text
from tflrecover.render.errors import by_row
from tflrecover.render.values import safe, shape_text, value_text

if TYPE_CHECKING:
    from tflrecover.report import Cell, Distribution, Report, Row, WeightStatistics

# The bar of an error ends at this many times its tolerance, and begins at one part in as many.
_FURTHEST = 1e4
_DIGITS = 36


def page(report: Report) -> str:
    """The report as a page that stands alone."""
    style, script = _joined("report.css"), _joined("elements.js", "lanes.js", "weights.js", "report.js")
    anchors = _anchors(report.rows)
    lines = (line.strip() for line in text.counts(report))
    content = {
        "verdict": text.verdict(report),
        "counts": [line.partition(": ") for line in lines if line != safe(report.overview)],
        "wanted": text.WANTED,
        "partly": text.PARTLY,
        "reparametrised": text.reparametrised(report),
        "variables": _by_state(report),
        "moved": text.moved(report),
        "constants": Counter(c.state for c in report.constants),
        "unexplained": [c for c in report.constants if c.state == "unexplained"],
        "places": _places(report.rows, anchors),
        "data": {
            "rows": _clean(list(_rows(report, anchors))),
            "differences": _clean([(d.message, d.accepted) for d in report.differences]),
            "sides": report.sides,
        },
        "weights": _clean(list(map(_weight, report.weights))),
        "style": style,
        "script": script,
        # Nothing is fetched, and no script runs but this one, whatever names a file has.
        "policy": f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}",
    }
    return _environment().get_template("report.html.j2").render(report=report, **content)


def frame(report: Report) -> str:
    """The page inside a notebook, apart from the notebook's own document."""
    inside = html.escape(page(report))
    return (
        f'<iframe title="tflrecover report" sandbox="allow-scripts" srcdoc="{inside}" '
        'style="width: 100%; height: 720px; border: 1px solid #8884"></iframe>'
    )


def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("tflrecover", "render"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else safe(value),
    )
    found.filters.update(code=_code, short=short_name)
    found.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "ensure_ascii": False, "allow_nan": False}
    return found


def _joined(*names: str) -> Markup:
    return Markup("\n".join(files(__package__).joinpath(name).read_text("utf-8") for name in names))


def _digest(content: str) -> str:
    """A source of a content security policy: this very text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _code(message: str) -> Markup:
    """A message, escaped, with what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(safe(message)))))


def _clean(value: Any) -> Any:
    """The same with control characters in texts made visible."""
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    return safe(value) if isinstance(value, str) else value


def _by_state(report: Report) -> list[tuple[str, list[Any]]]:
    """Variables by what becomes of them, what lacks an answer first."""
    states: dict[str, list[Any]] = {"unresolved": [], "kept": [], "reparametrised": [], "assigned": []}
    for assignment in report.assignments:
        states[assignment.state].append(assignment)
    return [(text.said(report, state), members) for state, members in states.items() if members]


def _anchors(rows: Sequence[Row]) -> list[str]:
    """One per row: ``op-12`` is what operator 12 of the file became, ``op-12.2`` the second part of it."""
    seen: Counter[str] = Counter()
    found = []
    for row in rows:
        name = "extra" if row.tflite is None else f"op-{'unknown' if row.tflite.index is None else row.tflite.index}"
        seen[name] += 1
        found.append(name if seen[name] == 1 and row.tflite is not None else f"{name}.{seen[name]}")
    return found


def _places(rows: Sequence[Row], anchors: Sequence[str]) -> dict[int, str]:
    """Number of a difference to where it is shown first."""
    found: dict[int, str] = {}
    for row, anchor in zip(rows, anchors, strict=True):
        for number in row.differences:
            found.setdefault(number, anchor)
    return found


def _rows(report: Report, anchors: Sequence[str]) -> Iterator[dict[str, Any]]:
    checks, first = by_row(report), report.first_divergence
    weights = {one.variable: number for number, one in enumerate(report.weights)}
    for number, (row, anchor) in enumerate(zip(report.rows, anchors, strict=True)):
        check = checks.get(number)
        shown = {
            "id": anchor,
            "state": row.state,
            "file": _cell(row.tflite),
            "keras": _cell(row.keras),
            "attributes": list(_attributes(row)),
            "match": f"{row.step}: {row.evidence}" if row.evidence else row.step,
            "differences": row.differences,
            "following": row.following,
            "weights": [weights[path] for path in row.variables if path in weights],
            "check": _check(check, is_first=check is first) if check is not None else None,
        }
        # What is empty is left out: most of most rows is.
        yield {key: value for key, value in shown.items() if value}


def _cell(cell: Cell | None) -> dict[str, Any] | None:
    if cell is None:
        return None
    found = {
        "index": cell.index,
        "type": str(cell.type),
        "name": cell.name,
        "layer": cell.layer,
        "shape": shape_text(cell.shape),
        "dtype": str(cell.dtype),
        "operands": cell.operands,
    }
    return {key: value for key, value in found.items() if value not in (None, "", ())}


def _attributes(row: Row) -> Iterator[list[Any]]:
    """Name, the file's value, the model's, and whether they must be made equal; a value of one side only is null."""
    sides = [cell.attributes if cell is not None else {} for cell in (row.tflite, row.keras)]
    for name in dict.fromkeys((*sides[0], *sides[1])):
        mine, theirs = (value_text(side[name]) if side.get(name) is not None else None for side in sides)
        if mine is not None or theirs is not None:
            yield [name, mine, theirs, name in row.differing]


def _weight(weight: WeightStatistics) -> dict[str, Any]:
    """Figures as texts, and histograms of both sides as high as each other."""
    sides = {"file": weight.file, "keras": weight.keras}
    highest = max(1, *(count for side in sides.values() if side is not None for count in side.histogram))
    found = {
        "variable": weight.variable,
        "type": f"{shape_text(weight.shape)} {weight.dtype}",
        "ends": [f"{end:.3g}" for end in weight.ends],
        **{name: _distribution(side, highest) for name, side in sides.items() if side is not None},
    }
    if weight.numbers < (size := math.prod(weight.shape)):
        found["sampled"] = f"{weight.numbers:,} of {size:,} numbers"
    return found


def _distribution(side: Distribution, highest: int) -> list[str]:
    """Heights of the bars, the least, the greatest, mean, deviation: a short list, for there may be thousands."""
    # A bin with anything in it is not empty.
    bars = "".join(np.base_repr(math.ceil(count / highest * (_DIGITS - 1)), _DIGITS) for count in side.histogram)
    return [bars, *(f"{figure:.3g}" for figure in (side.minimum, side.maximum, side.mean, side.std))]


def _check(check: Check, *, is_first: bool) -> dict[str, Any]:
    numbers = {name: f"{getattr(check, name):.3g}" for name in ("alone", "tolerance", "max_abs", "max_rel", "rms_rel")}
    found = {
        **numbers,
        "heat": round(_heat(check), 3),
        "ok": check.ok,
        "open": check.is_open or None,
        "first": is_first,
        "output": check.output,
        "reference": check.reference if check.reference != "litert" else "",
    }
    return {key: value for key, value in found.items() if value not in (None, "")}


def _heat(check: Check) -> float:
    """Length of the bar of an error, from 0 to 1: 0.5 is the tolerance, and the scale is logarithmic."""
    if check.alone == 0:
        return 0.0
    ratio = check.alone / check.tolerance if check.tolerance else math.inf
    if not math.isfinite(ratio):
        return 1.0
    return min(max(0.5 + math.log(ratio, _FURTHEST) / 2, 0.02), 1.0)
