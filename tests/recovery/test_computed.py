"""Operators whose shapes, places and axes are computed, and constants that nothing computes."""

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from tests.core import file_builders
from tests.core.op_consistency import assert_close, run
from tests.core.op_files import Example, Given, real, whole
from tflrecover.errors import UnsupportedOperators
from tflrecover.recovery import recover

# Operands that decide what is done are fed: no shape of a result follows from the file.
COMPUTED = {
    "SLICE": Example((Given(real(4, 5)), Given(whole(1, 2)), whole(2, 3))),
    "STRIDED_SLICE": Example(
        (Given(real(4, 5)), Given(whole(1, 0)), Given(whole(2, 5)), whole(1, 2)), "StridedSlice", {"shrinkAxisMask": 1}
    ),
    "RESHAPE": Example((Given(real(2, 6)), Given(whole(3, 4)))),
    "TRANSPOSE": Example((Given(real(2, 3, 4)), Given(whole(2, 0, 1)))),
    "TILE": Example((Given(real(2, 3)), Given(whole(2, 1)))),
    "PAD": Example((Given(real(2, 3)), Given(whole([1, 2], [0, 1])))),
    "BROADCAST_TO": Example((Given(real(3, 1)), Given(whole(2, 3, 4))), version=2),
    "REVERSE_V2": Example((Given(real(2, 3)), Given(whole(1)))),
    "TOPK_V2": Example(
        (Given(real(3, 5)), Given(whole(2).reshape(()))), "TopKV2", results=2, kind=("float32", "int32")
    ),
    "SUM": Example((Given(real(2, 3, 4)), Given(whole(0, -1))), "Reducer", {"keepDims": True}),
    "ARG_MAX": Example((Given(real(3, 5)), Given(whole(1))), "ArgMax", {"outputType": 2}, kind="int32"),
    "RESIZE_BILINEAR": Example(
        (Given(real(1, 7, 6, 2)), Given(whole(14, 12))), "ResizeBilinear", {"halfPixelCenters": True}
    ),
    "FULLY_CONNECTED": Example(
        (Given(real(2, 3, 4)), Given(real(5, 4, low=-1)), real(5)),
        "FullyConnected",
        {"keepNumDims": True, "fusedActivationFunction": file_builders.FUSED.RELU},
    ),
    "CONV_2D": Example(
        (Given(real(1, 7, 6, 3)), Given(real(4, 3, 2, 3, low=-1)), real(4)),
        "Conv2D",
        {
            "strideH": 2,
            "strideW": 1,
            "padding": schema.Padding.SAME,
            "fusedActivationFunction": file_builders.FUSED.RELU6,
        },
    ),
    "DEPTHWISE_CONV_2D": Example(
        (Given(real(1, 7, 6, 3)), Given(real(1, 3, 2, 6, low=-1)), real(6)),
        "DepthwiseConv2D",
        {"strideH": 1, "strideW": 1, "padding": schema.Padding.VALID, "depthMultiplier": 2},
    ),
    "CONV_3D": Example(
        (Given(real(1, 5, 6, 7, 2)), Given(real(2, 3, 2, 2, 3)), real(3)),
        "Conv3D",
        {"strideD": 1, "strideW": 2, "strideH": 2, "padding": schema.Padding.VALID},
    ),
    "SPLIT": Example((Given(whole(1).reshape(())), Given(real(2, 6))), "Split", {"numSplits": 3}, 3),
}


@pytest.mark.parametrize("name", sorted(COMPUTED))
def test_operands_that_decide_may_be_computed(name):
    content, feeds, wanted = run(name, COMPUTED[name])
    made = recover(content)(feeds)
    results = made if isinstance(made, (list, tuple)) else [made]
    for got, expected in zip(results, wanted, strict=True):
        assert_close(got, expected)


def test_outputs_that_no_input_decides():
    file, table = file_builders.File(), real(5, 4)
    x = file.input((1, 4))
    file.op("RELU", [x], (1, 4))
    content = file.content(1, file.const(table))
    model = recover(content)
    assert model.input_shape == (None, 4)
    relu, constant = model(np.float32([[1, -1, 2, -2], [3, 4, -5, 6]]))
    assert relu.shape == (2, 4)
    assert np.array_equal(constant, table)


