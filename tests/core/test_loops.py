"""Loops, by text before and after: tidied, written out, and what zeros leave of the first iteration."""

import numpy as np

from tests.core.test_rewrite import SAME, Build, kernel
from tflrecover.ir import Graph, Op, Value
from tflrecover.ops import tflite_reader
from tflrecover.rewrite import canonicalize
from tflrecover.rewrite.contents import Contents
from tflrecover.rewrite.lower import lower
from tflrecover.rewrite.unroll import unroll_loops


class BuildLoop(Build):
    """Also operators with several results."""

    def many(self, kind, *inputs, shapes):
        ids = tuple(range(len(self.values), len(self.values) + len(shapes)))
        self.values.update({i: Value(f"v{i}", shape, "float32") for i, shape in zip(ids, shapes, strict=True)})
        self.ops.append(Op(len(self.ops), kind, inputs, ids, {}))
        return ids

    def canonical(self, *outputs, unroll):
        graph = Graph.build(self.ops, self.values, self.inputs, outputs)
        result = canonicalize(lower(graph, tflite_reader, Contents(graph)), [unroll_loops] if unroll else []).freeze()
        return " ".join(op.type for op in result.ops()), result


def recurrent(trips):
    """``h = tanh(x[i] + h · R)`` as a file has it: a counter, the condition on it, and the state."""
    b = BuildLoop((trips, 1, 4))
    zero, one, limit = (b.const(np.int32(n)) for n in (0, 1, trips))
    shapes = ((), (), (1, 4))
    index, count, state = b.many("LOOP", zero, b.const(np.zeros((1, 4), "float32")), shapes=shapes)
    less = b("LESS", count, limit, shape=())
    item = b("GATHER", 0, count, shape=(1, 4), axis=0)
    product = b("FULLY_CONNECTED", state, b.const(kernel(4, 4)), None, shape=(1, 4))
    following = b("TANH", b("ADD", item, product, shape=(1, 4)), shape=(1, 4))
    added = b("ADD", count, one, shape=())
    _, final = b.many("END_LOOP", index, less, added, following, shapes=((), (1, 4)))
    return b, final


def test_counter_becomes_the_index_and_the_condition_trips():
    b, final = recurrent(3)
    text, graph = b.canonical(final, unroll=False)
    assert sorted(text.split()) == sorted(["LOOP", "FULLY_CONNECTED", "GATHER", "ADD", "TANH", "END_LOOP"])
    end = next(op for op in graph.ops() if op.type == "END_LOOP")
    assert end.attributes == {"trips": 3}
    assert end.inputs[1] is None
    assert len(end.outputs) == 1


def test_unrolled_loop_starts_without_a_product():
    b, final = recurrent(3)
    text, graph = b.canonical(final, unroll=True)
    assert text.split().count("FULLY_CONNECTED") == 2
    assert text.split().count("ADD") == 2
    assert text.split().count("TANH") == 3
    taken = [op.attributes["slices"] for op in graph.ops() if op.type == "STRIDED_SLICE"]
    assert sorted(taken) == [(0,), (1,), (2,)]


def test_loop_without_known_trips_stays():
    b, final = recurrent(3)
    b.ops = [op if op.type != "LESS" else Op(op.id, "GREATER", op.inputs, op.outputs) for op in b.ops]
    assert "END_LOOP" in b.canonical(final, unroll=True)[0]


def test_convolution_of_zeros_without_a_bias_is_nothing():
    """A file's convolution has a bias in any case: zeros, where the layer has none."""
    b = Build((1, 4, 4, 3))
    zeros = b("ZEROS_LIKE", 0, shape=(1, 4, 4, 3))
    y = b("CONV_2D", zeros, b.const(kernel(3, 1, 1, 3)), b.const(np.zeros(3, "float32")), shape=(1, 4, 4, 3), **SAME)
    assert b.text(b("TANH", b("ADD", 0, y, shape=(1, 4, 4, 3)), shape=(1, 4, 4, 3)))[0] == "TANH"


def test_element_is_taken_through_transpose_and_reverse():
    b = Build((2, 3, 4))
    turned = b("TRANSPOSE", 0, b.const(np.array([1, 0, 2])), shape=(3, 2, 4))
    back = b("REVERSE_V2", turned, b.const(np.array([0])), shape=(3, 2, 4))
    begin, end, strides = (b.const(np.array([n])) for n in (0, 1, 1))
    y = b("STRIDED_SLICE", back, begin, end, strides, shape=(2, 4), shrink_axis_mask=1)
    text, graph = b.text(y)
    assert text == "STRIDED_SLICE"
    assert next(graph.ops()).attributes["slices"] == ((None, None, 1), 2)


def test_element_of_a_pack_is_what_was_packed():
    b = Build((2, 4), (2, 4))
    packed = b("PACK", 0, 1, shape=(2, 2, 4), axis=0)
    begin, end, strides = (b.const(np.array([n])) for n in (-1, 0, 1))
    y = b("STRIDED_SLICE", packed, begin, end, strides, shape=(2, 4), shrink_axis_mask=1)
    text, graph = b.text(y)
    assert text == ""
    assert graph.outputs == (1,)
