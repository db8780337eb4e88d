"""A report for Google's Model Explorer: the model as a graph beside the file itself, and data that colour both.

Model Explorer opens a ``.tflite`` file by itself and calls its nodes by the numbers of the operators, so the file's
side needs no graph of ours. An operator of the model has the number of the operator that it is paired with, as far as
that is free: "match node id" is then enough to move on both sides, and the mapping gives the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from tflrecover.render.errors import by_row
from tflrecover.render.text import verdict
from tflrecover.render.values import cut, safe

if TYPE_CHECKING:
    from tflrecover.report import Cell, Report, Row

# What may be in the folder; what a report does not have is not left there from an earlier one.
NAMES = (
    "keras.json",
    "sync_navigation.json",
    "tflite_differences.json",
    "keras_differences.json",
    "tflite_advice.json",
    "keras_advice.json",
    "tflite_errors.json",
    "keras_errors.json",
    "show.py",
)

# The colour of a node by its state; what has none is not coloured.
STATES = {
    "different": "#e53935",
    "missing": "#43a047",
    "extra": "#8e24aa",
    "following": "#ffcc80",
    "unsure": "#fff59d",
    "accepted": "#b0bec5",
}
WITHIN, BEYOND, FIRST = "#c8e6c9", "#ef9a9a", "#b71c1c"

# Model Explorer cuts a namespace at slashes, takes what follows a semicolon, and escapes with a backslash.
_PART = str.maketrans({"/": "|", ";": ",", "\\": "|"})


def folder(report: Report) -> dict[str, str]:
    """Name to contents of the files that show a report."""
    nodes = _Nodes.of(report.rows)
    made: dict[str, Any] = {"keras.json": [_graph(report, nodes)], "sync_navigation.json": _navigation(nodes)}
    for side, listed in (("tflite", nodes.tflite), ("keras", nodes.keras)):
        keys = _keys(report, listed) if side == "tflite" else {node: node for node in listed if node is not None}
        rows = _rows(report.rows, listed)
        made[f"{side}_differences.json"] = _data("differences", keys, _states(report, rows))
        made[f"{side}_advice.json"] = _data("what to change", keys, _advice(report, rows))
        if report.checks:
            made[f"{side}_errors.json"] = _data("error alone (red: beyond rounding)", keys, _errors(report, listed))
    script = files(__package__).joinpath("model_explorer_show.py").read_text("utf-8")
    return {**{name: json.dumps(content) + "\n" for name, content in made.items()}, "show.py": script}


@dataclass(frozen=True, slots=True)
class _Nodes:
    """Ids of nodes, one of either side per row, None where there is none.

    Attributes:
        tflite: Numbers of operators of the file; several rows may be of one.
        keras: Each is there once.
    """

    tflite: tuple[str | None, ...]
    keras: tuple[str | None, ...]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> _Nodes:
        tflite = tuple(None if (cell := row.tflite) is None or cell.index is None else str(cell.index) for row in rows)
        # Of several rows of one operator the first has its number. A word is not the number of one of the constants.
        first: dict[str | None, int] = {}
        for number, (row, node) in enumerate(zip(rows, tflite, strict=True)):
            if row.keras is not None:
                first.setdefault(node, number)
        keras = [node if node is not None and first.get(node) == i else f"row {i}" for i, node in enumerate(tflite)]
        return cls(tflite, tuple(None if row.keras is None else node for row, node in zip(rows, keras, strict=True)))


def _rows(rows: Sequence[Row], nodes: Iterable[str | None]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row, node in zip(rows, nodes, strict=True):
        if node is not None:
            found.setdefault(node, []).append(row)
    return found


def _navigation(nodes: _Nodes) -> dict[str, Any]:
    """Which nodes are selected together; a node without a partner selects nothing."""
    pairs: dict[str, list[str]] = {}
    for file, keras in zip(nodes.tflite, nodes.keras, strict=True):
        if file is not None and keras is not None:
            pairs.setdefault(file, []).append(keras)
    entries = [{"leftNodeIds": [file], "rightNodeIds": listed} for file, listed in pairs.items()]
    return {"type": "sync_navigation", "mappingEntries": entries, "disableMappingFallback": True}


def _graph(report: Report, nodes: _Nodes) -> dict[str, Any]:
    """The model's canonical operators, layers as namespaces."""
    told = {"model": report.model, "file": report.source, "verdict": verdict(report)}
    return {
        "id": "keras",
        "nodes": [
            _node(nodes, number, row, row.keras) for number, row in enumerate(report.rows) if row.keras is not None
        ],
        "groupNodeAttributes": {"": {name: safe(value) for name, value in told.items()}},
    }


