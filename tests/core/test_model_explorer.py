"""The folder for Model Explorer, read by Model Explorer's own adapter and classes."""

import json
from urllib.parse import unquote

import keras_models as zoo
import pytest

import tflrecover

pytest.importorskip("model_explorer", reason="needs ai-edge-model-explorer: pip install -e '.[explorer]'")

from dacite import Config, from_dict
from model_explorer.builtin_tflite_flatbuffer_adapter import BuiltinTfliteFlatbufferAdapter
from model_explorer.graph_builder import Graph
from model_explorer.node_data_builder import GraphNodeData

from tflrecover.render.model_explorer_show import side_by_side

KINDS = ("differences", "advice", "errors")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A report on a model with a wrong pool, and with an activation too many, beside the file."""
    folder = tmp_path_factory.mktemp("explorer")
    (folder / "plain.tflite").write_bytes(zoo.file_of("plain"))
    tflrecover.verify(folder / "plain.tflite", zoo.plain(pool_size=3, extra=True)).to_model_explorer(folder)
    return folder


@pytest.fixture(scope="module")
def file_graph(folder):
    """The file as Model Explorer shows it."""
    (collection,) = BuiltinTfliteFlatbufferAdapter().convert(str(folder / "plain.tflite"), {})["graphCollections"]
    assert collection.label == ""
    return collection.graphs[0]


def loaded(path, kind):
    """A file as one of the package's classes; what the class does not know is an error."""
    # It declares numbers as the values of nodes, and shows texts too.
    return from_dict(kind, json.loads(path.read_text("utf-8")), Config(strict=True, check_types=False))


@pytest.fixture(scope="module")
def keras_graph(folder):
    (graph,) = json.loads((folder / "keras.json").read_text("utf-8"))
    return from_dict(Graph, graph, Config(strict=True))


def test_graph_of_the_model(keras_graph):
    ids = [node.id for node in keras_graph.nodes]
    assert len(set(ids)) == len(ids)
    assert {edge.sourceNodeId for node in keras_graph.nodes for edge in node.incomingEdges} <= set(ids)
    surplus = next(node for node in keras_graph.nodes if node.namespace == "surplus")
    assert surplus.label == "TANH surplus"


def test_every_id_is_there_and_means_that_operator(folder, file_graph, keras_graph):
    labels = {node["id"]: node["label"].upper() for node in file_graph["nodes"]}
    ids = {node.id: node for node in keras_graph.nodes}
    entries = json.loads((folder / "sync_navigation.json").read_text("utf-8"))["mappingEntries"]
    for entry in entries:
        (file,) = entry["leftNodeIds"]
        told = {item.key: item.value for item in ids[entry["rightNodeIds"][0]].attrs}
        assert told["in the file"].startswith(f"operator {file} ({labels[file]})")
    operators = tflrecover.read(folder / "plain.tflite").graph.ops()
    assert {entry["leftNodeIds"][0] for entry in entries} == {str(op.id) for op in operators}
    paired = {node for entry in entries for node in entry["rightNodeIds"]}
    assert [ids[node].namespace for node in ids.keys() - paired] == ["surplus"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_node_that_is_coloured_is_there(folder, file_graph, keras_graph, kind):
    sides = {"tflite": {node["id"] for node in file_graph["nodes"]}, "keras": {node.id for node in keras_graph.nodes}}
    for side, nodes in sides.items():
        results = loaded(folder / f"{side}_{kind}.json", GraphNodeData).results
        assert results
        assert results.keys() <= nodes


def test_wrong_pool_is_coloured_on_both_sides(folder, file_graph):
    pool = next(node["id"] for node in file_graph["nodes"] if node["label"] == "max_pool_2d")
    for side in ("tflite", "keras"):
        assert loaded(folder / f"{side}_differences.json", GraphNodeData).results[pool].value == "different"
        assert "pool_size=(2, 2)" in loaded(folder / f"{side}_advice.json", GraphNodeData).results[pool].value


def test_show_opens_both_sides(folder, file_graph):
    told = json.loads(unquote(side_by_side(folder / "plain.tflite", folder).to_url_param_value()))
    assert [model["url"] for model in told["models"]] == [str(folder / name) for name in ("plain.tflite", "keras.json")]
    targets = dict(zip(told["nodeData"], told["nodeDataTargets"], strict=True))
    assert targets == {
        str(folder / f"{side}_{kind}.json"): name
        for side, name in (("tflite", "plain.tflite"), ("keras", "keras.json"))
        for kind in KINDS
    }
    pool = next(node["id"] for node in file_graph["nodes"] if node["label"] == "max_pool_2d")
    panes = told["uiState"]["paneStates"]
    assert [(pane["selectedCollectionLabel"], pane["selectedNodeId"]) for pane in panes] == [
        ("", pool),
        ("keras.json", pool),
    ]
    assert told["sync"] == {"mode": "match_node_id"}