def test_quantized_bias_of_a_computed_kernel():
    grids = {name: {"quantization": file_builders.quantization(scale)} for name, scale in (("x", 0.5), ("y", 0.25))}
    file = file_builders.File()
    x, kernel = (file.input(shape, "int8", **grids["x"]) for shape in ((1, 4), (3, 4)))
    bias = file.const(np.int32([3, -5, 1]), quantization=file_builders.quantization(0.25))
    y = file.op("FULLY_CONNECTED", [x, kernel, bias], (1, 3), "int8", "FullyConnectedOptions", result=grids["y"])
    given = [np.float32([[1, -0.5, 0, 2]]), real(3, 4)]
    wanted = given[0] @ given[1].T + np.float32([0.75, -1.25, 0.25])
    assert_close(recover(file.content(y))(given), wanted)


def test_zeros_have_the_type_of_the_file():
    file = file_builders.File()
    x = file.input((1, 3), "int32")
    zeros = file.op("ZEROS_LIKE", [x], (1, 3), "int32", "ZerosLikeOptions")
    content = file.content(file.op("ADD", [x, zeros], (1, 3), "int32", "AddOptions"), zeros)
    total, zeros = recover(content)(np.int32([[1, 2, 3]]))
    assert total.dtype == zeros.dtype == "int32"
    assert np.array_equal(total, [[1, 2, 3]])


def test_a_shape_that_the_data_decide_is_no_constant():
    file = file_builders.File()
    x = file.input((6,), "bool")
    places = file.op("WHERE", [x], (1, 1), "int64")
    with pytest.raises(UnsupportedOperators, match=r"WHERE \(operator 0\): its result has a size that the data decide"):
        recover(file.content(file.op("SHAPE", [places], (2,), "int32", "ShapeOptions", outType=2)))


def test_every_operator_that_is_missing_is_told_at_once():
    file = file_builders.File()
    x = file.input((2, 3))
    lost = file.tensor((2, 3))
    one = file.op("ADD", [x, lost], (2, 3), options="AddOptions")
    two = file.op("CONCAT_EMBEDDINGS", [one], (2, 3))
    with pytest.raises(UnsupportedOperators) as raised:
        recover(file.content(file.op("RELU", [two], (2, 3)), file.op("SKIP_GRAM", [x], (2, 3))))
    assert [(place, kind) for place, kind, _ in raised.value.operators] == [
        (0, "ADD"),
        (1, "CONCAT_EMBEDDINGS"),
        (3, "SKIP_GRAM"),
    ]


def test_constants_of_keras_ops_are_saved(tmp_path):
    content, feeds, (wanted,) = run("MAXIMUM", Example((Given(real(2, 3000)), real(3000))))
    model = recover(content)
    model.save(tmp_path / "model.keras")
    assert np.array_equal(keras.saving.load_model(tmp_path / "model.keras")(feeds[0]), wanted)


@pytest.mark.parametrize("size", [3, 300])
def test_constants_of_functions_are_saved(size, tmp_path):
    table = real(size, 2)
    content, feeds, (wanted,) = run(
        "GATHER", Example((table[None], Given(whole([2, 0, 1]))), "Gather", {"axis": 1, "batchDims": 1})
    )
    model = recover(content)
    assert any(layer.__class__.__name__ == "TensorFlowFunction" for layer in model.layers)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert np.array_equal(loaded(feeds[0]), wanted)


def test_a_file_without_inputs_is_no_model():
    file = file_builders.File()
    with pytest.raises(UnsupportedOperators, match="has no input"):
        recover(file.content(file.const(real(2))))


def test_dilation_beside_strides():
    file = file_builders.File()
    x = file.input((1, 9, 8, 3))
    window = {"strideH": 2, "strideW": 2, "dilationHFactor": 2, "dilationWFactor": 3, "padding": schema.Padding.SAME}
    kernel, bias = file.const(real(1, 3, 2, 3, low=-1)), file.const(real(3))
    y = file.op(
        "DEPTHWISE_CONV_2D",
        [x, kernel, bias],
        (1, 5, 4, 3),
        options="DepthwiseConv2DOptions",
        depthMultiplier=1,
        **window,
    )
    content, fed = file.content(y), real(1, 9, 8, 3)
    assert_close(recover(content)(fed), file_builders.run(content, fed)[0])
