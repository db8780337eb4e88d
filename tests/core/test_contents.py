"""Stored numbers become real ones: against LiteRT where it runs the type, else against the definition."""

import ml_dtypes
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

import tflrecover
from tests.core.file_builders import File, blockwise, packed, quantization, run
from tests.tflite.builders import pack
from tflrecover.errors import EvaluationError, TFLRecoverError
from tflrecover.render.inspect import inspect_text
from tflrecover.rewrite.contents import Contents
from tflrecover.rewrite.lower import source_weight
from tflrecover.tflite import flattened
from tflrecover.weight import evaluate

SHAPE = (3, 5)
RANGES = {
    "int2": (2, -2, 2),
    "int4": (4, -8, 8),
    "uint4": (4, 0, 16),
    "int8": (8, -128, 128),
    "uint8": (8, 0, 256),
    "int16": (16, -(2**15), 2**15),
    "int32": (32, -(2**31), 2**31),
    "int64": (64, -(2**40), 2**40),
}
SCALES = {
    "one": (0.037, 0, 0),
    "zero point": (0.037, 3, 0),
    "rows": ([0.1, 0.2, 0.3], 0, 0),
    "columns": ([0.1, 0.2, 0.3, 0.4, 0.5], 0, 1),
}
# What LiteRT's DEQUANTIZE takes.
RUNS = {(kind, scales) for kind in ("int2", "int4", "uint4", "int8", "uint8") for scales in SCALES}
RUNS |= {("int16", "one")}


def real(content, index):
    graph = flattened(tflrecover.read(content))
    return evaluate(source_weight(index, graph.values), Contents(graph))


def stored(dtype):
    bits, low, high = RANGES[dtype]
    array = np.random.default_rng(bits).integers(low, high, SHAPE)
    array.flat[:2] = low, high - 1
    return array, packed(array, bits) if bits < 8 else array.astype(dtype)


@pytest.mark.parametrize("scales", SCALES)
@pytest.mark.parametrize("dtype", RANGES)
def test_integers(dtype, scales):
    scale, zero, axis = SCALES[scales]
    array, contents = stored(dtype)
    file = File()
    weight = file.const(contents, dtype, SHAPE, quantization=quantization(scale, zero, axis))
    dense = file.op("DEQUANTIZE", (weight,), SHAPE)
    result = file.op("ADD", (dense, file.input(SHAPE)), SHAPE, options="AddOptions")
    content = file.content(result)
    factor = np.expand_dims(np.float32(scale), 1 - axis) if np.ndim(scale) else np.float32(scale)
    wanted = ((array - zero).astype("float64") * factor).astype("float32")
    assert np.array_equal(real(content, weight), wanted)
    if (dtype, scales) in RUNS:
        # LiteRT multiplies the zero point out beforehand: one more rounding.
        assert np.allclose(run(content, np.zeros(SHAPE, "float32"))[0], wanted, rtol=1e-6, atol=0.037 * 1e-5)


def test_bias_with_the_axis_of_its_kernel():
    file = File()
    bias = file.const(np.array([1, 2], "int32"), quantization=quantization([0.5, 0.25], 0, 3))
    assert real(file.content(bias), bias).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_small_floats(dtype):
    kind = "float16" if dtype == "float16" else getattr(ml_dtypes, dtype)
    width = np.dtype(kind).itemsize
    array = np.arange(256**width, dtype=f"uint{8 * width}").view(kind)
    file = File()
    weight = file.const(array, dtype)
    got = real(file.content(file.op("CAST", (weight,), array.shape, options="CastOptions")), weight)
    assert np.array_equal(got.astype("float32"), array.astype("float32"), equal_nan=True)


def test_bfloat16_as_litert_casts_it():
    array = np.random.default_rng(0).normal(size=SHAPE).astype(ml_dtypes.bfloat16)
    file = File()
    dense = file.op("CAST", (file.const(array, "bfloat16"),), SHAPE)
    content = file.content(file.op("ADD", (dense, file.input(SHAPE)), SHAPE, options="AddOptions"))
    assert np.array_equal(run(content, np.zeros(SHAPE, "float32"))[0], real(content, 0))


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("shape", [(3, 4), (12,)])
def test_blocks(zero, shape):
    """Three rows, each in four blocks of eight; the scales in the shape of the blocks, or as a list."""
    rng = np.random.default_rng(0)
    array, scales, zeros = rng.integers(-8, 8, (3, 32)), rng.uniform(1, 2, (3, 4)), rng.integers(-8, 8, (3, 4))
    file = File()
    file.input((1, 32))
    scale = file.const(scales.astype("float16"), shape=shape)
    point = file.const(zeros.astype("int32"), shape=shape) if zero else -1
    weight = file.const(packed(array, 4), "int4", (3, 32), quantization=blockwise(scale, 8, point))
    wanted = array - np.repeat(zeros, 8, 1) * zero
    wanted = wanted.astype("float32") * np.repeat(scales.astype("float16").astype("float32"), 8, 1)
    assert np.array_equal(real(file.content(weight), weight), wanted)


def test_blocks_of_a_real_network(shared):
    """LiteRT's XNNPACK rounds each scale to bfloat16; a unit vector as input shows a column of the kernel."""
    path = shared / "data" / "corpus" / "qwen_fc_blockwise_quantized.tflite"
    kernel = real(path, 1)
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    for column in (0, 31, 32, 33, 500, 1023):
        interpreter.set_tensor(0, np.eye(1, 1024, column, dtype="float32")[None])
        interpreter.invoke()
        got = interpreter.get_tensor(2).ravel()
        assert np.allclose(got, kernel[:, column], rtol=2.0**-8, atol=1e-7)


