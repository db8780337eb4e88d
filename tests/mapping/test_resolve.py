from pathlib import Path
from typing import Any

import pytest

from tflrecover.errors import StaleMapping
from tflrecover.ir import Difference
from tflrecover.mapping import Mapping, OpName, ResolvedMapping, resolve
from tflrecover.mapping.resolve import unused

SHA256 = "8d3cab12" + "0" * 56
WORLD: dict[str, Any] = {
    "layers": ["conv2d_1", "conv2d_2", "head/dense", "body/dense", "head_boxes", "block/[1]/act"],
    "variables": ["conv2d_1/kernel", "conv2d_1/bias", "head/dense/kernel", "body/dense/kernel"],
    "ops": [
        OpName(0, "CONV_2D", "conv/a"),
        OpName(1, "CONV_2D", "conv/b"),
        OpName(2, "Mine", "twice"),
        OpName(3, "ADD", "twice"),
        OpName(4, "ADD", ""),
    ],
    "file_inputs": ["image"],
    "file_outputs": ["regressors", "classificators"],
    "keras_inputs": ["input_1"],
    "keras_outputs": ["boxes", "classes"],
    "sha256": lambda: SHA256,
}


def resolved(**content: Any) -> ResolvedMapping:
    return resolve(Mapping.load({"tflrecover": 1, **content}), **WORLD)


def test_nothing() -> None:
    assert resolved() == ResolvedMapping()


def test_every_kind_of_name() -> None:
    found = resolved(
        tflite={"sha256": SHA256[:8].upper()},
        match={"conv2d_1": "conv/b", "head/dense": "#3"},
        inputs={"input_1": "image"},
        outputs={"boxes": "classificators", "#1": "#0"},
        skip=["head*"],
        ignore=["conv/*", "#4"],
        accept=[{"layer": "conv2d_2", "attribute": "strides"}, {"op": "conv/a"}],
        weights={"conv2d_1/bias": {"from": "x"}},
        custom_ops={"Mine": {"as": "TRANSPOSE_CONV"}},
    )
    assert found.match == {1: "conv2d_1", 3: "head/dense"}
    assert found.inputs == {0: 0}
    assert found.outputs == {1: 0, 0: 1}
    assert found.skip == {"head/dense", "head_boxes"}
    assert found.ignore == {0, 1, 4}
    assert [(a.layer, a.op, a.attribute) for a in found.accept] == [("conv2d_2", None, "strides"), (None, 0, None)]
    assert found.weights["conv2d_1/bias"].rule.sources == ("x",)
    assert found.custom_ops == {"Mine": "TRANSPOSE_CONV"}


@pytest.mark.parametrize("pattern", ["block/[1]/act", "act", "block/*"])
def test_a_path_with_brackets_is_found_by_its_own_name(pattern: str) -> None:
    assert resolved(skip=[pattern]).skip == {"block/[1]/act"}


def test_a_layer_by_a_unique_ending() -> None:
    assert resolved(match={"act": "#0"}).match == {0: "block/[1]/act"}


def test_an_operator_by_the_name_that_reports_show() -> None:
    merged = {**WORLD, "ops": [OpName(0, "CONV_2D", "conv/a;act/a"), OpName(1, "ADD", "conv/ab;act/b")]}
    content = {"tflrecover": 1, "match": {"conv2d_1": "conv/a"}, "ignore": ["conv/ab"]}
    found = resolve(Mapping.load(content), **merged)
    assert (found.match, found.ignore) == ({0: "conv2d_1"}, {1})


