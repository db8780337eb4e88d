"""The folder for Model Explorer: ids, names and colours; what the viewer makes of it is in core/."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.reports import ACCEPTED, POOL, aligned, cell, check, same
from tflrecover.ir import ConstantUse
from tflrecover.render.model_explorer import FIRST, NAMES, STATES, WITHIN
from tflrecover.report import Report, Row

HOSTILE = 'a;b\\<img src=x onerror=alert(1)>"\x00\ud800\u202e'


def written(report: Report, folder: Path) -> dict[str, Any]:
    report.to_model_explorer(folder)
    return {path.stem: json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")}


def values(data: dict[str, Any]) -> dict[str, Any]:
    return {node: told["value"] for node, told in data["results"].items()}


def texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    for inside in (*data.keys(), *data.values()) if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from texts(inside)


def pair(index: int, **changes: Any) -> Row:
    return Row(cell(index), cell(None), **changes)


def test_folder_is_written_anew(tmp_path: Path) -> None:
    written(aligned(3, checks=(check(1),)), tmp_path / "a" / "b")
    assert {path.name for path in (tmp_path / "a" / "b").iterdir()} == set(NAMES)
    written(aligned(3), tmp_path / "a" / "b")
    assert set(NAMES) - {path.name for path in (tmp_path / "a" / "b").iterdir()} == {
        "tflite_errors.json",
        "keras_errors.json",
    }


def test_nodes_have_the_number_of_their_partner_once(tmp_path: Path) -> None:
    fused = cell(0, type="RELU", operands=(0,))
    extra = cell(None, type="TANH", operands=(1,))
    rows = (pair(0), Row(fused, cell(None, operands=(0,))), Row(None, extra), Row(cell(None, type="X"), extra))
    found = written(same(rows=(*rows, Row(cell(1), None))), tmp_path)
    nodes = found["keras"][0]["nodes"]
    assert [node["id"] for node in nodes] == ["0", "row 1", "row 2", "row 3"]
    assert [edge["sourceNodeId"] for node in nodes for edge in node["incomingEdges"]] == ["0", "row 1", "row 1"]
    assert found["sync_navigation"] == {
        "type": "sync_navigation",
        "mappingEntries": [{"leftNodeIds": ["0"], "rightNodeIds": ["0", "row 1"]}],
        "disableMappingFallback": True,
    }


def test_state_of_an_operator(tmp_path: Path) -> None:
    rows = (
        pair(0, differing=("strides",), differences=(0,)),
        pair(1, differences=(1,)),
        pair(2, following=(0,)),
        pair(3, step="strict both"),
        Row(cell(3, type="RELU"), None),
        Row(cell(4), None, differences=(0,)),
        Row(None, cell(None), differences=(0,)),
        pair(5, step="strict both"),
        pair(6),
    )
    found = written(same(rows=rows, differences=(POOL, ACCEPTED)), tmp_path)
    file = {"0": "different", "1": "accepted", "2": "following", "3": "different", "4": "missing", "6": "unsure"}
    assert values(found["tflite_differences"]) == file
    assert values(found["keras_differences"]) == {
        "0": "different",
        "1": "accepted",
        "2": "following",
        "row 6": "extra",
        "6": "unsure",
    }
    assert all(told["bgColor"] == STATES[told["value"]] for told in found["tflite_differences"]["results"].values())
    assert values(found["keras_advice"]) == {
        "0": POOL.message,
        "1": f"accepted: {ACCEPTED.message}",
        "2": f"follows from: {POOL.message}",
        "row 6": POOL.message,
    }
    told = {item["key"]: item["value"] for item in found["keras"][0]["nodes"][0]["attrs"]}
    assert told["strides"] == "[1, 1], in the file [1, 1]"


def test_errors_are_where_the_tensor_is_made(tmp_path: Path) -> None:
    rows = (pair(0), Row(cell(1, name="inner"), cell(None)), Row(cell(1, type="RELU"), cell(None)))
    checks = (check(0, 1e-5), check(1, 0.123456), check(7, 1.0))
    found = written(same(rows=rows, checks=checks), tmp_path)
    assert found["tflite_errors"]["results"] == {
        "0": {"value": 1e-5, "bgColor": WITHIN},
        "1": {"value": 0.123, "bgColor": FIRST},
    }
    assert values(found["keras_errors"]) == {"0": 1e-5, "row 2": 0.123}
    assert values(written(same(rows=rows, checks=(check(0, float("nan")),)), tmp_path)["tflite_errors"]) == {"0": "nan"}


@pytest.mark.parametrize("name", ["", HOSTILE, "0"])
def test_names_are_only_names(tmp_path: Path, name: str) -> None:
    side = cell(0, type=name, name=name, layer=f"/{name}//{name}", dtype=name, attributes={name: name})
    rows = tuple(Row(replace(side, index=i), side, differences=(0,), differing=(name,)) for i in range(3))
    report = Report("verify", name, name, differences=(replace(POOL, message=name),), rows=rows)
    found = written(report, tmp_path)
    (graph,) = found["keras"]
    assert [node["id"] for node in graph["nodes"]] == ["0", "1", "2"]
    assert {mark for node in graph["nodes"] for mark in ";\\" if mark in node["namespace"]} == set()
    assert {node["namespace"].count("/") for node in graph["nodes"]} == {1 if name else 0}
    assert [text for text in texts(found) if not text.isprintable()] == []


def test_number_that_is_the_name_of_a_tensor_is_not_taken_for_it(tmp_path: Path) -> None:
    rows = (pair(0, differences=(0,)), pair(1, differences=(0,)))
    constants = (ConstantUse(5, "1", "consumed"),)
    found = written(same(rows=rows, differences=(POOL,), constants=constants), tmp_path)
    assert list(found["tflite_differences"]["results"]) == ["0", "conv_1"]
    assert list(found["keras_differences"]["results"]) == ["0", "1"]
