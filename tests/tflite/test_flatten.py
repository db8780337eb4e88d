"""Subgraphs put into the main graph: calls as they are, loops as one symbolic iteration."""

import pytest

from tflrecover.errors import InvalidFile
from tflrecover.ir import Graph, Op, Value
from tflrecover.tflite import flattened
from tflrecover.tflite.model import TFLiteModel


def graph(ops, count, inputs, outputs):
    return Graph.build(ops, {i: Value(f"v{i}", (1,), "float32") for i in range(count)}, inputs, outputs)


def file(*subgraphs):
    return TFLiteModel("test.tflite", memoryview(b""), 3, "", subgraphs, (), {})


def loop(**options):
    attributes = {"cond_subgraph_index": 1, "body_subgraph_index": 2, **options}
    return graph([Op(0, "WHILE", (0, 1), (2, 3), attributes)], 4, (0, 1), (2,))


CONDITION = graph([Op(0, "LESS", (0, 1), (2,))], 3, (0, 1), (2,))
# The first value grows by the second, which every iteration hands on.
BODY = graph([Op(0, "ADD", (0, 1), (2,))], 3, (0, 1), (2, 1))


def test_graph_without_calls_is_itself():
    plain = graph([Op(0, "RELU", (0,), (1,))], 2, (0,), (1,))
    assert flattened(file(plain)) is plain


def test_loop_is_one_iteration():
    found = flattened(file(loop(), CONDITION, BODY))
    ops = {op.id: op for op in found.ops()}
    assert [op.type for op in ops.values()] == ["LOOP", "LESS", "ADD", "END_LOOP"]
    assert ops["0/loop"].inputs == (0,)
    index, state = ops["0/loop"].outputs
    assert ops["0/0"].inputs == (state, 1)
    assert ops[0].inputs == (index, ops["0/condition/0"].outputs[0], ops["0/0"].outputs[0])
    assert ops[0].outputs == found.outputs == (2,)


def test_call_is_what_it_calls():
    main = graph([Op(0, "CALL", (0,), (1,), {"subgraph": 1})], 2, (0,), (1,))
    called = graph([Op(0, "RELU", (0,), (1,))], 2, (0,), (1,))
    found = flattened(file(main, called))
    assert [(op.id, op.type) for op in found.ops()] == [("0/0", "RELU")]
    assert found.outputs == next(found.ops()).outputs


@pytest.mark.parametrize(
    ("main", "message"),
    [
        (loop(body_subgraph_index=7), "names subgraph 7 of 3"),
        (loop(cond_subgraph_index=None), "names subgraph None"),
        (graph([Op(0, "WHILE", (0,), (1,), {"cond_subgraph_index": 1, "body_subgraph_index": 2})], 2, (0,), (1,)), "1"),
    ],
)
def test_what_does_not_fit_is_refused(main, message):
    with pytest.raises(InvalidFile, match=message):
        flattened(file(main, CONDITION, BODY))


def test_subgraph_that_calls_itself_is_refused():
    again = graph([Op(0, "CALL", (0,), (1,), {"subgraph": 1})], 2, (0,), (1,))
    with pytest.raises(InvalidFile, match="call itself"):
        flattened(file(again, again))


def condition():
    attributes = {"then_subgraph_index": 1, "else_subgraph_index": 2}
    return graph([Op(0, "IF", (0, 1, 2), (3,), attributes)], 4, (0, 1, 2), (3,))


def side(kind):
    return graph([Op(0, kind, (0, 1), (2,))], 3, (0, 1), (2,))


def test_condition_is_both_sides():
    found = flattened(file(condition(), side("ADD"), side("MUL")))
    ops = {op.id: op for op in found.ops()}
    assert {name: op.type for name, op in ops.items()} == {
        "0/then": "THEN",
        "0/then/0": "ADD",
        "0/else": "ELSE",
        "0/else/0": "MUL",
        0: "END_IF",
    }
    assert ops["0/then"].inputs == ops["0/else"].inputs == (0, 1, 2)
    assert ops["0/then/0"].inputs == ops["0/then"].outputs
    assert ops[0].inputs == (0, *ops["0/then/0"].outputs, *ops["0/else/0"].outputs)
    assert ops[0].outputs == found.outputs == (3,)


def test_condition_that_changes_something_stays_one_operator():
    caller = graph([Op(0, "CALL", (0, 1), (2,), {"subgraph": 3})], 3, (0, 1), (2,))
    assigns = graph([Op(0, "ASSIGN_VARIABLE", (0, 1), ())], 2, (0, 1), (0,))
    found = flattened(file(condition(), side("ADD"), caller, assigns))
    assert [op.type for op in found.ops()] == ["IF"]
