import io
import re
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from typer.testing import CliRunner

import tflrecover
from tflrecover.cli import commands, shell
from tflrecover.ir import Graph, Op, Value
from tflrecover.render.export import dot_text, graphml_text

HOSTILE = 'a\\n"]; evil -> b;\x1b\ud800<&>\u2028;merged'


@pytest.fixture
def graph() -> Graph:
    """``x - x`` under a hostile name, beside a constant, and its square, twice."""
    values = {
        0: Value("x", (1, 3), "float32", (-1, 3)),
        1: Value(HOSTILE, (1, 3), "float32"),
        2: Value("c", (3,), "float32", data=np.ones(3, "float32")),
        3: Value("square", (), "float32"),
    }
    ops = [
        Op(0, "SUB", (0, 0), (1,), {"activation": None, "pot_scale": True}),
        Op(1, HOSTILE, (2, 1, None), (3,), {"text": HOSTILE}, custom=True),
    ]
    return Graph.build(ops, values, [0], [3, 3], "main")


def test_graphml_is_read_back(graph: Graph) -> None:
    found = nx.read_graphml(io.BytesIO(graphml_text(graph).encode()))
    assert list(found) == ["input 0", "0", "1", "output 0", "output 1"]
    assert (found.nodes["0"]["type"], found.nodes["0"]["options"]) == ("SUB", "pot_scale=True")
    assert found.nodes["1"]["constants"] == "c 3 float32"
    assert found.nodes["1"]["type"] == found.nodes["0"]["name"] == 'a\\n"]; evil -> b;\\x1b\\ud800<&>\\u2028;merged'
    ends = [(a, b, d["output_slot"], d["input_slot"], d["shape"]) for a, b, d in found.edges(data=True)]
    assert sorted(ends) == [
        ("0", "1", 0, 1, "1x3"),
        ("1", "output 0", 0, 0, "scalar"),
        ("1", "output 1", 0, 0, "scalar"),
        ("input 0", "0", 0, 0, "?x3"),
        ("input 0", "0", 0, 1, "?x3"),
    ]


# A string of DOT, in which only a quote after a backslash does not end it.
STRING = r'"(?:[^"\\]|\\.)*"'


def test_dot_is_one_statement_a_line(graph: Graph) -> None:
    first, default, *lines, last = dot_text(graph).splitlines()
    assert (first, default, last) == ("digraph {", "  node [shape=box];", "}")
    assert all(re.fullmatch(rf"  {STRING}(?: -> {STRING})? \[label={STRING}\];", line) for line in lines)
    assert [line.split(" [")[0].strip() for line in lines] == [
        '"input 0"',
        '"0"',
        '"1"',
        '"output 0"',
        '"output 1"',
        '"input 0" -> "0"',
        '"input 0" -> "0"',
        '"0" -> "1"',
        '"1" -> "output 0"',
        '"1" -> "output 1"',
    ]
    assert lines[0] == r'  "input 0" [label="input 0\nx"];'
    assert lines[1] == r"""  "0" [label="0 SUB\na\\n\"]\npot_scale=True"];"""


def test_real_file(palm_2019: Path, tmp_path: Path) -> None:
    paths = tmp_path / "new" / "a.graphml", tmp_path / "a.dot"
    result = CliRunner().invoke(
        commands.app, ["inspect", str(palm_2019), "--graphml", str(paths[0]), "--dot", str(paths[1])]
    )
    assert result.exit_code == shell.SAME, result.output
    assert "CONV_2D 48" in result.stdout
    graph, found = tflrecover.read(palm_2019).graph, nx.read_graphml(paths[0])
    types = [data["type"] for _, data in found.nodes(data=True) if data["type"] not in ("INPUT", "OUTPUT")]
    assert types == [op.type for op in graph.ops()]
    assert len(found.edges) == len(graph.edges) + len(graph.outputs) + len(list(graph.inputs))
    assert paths[1].read_text(encoding="utf-8") == dot_text(graph)