def test_blocks_in_a_called_subgraph():
    """Indices of scales count within their own subgraph."""
    inner = File()
    x = inner.input((1, 8))
    scale = inner.const(np.array([[0.5], [0.25]], "float32"))
    weight = inner.const(packed(np.arange(16) - 8, 4), "int4", (2, 8), quantization=blockwise(scale, 8))
    y = inner.op("FULLY_CONNECTED", (x, weight, -1), (1, 2), options="FullyConnectedOptions")
    outer = File()
    outer.input((1, 8))
    outer.buffers, outer.codes = inner.buffers, inner.codes
    called = outer.op("STABLEHLO_COMPOSITE", (0,), (1, 2))
    model, part = outer.model(called), inner.model(y).subgraphs[0]
    options = schema.StableHLOCompositeOptionsT()
    options.decompositionSubgraphIndex, options.name = 1, "dense"
    model.subgraphs[0].operators[0].builtinOptions2 = options
    model.subgraphs[0].operators[0].builtinOptions2Type = schema.BuiltinOptions2.StableHLOCompositeOptions
    model.subgraphs.append(part)
    content = pack(model)
    (op,) = flattened(tflrecover.read(content)).ops()
    wanted = (np.arange(16) - 8).reshape(2, 8) * np.array([[0.5], [0.25]])
    assert np.array_equal(real(content, op.inputs[1]), wanted)


@pytest.mark.parametrize(
    "parameters",
    [
        quantization([0.1, 0.2], 0, 0),
        quantization([0.1, 0.2, 0.3], 0, 1),
        quantization([0.1, 0.2, 0.3], 0, 9),
        quantization([0.1, 0.2, 0.3], 0, -1),
        blockwise(0, 2),
        blockwise(1, 2),
        blockwise(2, 5),
        blockwise(99, 2),
        blockwise(-1, 2),
    ],
)
def test_scales_that_do_not_fit(parameters):
    file = File()
    x = file.input((1, 4))
    file.const(np.ones((3, 3), "float32"))
    file.const(np.ones((3, 2), "int32"))
    weight = file.const(np.zeros((3, 4), "int8"), quantization=parameters)
    content = file.content(file.op("FULLY_CONNECTED", (x, weight, -1), (1, 3), options="FullyConnectedOptions"))
    with pytest.raises(TFLRecoverError, match="damaged"):
        real(content, weight)
    assert inspect_text(tflrecover.read(content), full=True)


@pytest.mark.parametrize(("dtype", "size"), [("int4", 7), ("int2", 3), ("int8", 14), ("bfloat16", 7), ("float32", 59)])
def test_contents_that_do_not_fill_the_shape(dtype, size):
    file = File()
    weight = file.const(np.ones(size, "uint8"), dtype, SHAPE)
    with pytest.raises(EvaluationError, match=r"holds|whole number"):
        Contents(tflrecover.read(file.content(weight)).graph)[weight]


def test_size_that_overflows():
    file = File()
    weight = file.const(np.ones(4, "uint8"), "uint8", (1 << 31 - 1, 1 << 30, 1 << 30, 4))
    with pytest.raises(EvaluationError, match="holds"):
        Contents(tflrecover.read(file.content(weight)).graph)[weight]


def dense_of_blocks():
    """A file of one dense layer whose kernel has scales per block, the kernel's index, and its model."""
    import keras

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2, use_bias=False, name="dense")])
    file = File()
    x = file.input((1, 8))
    scale = file.const(np.array([[0.5], [0.25]], "float32"))
    weight = file.const(packed(np.arange(16) - 8, 4), "int4", (2, 8), quantization=blockwise(scale, 8))
    y = file.op("FULLY_CONNECTED", (x, weight, -1), (1, 2), options="FullyConnectedOptions")
    return file.content(y), weight, model


@pytest.mark.parametrize("place", ["t{}", "tensor {}", "#0"])
def test_mapping_reads_quantized_tensors(place):
    """A variable that the mapping fills gets real numbers, blockwise scales included."""
    content, weight, model = dense_of_blocks()
    rule = {"tflrecover": 1, "weights": {"dense/kernel": {"from": place.format(weight), "layout": "o i -> i o"}}}
    assert tflrecover.port(content, model, rule).ok
    wanted = (np.arange(16) - 8).reshape(2, 8) * np.array([[0.5], [0.25]])
    assert np.array_equal(model.get_layer("dense").kernel, wanted.T)


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("t99", "'t99' is no constant tensor of the file; `tflrecover inspect --full FILE` lists"),
        ("#0", "gives shape (2, 8), the variable has (8, 2); say how its axes go"),
    ],
)
def test_a_weight_that_does_not_fit_is_told_with_its_line(tmp_path, place, told):
    content, _, model = dense_of_blocks()
    path = tmp_path / "mapping.yaml"
    path.write_text(f'tflrecover: 1\nweights:\n  dense/kernel: {{from: "{place}"}}\n', encoding="utf-8")
    with pytest.raises(tflrecover.StaleMapping) as caught:
        tflrecover.port(content, model, path)
    assert str(caught.value).startswith(f"{path}:3: weights.dense/kernel: {told}")
