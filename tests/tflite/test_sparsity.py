"""Sparse tensors: against LiteRT's own DENSIFY, there and back, and damaged in every way."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from hypothesis import given, settings
from hypothesis import strategies as st

import tflrecover
from tests.core.file_builders import File, quantization, run, sparse
from tflrecover.errors import EvaluationError
from tflrecover.rewrite.contents import Contents
from tflrecover.tflite.sparsity import densified


def holey(shape, dtype="float32", seed=0, block=None):
    """Random numbers, most of them zero; whole blocks where there are blocks."""
    rng = np.random.default_rng(seed)
    block = block or (1,) * len(shape)
    keep = rng.uniform(size=[n // b for n, b in zip(shape, block, strict=True)]) < 0.4
    for axis, b in enumerate(block):
        keep = np.repeat(keep, b, axis)
    return (rng.integers(1, 100, shape) * keep).astype(dtype)


def sparse_file(array, *tree, **tree_options):
    file = File()
    values, parameters = sparse(array, *tree, **tree_options)
    stored = file.const(values, shape=array.shape, sparsity=parameters)
    x = file.input(array.shape, array.dtype.name)
    dense = file.op("DENSIFY", (stored,), array.shape, array.dtype.name, "DensifyOptions")
    y = file.op("MAXIMUM", (dense, x), array.shape, array.dtype.name, "MaximumMinimumOptions")
    return file.content(y), stored


TREES = {
    "random": ((8, 12), "ds", (), (), None),
    "random, both compressed": ((8, 12), "ss", (), (), None),
    "random, columns first": ((8, 12), "ds", (), (), (1, 0)),
    "1x4": ((8, 12), "dsd", (1,), (4,), None),
    "4x1": ((8, 12), "dsd", (0,), (4,), None),
    "1x16": ((4, 32), "dsd", (1,), (16,), None),
    "2x2": ((8, 12), "dsdd", (0, 1), (2, 2), None),
    "2x4, block by columns": ((8, 12), "dsdd", (0, 1), (2, 4), (0, 1, 3, 2)),
    "kernel of a 1x1 convolution": ((8, 1, 1, 12), "ddds", (), (), None),
    "kernel in blocks": ((8, 3, 3, 8), "dddsd", (3,), (4,), None),
}


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("name", TREES)
def test_what_litert_densifies(name, dtype):
    shape, formats, block_map, block_sizes, order = TREES[name]
    inside = dict(zip(block_map, block_sizes, strict=True))
    array = holey(shape, dtype, block=tuple(inside.get(axis, 1) for axis in range(len(shape))))
    content, stored = sparse_file(array, formats, block_map, block_sizes, order)
    mine = Contents(tflrecover.read(content).graph)[stored]
    assert mine.dtype == array.dtype
    assert np.array_equal(mine, array)
    if dtype != "float16":  # LiteRT's MAXIMUM takes no float16.
        assert np.array_equal(run(content, np.zeros(shape, dtype))[0], array)


@pytest.mark.parametrize("indices", ["uint8", "uint16", "int32"])
def test_every_type_of_index(indices):
    content, stored = sparse_file(holey((4, 60)), "ds", indices=indices)
    assert np.array_equal(Contents(tflrecover.read(content).graph)[stored], holey((4, 60)))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_there_and_back(data):
    block_sizes = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    rank, counts = len(block_sizes), data.draw(st.lists(st.integers(1, 4), min_size=3, max_size=3))
    shape = tuple(n * b for n, b in zip(counts, block_sizes, strict=False))
    block_map = data.draw(st.permutations(range(rank)))[: data.draw(st.integers(0, rank))]
    inner = data.draw(st.permutations(range(rank, rank + len(block_map))))
    order = (*data.draw(st.permutations(range(rank))), *inner)
    formats = "".join(data.draw(st.sampled_from("ds")) for _ in range(rank)) + "d" * len(block_map)
    array = holey(shape, seed=data.draw(st.integers(0, 99)))
    sizes = [block_sizes[axis] for axis in block_map]
    # As many numbers as there may be here do not fit into eight bits.
    content, stored = sparse_file(array, formats, tuple(block_map), sizes, order, indices="uint16")
    assert np.array_equal(Contents(tflrecover.read(content).graph)[stored], array)


def test_real_files(shared):
    """Every DENSIFY of a published network, bit for bit what LiteRT makes of it."""
    path = shared / "data" / "corpus" / "face_detection_full_range_sparse.tflite"
    graph = tflrecover.read(path).graph
    interpreter = Interpreter(
        str(path),
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    interpreter.invoke()
    densify = [op for op in graph.ops() if op.type == "DENSIFY"]
    assert len(densify) == 46
    for op in densify:
        assert np.array_equal(Contents(graph)[op.inputs[0]], interpreter.get_tensor(op.outputs[0]))
    tiny = tflrecover.read(shared / "data" / "corpus" / "sparse_tensor.bin").graph
    assert Contents(tiny)[0].tolist() == [[1, 0, 2, 3], [0, 4, 0, 0], [0, 0, 5, 0], [0, 0, 0, 6]]


def test_sparse_networks_are_ported():
    """A convolution behind DENSIFY, and a dense layer in int8 whose kernel is sparse itself."""
    inputs = keras.Input((4, 4, 8))
    x = keras.layers.Conv2D(8, 1, activation="relu", name="conv")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(8, name="dense")(keras.layers.Flatten()(x)))
    kernel, matrix = holey((8, 1, 1, 8), "float16") / 64, holey((8, 128), "int8", block=(1, 4))
    bias = np.random.default_rng(1).normal(size=8).astype("float32")
    file = File()
    image = file.input((1, 4, 4, 8))
    values, parameters = sparse(kernel.astype("float16"), "ddds")
    dense = file.op("DENSIFY", (file.const(values, shape=kernel.shape, sparsity=parameters),), kernel.shape, "float16")
    real = file.op("DEQUANTIZE", (dense,), kernel.shape)
    x = file.op(
        "CONV_2D",
        (image, real, file.const(bias)),
        (1, 4, 4, 8),
        options="Conv2DOptions",
        strideW=1,
        strideH=1,
        fusedActivationFunction=1,
    )
    values, parameters = sparse(matrix, "dsd", (1,), (4,))
    weights = file.const(values, shape=matrix.shape, sparsity=parameters, quantization=quantization(0.01))
    y = file.op("FULLY_CONNECTED", (x, weights, file.const(bias)), (1, 8), options="FullyConnectedOptions")
    assert tflrecover.port(file.content(y), model).ok
    assert np.array_equal(model.get_layer("conv").kernel, kernel.astype("float32").transpose(1, 2, 3, 0))
    assert np.array_equal(model.get_layer("dense").kernel, (matrix.astype("float32") * np.float32(0.01)).T)


def tree(**changes):
    """A sound 1x4-sparse (4, 8), changed."""
    levels = [
        {"format": "DENSE", "dense_size": 4, "array_segments": None, "array_indices": None},
        {"format": "SPARSE_CSR", "dense_size": 0, "array_segments": [0, 1, 1, 3, 3], "array_indices": [1, 0, 1]},
        {"format": "DENSE", "dense_size": 4, "array_segments": None, "array_indices": None},
    ]
    for place, change in changes.pop("levels", {}).items():
        levels[place] = {**levels[place], **change}
    return {"traversal_order": (0, 1, 2), "block_map": (1,), "dim_metadata": levels, **changes}


def test_sound_tree():
    assert densified(np.arange(12), tree(), (4, 8))[2].tolist() == [4, 5, 6, 7, 8, 9, 10, 11]


@pytest.mark.parametrize(
    "changes",
    [
        {"traversal_order": (0, 0, 2)},
        {"traversal_order": (2, 1, 0)},
        {"traversal_order": None},
        {"block_map": None},
        {"block_map": (7,)},
        {"block_map": (-1,)},
        {"levels": {0: {"dense_size": 400_000_000}}},
        {"levels": {0: {"dense_size": -4}}},
        {"levels": {2: {"dense_size": 3}}},
        {"levels": {2: {"dense_size": 0}}},
        {"levels": {0: {"format": 9}}},
        {"levels": {2: {"format": "SPARSE_CSR"}}},
        {"levels": {1: {"array_segments": None}}},
        {"levels": {1: {"array_segments": []}}},
        {"levels": {1: {"array_segments": [0, 1, 1, 3]}}},
        {"levels": {1: {"array_segments": [0, 1, 1, 3, 2]}}},
        {"levels": {1: {"array_segments": [0, 2, 1, 3, 3]}}},
        {"levels": {1: {"array_segments": [1, 1, 1, 3, 3]}}},
        {"levels": {1: {"array_indices": [1, 0, 2]}}},
        {"levels": {1: {"array_indices": [1, 0, -1]}}},
        {"levels": {1: {"array_indices": [1, 1, 1]}}},
        {"levels": {1: {"array_indices": [1, 0]}}},
    ],
)
def test_damaged_tree(changes):
    with pytest.raises(EvaluationError, match=r"'w' cannot be read: .* damaged"):
        densified(np.arange(12), tree(**changes), (4, 8), "w")


@pytest.mark.parametrize("shape", [(4, 4), (4, 8, 1), (), (1 << 20, 1 << 20), (-4, 8)])
def test_tree_of_another_shape(shape):
    with pytest.raises(EvaluationError):
        densified(np.arange(12), tree(), shape)


def test_wrong_number_of_values():
    for count in (0, 11, 13):
        with pytest.raises(EvaluationError):
            densified(np.arange(count), tree(), (4, 8))
