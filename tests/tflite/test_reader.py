"""Files that nobody anticipated: read, or refused by one clear error."""

import contextlib
import csv
import time
from collections import Counter

import flatbuffers.flexbuffers as flex
import networkx as nx
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import tflrecover
from tests.tflite import builders
from tflrecover.errors import InvalidFile, InvalidGraph, TFLRecoverError


def test_convolution():
    model = tflrecover.read(builders.pack(builders.conv_model()))
    (op,) = model.graph.ops()
    assert (op.type, op.inputs, op.outputs) == ("CONV_2D", (0, 1, None), (2,))
    assert op.attributes["padding"] == "VALID"
    assert op.attributes["fused_activation_function"] == "RELU6"
    assert (op.attributes["stride_h"], op.attributes["stride_w"]) == (2, 1)
    image, kernel, _ = model.graph.values.values()
    assert image.shape_signature == (-1, 8, 8, 1)
    assert image.data is None
    assert kernel.data.shape == (2, 3, 3, 1)
    assert kernel.data.ravel().tolist() == list(range(18))
    assert (model.version, model.description, model.graph.graph["name"]) == (3, "built by a test", "main")


def test_weights_are_views_of_the_file(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(builders.pack(builders.conv_model()))
    model = tflrecover.read(path)
    data = model.graph.values[1].data
    assert not data.flags.writeable
    assert not data.flags.owndata
    assert len(model.sha256) == 64


def test_graph_is_any_networkx_graph():
    model = tflrecover.read(builders.pack(builders.conv_model()))
    assert nx.is_directed_acyclic_graph(model.graph)
    assert model.graph.copy().op(0).type == "CONV_2D"
    assert len(model.graph.reverse()) == len(model.graph.subgraph([0])) == 1


@pytest.mark.parametrize(
    ("builtin", "deprecated", "expected"),
    [(0, 3, "CONV_2D"), (3, 3, "CONV_2D"), (3, 0, "CONV_2D"), (150, 127, "GELU"), (5000, 127, 5000), (5000, 0, 5000)],
)
def test_operator_code_is_the_larger_of_two(builtin, deprecated, expected):
    made = builders.conv_model()
    made.operatorCodes = [builders.code(builtin, deprecated=deprecated)]
    assert next(tflrecover.read(builders.pack(made)).graph.ops()).type == expected


def test_unknown_type_and_enum_stay_numbers():
    made = builders.conv_model()
    made.subgraphs[0].tensors[0].type = 99
    made.subgraphs[0].operators[0].builtinOptions.padding = 77
    model = tflrecover.read(builders.pack(made))
    assert model.graph.values[0].dtype == 99
    assert model.graph.op(0).attributes["padding"] == 77


def test_custom_operator_with_flexbuffer_options():
    options = flex.Dumps({"size": 3, "mode": "nearest"})
    made = builders.model(
        [builders.tensor("x", (1,)), builders.tensor("y", (1,))],
        [builders.operator(0, (0,), (1,), custom=options)],
        [builders.code(32, b"MyOp")],
        (0,),
        (1,),
    )
    (op,) = tflrecover.read(builders.pack(made)).graph.ops()
    assert (op.type, op.custom, op.custom_options) == ("MyOp", True, bytes(options))
    assert op.attributes["custom_options"] == {"size": 3, "mode": "nearest"}


@pytest.mark.parametrize("raw", [b"\1\0\0\0\2\0\0\0\2\0\0\0", b"", b"\xff" * 40, b"\x24\x01", b"\0\x24\x01"])
def test_raw_options_are_not_taken_for_a_flexbuffer(raw):
    made = builders.model(
        [builders.tensor("x", (1,)), builders.tensor("y", (1,))],
        [builders.operator(0, (0,), (1,), custom=raw)],
        [builders.code(32, b"MyOp")],
        (0,),
        (1,),
    )
    (op,) = tflrecover.read(builders.pack(made)).graph.ops()
    assert op.custom_options == raw
    assert "custom_options" not in op.attributes


def test_quantization_per_channel():
    made = builders.conv_model()
    parameters = schema.QuantizationParametersT()
    parameters.scale, parameters.zeroPoint, parameters.quantizedDimension = [0.5, 0.25], [0, 3], 0
    made.subgraphs[0].tensors[1].quantization = parameters
    found = tflrecover.read(builders.pack(made)).graph.values[1].quantization
    assert (found.scale.tolist(), found.zero_point.tolist(), found.axis) == ([0.5, 0.25], [0, 3], 0)


def test_names_may_be_empty_equal_and_no_text():
    made = builders.conv_model()
    for tensor, name in zip(made.subgraphs[0].tensors, (b"", b"\xff\xfe", b""), strict=True):
        tensor.name = name
    names = [v.name for v in tflrecover.read(builders.pack(made)).graph.values.values()]
    assert names[0] == names[2] == ""
    assert "�" in names[1]


def test_graph_without_operators():
    made = builders.model([builders.tensor("x", (1,))], [], [], (0,), (0,))
    assert len(tflrecover.read(builders.pack(made)).graph) == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda m: setattr(m.subgraphs[0].operators[0], "opcodeIndex", 9),
        lambda m: setattr(m.subgraphs[0].operators[0], "inputs", [0, 99, -1]),
        lambda m: setattr(m.subgraphs[0].operators[0], "outputs", [-1]),
        lambda m: setattr(m.subgraphs[0].tensors[1], "buffer", 99),
        lambda m: setattr(m.subgraphs[0], "inputs", [-7]),
    ],
)
def test_index_out_of_range(change):
    made = builders.conv_model()
    change(made)
    with pytest.raises(InvalidFile, match=r"names .* of \d"):
        tflrecover.read(builders.pack(made))


