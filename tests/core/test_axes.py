"""Rules about the places of axes, by text before and after; and constants on the grid of an activation."""

import numpy as np
import pytest

from tests.core.test_rewrite import Build, kernel
from tflrecover.ir import Graph, Quantization, Value
from tflrecover.ops import tflite_reader
from tflrecover.ops.quantize import ends
from tflrecover.rewrite.contents import Contents
from tflrecover.rewrite.lower import lower

FIRST, LAST = np.array([0, 3, 1, 2]), np.array([0, 2, 3, 1])


def test_transposes_around_what_works_number_by_number_cancel():
    b = Build((1, 4, 5, 3))
    x = b("TRANSPOSE", 0, b.const(FIRST), shape=(1, 3, 4, 5))
    x = b("RELU", b("ADD", x, b.const(kernel(3, 1, 1)), shape=(1, 3, 4, 5)), shape=(1, 3, 4, 5))
    text, graph = b.text(b("TRANSPOSE", x, b.const(LAST), shape=(1, 4, 5, 3)))
    assert text == "AFFINE RELU"
    offset = graph.values[next(graph.ops()).inputs[2]]
    assert [n for n in offset.shape if n != 1] == [3] == list(offset.shape[-1:])


@pytest.mark.parametrize(("kind", "text"), [("MEAN", "MEAN"), ("CONCATENATION", "CONCATENATION TRANSPOSE")])
def test_transpose_passes_what_names_its_axes(kind, text):
    b = Build((1, 4, 5, 3))
    x = b("TRANSPOSE", 0, b.const(FIRST), shape=(1, 3, 4, 5))
    if kind == "MEAN":
        y = b("MEAN", x, b.const(np.array([2, 3])), shape=(1, 3), keep_dims=False)
    else:
        y = b("CONCATENATION", x, x, shape=(1, 6, 4, 5), axis=1)
    found, graph = b.text(y)
    assert found == text
    assert next(graph.ops()).attributes["axis"] == ((1, 2) if kind == "MEAN" else 3)


@pytest.mark.parametrize(
    ("shape", "text", "axis"), [((2, 1, 3, 4), "MEAN", (1,)), ((2, 1, 4, 3), "RESHAPE MEAN", (2,))]
)
def test_reshape_that_only_moves_axes_of_size_1_passes_as_a_transpose(shape, text, axis):
    b = Build((2, 3, 1, 4))
    x = b("RESHAPE", 0, b.const(np.array(shape)), shape=shape)
    result = (*shape[:2], 1, shape[3])
    found, graph = b.text(b("MEAN", x, b.const(np.array([2])), shape=result, keep_dims=True))
    assert found == text
    assert next(op for op in graph.ops() if op.type == "MEAN").attributes["axis"] == axis


@pytest.mark.parametrize("scale", [0.5, 0.25])
def test_constant_on_the_grid_of_an_activation_may_be_clipped(scale):
    """Its numbers end where that grid ends; a grid of its own was made to fit."""
    b = Build((1, 4))
    grids = [Quantization(np.array([s], np.float32), np.array([-28])) for s in (0.5, scale)]
    b.values[0] = Value("x", (1, 4), "int8", quantization=grids[0])
    limit = b.const(np.array([-128, 3, 5, 127], np.int8))
    b.values[limit] = Value("c", (4,), "int8", data=b.values[limit].data, quantization=grids[1])
    y = b("MAXIMUM", 0, limit, shape=(1, 4))
    graph = Graph.build(b.ops, b.values, b.inputs, (y,))
    draft = lower(graph, tflite_reader, Contents(graph))
    found = ends(draft.weight(limit))
    assert (found is None) if scale != 0.5 else (found[:2] == (-50.0, 77.5))


def test_a_softmax_does_not_pass_what_repeats_its_axis():
    b = Build((2, 1))
    tiled = b("TILE", 0, b.const(np.int32([1, 4])), shape=(2, 4))
    text, _ = b.text(b("SOFTMAX", tiled, shape=(2, 4), beta=1.0))
    assert text.split() == ["TILE", "SOFTMAX"]
