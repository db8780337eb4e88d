from __future__ import annotations

import gc
from dataclasses import replace

import keras
import pytest

from tflrecover.tracing import trace_model


@pytest.fixture(autouse=True)
def _without_the_collector():
    gc.disable()
    yield
    gc.enable()


def _trace():
    return trace_model(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))


def test_a_graph_is_taken_apart_once_its_trace_is_dropped():
    trace = _trace()
    graph = trace.graph
    assert any(operation.type == "MatMul" for operation in graph.get_operations())
    del trace
    assert not graph.captures
    assert not graph.get_operations()


def test_a_graph_stays_whole_while_another_trace_has_it():
    trace = _trace()
    other = replace(trace, source=trace.source)
    del trace
    assert any(operation.type == "MatMul" for operation in other.graph.get_operations())
    assert other.graph.captures


def test_a_graph_that_was_let_go_is_made_again_with_the_same_tensors():
    trace = _trace()
    graph, names = trace.graph, {value: tensor.name for value, tensor in trace.tensors.items()}
    trace.function.let_go()
    assert not graph.get_operations()
    assert {value: tensor.name for value, tensor in trace.tensors.items()} == names
    assert any(operation.type == "MatMul" for operation in trace.graph.get_operations())