def test_cycle():
    made = builders.model(
        [builders.tensor(n, (1,)) for n in "abc"],
        [builders.operator(0, (0, 2), (1,)), builders.operator(0, (1, 1), (2,))],
        [builders.code(0)],
        (0,),
        (2,),
    )
    with pytest.raises(InvalidGraph, match="cycle"):
        tflrecover.read(builders.pack(made))


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\0" * 100, b"PK\3\4" + b"\0" * 60])
def test_not_a_tflite_file(content):
    with pytest.raises(InvalidFile):
        tflrecover.read(content)


def test_no_such_file(tmp_path):
    for path in (tmp_path / "none.tflite", tmp_path):
        with pytest.raises(InvalidFile, match=r"cannot be opened|is empty"):
            tflrecover.read(path)


CONTENT = builders.pack(builders.conv_model())


@given(
    st.lists(st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(0, 255)), max_size=6), st.integers(0, len(CONTENT))
)
@example([], 0)
@settings(max_examples=400, deadline=2000, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_files_are_read_or_refused(changes, end):
    damaged = bytearray(CONTENT)
    for place, byte in changes:
        damaged[place] = byte
    with contextlib.suppress(TFLRecoverError):
        tflrecover.read(bytes(damaged[: end or None]))


def test_claimed_millions_are_refused_at_once():
    content = bytearray(CONTENT)
    started = time.monotonic()
    refused = 0
    for place in range(8, len(content) - 4, 4):
        damaged = bytearray(content)
        damaged[place : place + 4] = (50_000_000).to_bytes(4, "little")
        try:
            tflrecover.read(bytes(damaged))
        except TFLRecoverError:
            refused += 1
    assert refused
    assert time.monotonic() - started < 60, "some length was walked before it was checked"


def corpus_rows(shared):
    with open(shared / "data" / "corpus" / "SOURCES.tsv", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_corpus(shared):
    for row in corpus_rows(shared):
        path = shared / "data" / "corpus" / row["file"]
        if not row["subgraphs"]:
            with pytest.raises(InvalidFile):
                tflrecover.read(path)
            continue
        model = tflrecover.read(path)
        assert model.sha256 == row["sha256"]
        assert len(model.subgraphs) == int(row["subgraphs"])
        kinds = Counter(
            f"CUSTOM:{op.type}" if op.custom else str(op.type) for graph in model.subgraphs for op in graph.ops()
        )
        listed = dict(item.rsplit(":", 1) for item in row["ops"].split(";") if item)
        assert kinds == {name: int(count) for name, count in listed.items()}, row["file"]
        types = Counter(str(v.dtype).upper() for graph in model.subgraphs for v in graph.values.values())
        wanted = dict(item.rsplit(":", 1) for item in row["types"].split(";") if item)
        assert types == {name: int(count) for name, count in wanted.items()}, row["file"]


def test_every_corpus_file_can_be_shown(shared):
    from tflrecover.render.inspect import inspect_text

    for row in corpus_rows(shared):
        if row["subgraphs"]:
            text = inspect_text(tflrecover.read(shared / "data" / "corpus" / row["file"]), full=True)
            assert all(c.isprintable() or c == "\n" for c in text)


def test_every_corpus_file_can_be_brought_to_canonical_form(shared):
    from tflrecover.ops import tflite_reader
    from tflrecover.rewrite import canonicalize
    from tflrecover.rewrite.contents import Contents
    from tflrecover.rewrite.lower import lower

    for row in corpus_rows(shared):
        if row["subgraphs"]:
            graph = tflrecover.read(shared / "data" / "corpus" / row["file"]).graph
            canonicalize(lower(graph, tflite_reader, Contents(graph))).freeze()


def test_reading_is_near_linear():
    def chain(count):
        tensors = [builders.tensor(f"t{i}", (1,)) for i in range(count + 1)]
        operators = [builders.operator(0, (i,), (i + 1,)) for i in range(count)]
        return builders.pack(builders.model(tensors, operators, [builders.code(19)], (0,), (count,)))

    model = tflrecover.read(chain(5_000))
    assert len(model.graph) == 5_000
    assert np.all([op.type == "RELU" for op in model.graph.ops()])