# content: what the error says
STALE: dict[str, tuple[dict[str, Any], str, str]] = {
    "another file": ({"tflite": {"sha256": "0" * 8}}, "tflite.sha256", f"{SHA256}; if the mapping holds for it"),
    "layer": ({"match": {"conv2d_3": "#0"}}, "match.conv2d_3", "did you mean 'conv2d_2'"),
    "layer of several": (
        {"match": {"dense": "#0"}},
        "match.dense",
        "stands for several layers: head/dense, body/dense",
    ),
    "op": ({"match": {"conv2d_1": "conv/c"}}, "match.conv2d_1", "did you mean 'conv/b' or 'conv/a'?"),
    "op of several": ({"match": {"conv2d_1": "twice"}}, "match.conv2d_1", 'write one of "#2", "#3"'),
    "op past the end": ({"match": {"conv2d_1": "#9"}}, "match.conv2d_1", "its operators are #0 to #4"),
    "op taken": (
        {"match": {"conv2d_1": "#0", "conv2d_2": "conv/a"}},
        "match.conv2d_2",
        "operator #0 is matched to layer 'conv2d_1' already",
    ),
    "input": (
        {"inputs": {"input_2": "image"}},
        "inputs.input_2",
        "no input of the model 'input_2'; did you mean 'input_1'?",
    ),
    "output": ({"outputs": {"boxes": "regressor"}}, "outputs.boxes", "did you mean 'regressors'"),
    "output taken": (
        {"outputs": {"boxes": "regressors", "classes": "regressors"}},
        "outputs.classes",
        "another line has paired",
    ),
    "output taken on the other side": (
        {"outputs": {"boxes": "regressors", "#0": "classificators"}},
        "outputs.#0",
        "another line has paired",
    ),
    "skip": ({"skip": ["conv*", "hed*"]}, "skip.1", "no layer of the model fits 'hed*'"),
    "ignore": ({"ignore": ["normalize/*"]}, "ignore.0", "no operator of the file fits 'normalize/*'"),
    "ignored number": ({"ignore": ["#9"]}, "ignore.0", "no operator of the file fits '#9'; its operators are #0 to #4"),
    "matched op": ({"match": {"conv2d_1": "conv/c"}}, "match.conv2d_1", "did you mean 'conv/b' or 'conv/a'?"),
    "matched op by a part of its name": ({"match": {"conv2d_1": "twices"}}, "match.conv2d_1", "did you mean 'twice'?"),
    "accepted layer": ({"accept": [{"layer": "pool"}]}, "accept.0.layer", "the model has no layer 'pool'"),
    "accepted op": ({"accept": [{"op": "conv/x"}]}, "accept.0.op", "did you mean"),
    "variable": (
        {"weights": {"conv2d_1/kernl": {"from": "x"}}},
        "weights.conv2d_1/kernl",
        "did you mean 'conv2d_1/kernel'",
    ),
    "variable of several": (
        {"weights": {"dense/kernel": {"from": "x"}}},
        "weights.dense/kernel",
        "stands for several variables",
    ),
    "custom op": ({"custom_ops": {"Min": {"as": "ADD"}}}, "custom_ops.Min", "did you mean 'Mine'?"),
    "meaning": ({"custom_ops": {"Mine": {"as": "CONV_3"}}}, "custom_ops.Mine.as", "'CONV_3' is no operator that"),
}


@pytest.mark.parametrize(("content", "key", "message"), STALE.values(), ids=STALE)
def test_stale(content: dict[str, Any], key: str, message: str) -> None:
    with pytest.raises(StaleMapping) as caught:
        resolved(**content)
    assert caught.value.key == key
    assert message in str(caught.value)


def test_stale_name_is_told_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text('tflrecover: 1\nmatch:\n  conv2d_1: "#0"\n  conv2d_9: "#1"\n', encoding="utf-8")
    with pytest.raises(StaleMapping) as caught:
        resolve(Mapping.load(path), **WORLD)
    assert str(caught.value).startswith(f"{path}:4: match.conv2d_9: the model has no layer 'conv2d_9'")


def test_all_stale_names_are_told_together() -> None:
    with pytest.raises(StaleMapping) as caught:
        resolved(
            match={"conv2d_9": "conv/a", "conv2d_1": "conv/c"},
            outputs={"boxs": "regressors", "classes": "clasificators"},
            skip=["haed*", "head*"],
            accept=[{"layer": "conv2d_3"}],
            weights={"conv2d_1/bais": {"from": "x"}},
        )
    assert sorted(one.key for one in caught.value.several) == [
        "accept.0.layer",
        "match.conv2d_1",
        "match.conv2d_9",
        "outputs.boxs",
        "outputs.classes",
        "skip.0",
        "weights.conv2d_1/bais",
    ]
    assert len(str(caught.value).splitlines()) == 7


def test_the_digest_is_only_computed_for_a_guard() -> None:
    def never() -> str:
        raise AssertionError

    assert resolve(Mapping.load(None), **{**WORLD, "sha256": never}) == ResolvedMapping()


def test_an_entry_that_accepts_nothing_is_told() -> None:
    pool = Difference("attribute", "", tflite_op=0, keras_layer="conv2d_1", attribute="pool_size")
    wanted = [
        {"layer": "conv2d_1", "attribute": "pool_size"},
        {"layer": "conv2d_1", "attribute": "pool_sise"},
        {"layer": "conv2d_2", "kind": "missing"},
        {"op": "#1"},
    ]
    assert list(unused(resolved(accept=wanted).accept, [pool])) == [
        "The mapping's accept entry 2, {layer: conv2d_1, attribute: pool_sise}, accepts nothing; what differs there is "
        "{layer: conv2d_1, attribute: pool_size, kind: attribute}.",
        "The mapping's accept entry 3, {layer: conv2d_2, kind: missing}, accepts nothing.",
        "The mapping's accept entry 4, {op: #1}, accepts nothing.",
    ]
    assert list(unused(resolved(accept=wanted[:1]).accept, [pool])) == []


@pytest.mark.parametrize(
    ("wanted", "is_accepted"),
    [
        ({"layer": "conv2d_1"}, True),
        ({"layer": "conv2d_1", "attribute": "strides"}, True),
        ({"layer": "conv2d_1", "attribute": "padding"}, False),
        ({"layer": "conv2d_2"}, False),
        ({"op": "#0"}, True),
        ({"op": "#1"}, False),
        ({"op": "#0", "kind": "missing"}, False),
    ],
)
def test_accept(wanted: dict[str, str], is_accepted: bool) -> None:
    difference = Difference("attribute", "", tflite_op=0, keras_layer="conv2d_1", attribute="strides")
    (accept,) = resolved(accept=[wanted]).accept
    assert accept.accepts(difference) == is_accepted