def _node(nodes: _Nodes, number: int, row: Row, cell: Cell) -> dict[str, Any]:
    layers = [safe(part).translate(_PART) for part in (cell.layer or "").split("/") if part]
    return {
        "id": nodes.keras[number],
        "label": " ".join((safe(cell.type), *layers[-1:])),
        "namespace": "/".join(layers),
        "attrs": [{"key": safe(name), "value": _shown(value)} for name, value in _attributes(row, cell)],
        "incomingEdges": [
            {"sourceNodeId": nodes.keras[operand], "sourceNodeOutputId": "0", "targetNodeInputId": str(slot)}
            for slot, operand in enumerate(cell.operands)
        ],
        "outputsMetadata": [{"id": "0", "attrs": [{"key": "tensor_shape", "value": _tensor(cell)}]}],
    }


def _attributes(row: Row, cell: Cell) -> Iterator[tuple[str, Any]]:
    file = row.tflite
    yield "layer", cell.layer or ""
    for name, value in cell.attributes.items():
        if file is not None and name in row.differing:
            yield name, f"{_shown(value)}, in the file {_shown(file.attributes.get(name))}"
        elif value is not None:
            yield name, value
    if file is not None:
        yield "in the file", f"operator {file.index} ({file.type}) {file.name}"
        yield "matched by", f"{row.step}: {row.evidence}" if row.step else "not sure"


def _tensor(cell: Cell) -> str:
    return f"{safe(cell.dtype)}[{'?' if cell.shape is None else ','.join(map(str, cell.shape))}]"


def _shown(value: Any) -> str:
    from tflrecover.report.report import plain

    return cut(safe(plain(value)))


def _keys(report: Report, nodes: Iterable[str | None]) -> dict[str, str]:
    """What node data call a node of the file.

    A key that is the name of a tensor means that tensor to Model Explorer, and in files that came from ONNX names are
    numbers. The operator of such a number is called by the name of what it makes.
    """
    made = {node: row.tflite.name for row, node in zip(report.rows, nodes, strict=True) if node and row.tflite}
    names = {*made.values(), *(constant.name for constant in report.constants)}
    return {node: name if name and node in names else node for node, name in made.items()}


def _data(name: str, keys: Mapping[str, str], results: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "results": {keys[node]: told for node, told in results.items()},
        # Sums and percentages of a sum: of errors they say nothing.
        "hideInAggregatedStatsTable": True,
        "hideInChildrenStatsTable": True,
        # A folded layer says how many of its nodes are in which state.
        "showExpandedSummaryOnGroupNode": True,
    }


def _states(report: Report, rows: Mapping[str, Sequence[Row]]) -> dict[str, dict[str, Any]]:
    states = {node: _state(report, listed) for node, listed in rows.items()}
    return {node: {"value": state, "bgColor": STATES[state]} for node, state in states.items() if state in STATES}


def _state(report: Report, rows: Sequence[Row]) -> str:
    """That of a row; of an operator that is several rows, what is worst to tell of all of it."""
    told = [report.differences[number].accepted for row in rows for number in row.differences]
    found = {row.state for row in rows}
    if told and all(told):
        return "accepted"
    if len(found) == 1:
        return found.pop()
    if found - {"equal", "scaling", "following", "unsure"}:
        return "different"
    return next((state for state in ("following", "unsure") if state in found), "equal")


def _advice(report: Report, rows: Mapping[str, Sequence[Row]]) -> dict[str, dict[str, Any]]:
    found = {node: list(dict.fromkeys(_told(report, listed))) for node, listed in rows.items()}
    return {node: {"value": "; ".join(told)} for node, told in found.items() if told}


def _told(report: Report, rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        for number in row.differences:
            difference = report.differences[number]
            yield f"{'accepted: ' if difference.accepted else ''}{safe(difference.message)}"
        yield from (f"follows from: {safe(report.differences[number].message)}" for number in row.following)


def _errors(report: Report, nodes: Sequence[str | None]) -> dict[str, dict[str, Any]]:
    """Errors at the nodes that make what was compared; of several at one node, one that is out of tolerance."""
    from tflrecover.report.report import plain

    first = report.first_divergence
    found: dict[str, dict[str, Any]] = {}
    for number, check in sorted(by_row(report).items(), key=lambda item: item[1].ok, reverse=True):
        node = nodes[number]
        if node is not None:
            colour = WITHIN if check.ok else FIRST if check is first else BEYOND
            found[node] = {"value": plain(float(f"{check.alone:.3g}")), "bgColor": colour}
    return found
