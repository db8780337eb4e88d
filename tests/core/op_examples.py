"""One example of every operator: the smallest file that holds it, for LiteRT to run and for the library to read.

A file's example names the operands in order (``given`` are fed, plain arrays are constants of the file) and the fields
of its options. What no file holds has operands and attributes in canonical terms.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.core.op_examples_more import MORE
from tests.core.op_files import RNG, SAME, VALID, Example, Given, flags, real, whole
from tflrecover.ops import index


def _image(channels: int = 4) -> Given:
    return Given(real(1, 7, 6, channels, low=-1))


def _window(options: str, **fields: Any) -> dict[str, Any]:
    sizes = {"strideW": 1, "strideH": 2, "padding": SAME, **fields}
    return {"options": options, "fields": sizes}


def _unary(low: float, high: float, *names: str) -> dict[str, Example]:
    return {name: Example((Given(real(2, 3, 4, low=low, high=high)),)) for name in names}


def _binary(*names: str) -> dict[str, Example]:
    return {name: Example((Given(real(2, 3, 4)), Given(real(3, 1)))) for name in names}


def _compared(*names: str) -> dict[str, Example]:
    x = np.array([[1, 2, 3], [3, 2, 1]], np.float32)
    return {name: Example((Given(x), Given(x[::-1].copy())), kind="bool") for name in names}


def _reduced(*names: str) -> dict[str, Example]:
    return {name: Example((Given(real(2, 3, 4)), whole(0, -1)), "Reducer", {"keepDims": True}) for name in names}


def _pool(*names: str) -> dict[str, Example]:
    return {name: Example((_image(),), **_window("Pool2D", filterWidth=3, filterHeight=2)) for name in names}


def _resize(name: str, options: str) -> dict[str, Example]:
    return {name: Example((_image(2), whole(14, 12)), options, {"halfPixelCenters": True})}


FILES: dict[str, Example] = {
    **_unary(-3, 3, *["ABS", "NEG", "SQUARE", "EXP", "SIN", "COS", "FLOOR", "CEIL", "ROUND", "SIGN"]),
    **_unary(
        -8, 8, *["RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "LOGISTIC", "TANH", "ELU", "HARD_SWISH", "LOG_SOFTMAX"]
    ),
    **_unary(0.1, 4, "SQRT", "RSQRT", "LOG"),
    **_binary(
        *["ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "POW", "SQUARED_DIFFERENCE", "FLOOR_DIV", "FLOOR_MOD"]
    ),
    **_compared(*["EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"]),
    **{name: Example((Given(flags(3, 4)), Given(flags(3, 4))), kind="bool") for name in ("LOGICAL_AND", "LOGICAL_OR")},
    "LOGICAL_NOT": Example((Given(flags(3, 4)),), kind="bool"),
    **_reduced(*["SUM", "MEAN", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"]),
    **{
        name: Example((Given(flags(3, 4)), whole(1)), "Reducer", {"keepDims": False}, kind="bool")
        for name in ("REDUCE_ANY", "REDUCE_ALL")
    },
    "ARG_MAX": Example((Given(real(3, 5)), whole(1)), "ArgMax", {"outputType": schema.TensorType.INT32}, kind="int32"),
    "ARG_MIN": Example((Given(real(3, 5)), whole(-1)), "ArgMin", {"outputType": schema.TensorType.INT32}, kind="int32"),
    "SOFTMAX": Example((Given(real(3, 5, low=-3)),), "Softmax", {"beta": 0.7}),
    "LEAKY_RELU": Example((Given(real(3, 5, low=-3)),), "LeakyRelu", {"alpha": 0.3}),
    "GELU": Example((Given(real(3, 5, low=-3)),), "Gelu", {"approximate": True}),
    "PRELU": Example((_image(), real(1, 1, 4, low=-1))),
    "SELECT": Example((Given(flags(3, 4)), Given(real(3, 4)), Given(real(3, 4)))),
    "SELECT_V2": Example((Given(flags(3, 1)), Given(real(3, 4)), Given(real(4)))),
    "CAST": Example(
        (Given(real(3, 4, low=-9, high=9)),), "Cast", {"outDataType": schema.TensorType.INT32}, kind="int32"
    ),
    "L2_NORMALIZATION": Example((Given(real(2, 3, 4)),), "L2Norm"),
    "LOCAL_RESPONSE_NORMALIZATION": Example(
        (_image(7),), "LocalResponseNormalization", {"radius": 2, "bias": 0.9, "alpha": 0.2, "beta": 0.6}
    ),
    "CONV_2D": Example((_image(), real(6, 3, 2, 2), real(6)), **_window("Conv2D", dilationWFactor=2)),
    "DEPTHWISE_CONV_2D": Example(
        (_image(), real(1, 3, 2, 8), real(8)), **_window("DepthwiseConv2D", strideH=1, depthMultiplier=2)
    ),
    "CONV_3D": Example(
        (Given(real(1, 5, 6, 7, 2)), real(2, 3, 2, 2, 3), real(3)),
        "Conv3D",
        {"strideD": 1, "strideW": 2, "strideH": 2, "padding": VALID},
    ),
    "TRANSPOSE_CONV": Example((whole(1, 14, 6, 5), real(5, 3, 2, 4), _image()), **_window("TransposeConv")),
    "FULLY_CONNECTED": Example(
        (Given(real(2, 3, 4)), real(5, 4), real(5)),
        "FullyConnected",
        {"keepNumDims": True},
    ),
    "BATCH_MATMUL": Example((Given(real(2, 3, 4)), Given(real(2, 5, 4))), "BatchMatMul", {"adjY": True}),
    **_pool("MAX_POOL_2D", "AVERAGE_POOL_2D"),
    **_resize("RESIZE_BILINEAR", "ResizeBilinear"),
    **_resize("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighbor"),
    "RESHAPE": Example((Given(real(2, 3, 4)), whole(4, -1)), "Reshape", {"newShape": [4, -1]}),
    "SQUEEZE": Example((Given(real(2, 1, 4)),), "Squeeze", {"squeezeDims": [1]}),
    "EXPAND_DIMS": Example((Given(real(2, 4)), whole(1))),
    "TRANSPOSE": Example((Given(real(2, 3, 4)), whole(2, 0, 1))),
    "PACK": Example((Given(real(2, 3)), Given(real(2, 3))), "Pack", {"axis": 1, "valuesCount": 2}),
    "CONCATENATION": Example((Given(real(2, 3)), Given(real(2, 4))), "Concatenation", {"axis": -1}),
    "PAD": Example((Given(real(2, 3)), whole([1, 2], [0, 1]))),
    "PADV2": Example((Given(real(2, 3)), whole([1, 2], [0, 1]), real())),
    "MIRROR_PAD": Example((Given(real(4, 3)), whole([1, 2], [0, 1])), "MirrorPad", {"mode": 0}),
    "STRIDED_SLICE": Example(
        (Given(real(4, 5, 6)), whole(1, 0, 2), whole(4, 5, 3), whole(2, 1, 1)),
        "StridedSlice",
        {"endMask": 2, "shrinkAxisMask": 4},
    ),
    "SLICE": Example((Given(real(4, 5)), whole(1, 2), whole(2, -1))),
    "GATHER": Example((Given(real(4, 5, 2)), Given(whole(2, 0, 2))), "Gather", {"axis": 1}),
    "SPLIT": Example((whole(1).reshape(()), Given(real(2, 6))), "Split", {"numSplits": 3}, 3),
    "SPLIT_V": Example((Given(real(2, 6)), whole(1, 2, 3), whole(1).reshape(())), "SplitV", {"numSplits": 3}, 3),
    "UNPACK": Example((Given(real(2, 3)),), "Unpack", {"num": 3, "axis": 1}, 3),
    "RANGE": Example((Given(np.float32(1)), Given(np.float32(9)), Given(np.float32(2)))),
    "FILL": Example((Given(whole(2, 3)), Given(np.float32(1.5)))),
    "BROADCAST_ARGS": Example((Given(whole(3, 1)), Given(whole(2, 1, 4))), kind="int32"),
    "BROADCAST_TO": Example((Given(real(3, 1)), whole(2, 3, 4)), version=2),
    "TILE": Example((Given(real(2, 3)), whole(2, 1))),
    "CUMSUM": Example((Given(real(2, 3, 4)), whole(1).reshape(())), "Cumsum", {"exclusive": True, "reverse": True}),
    "ONE_HOT": Example(
        (Given(whole(0, 2, 1)), whole(4).reshape(()), np.float32(1.5), np.float32(-0.5)), "OneHot", {"axis": -1}
    ),
    "BUCKETIZE": Example((Given(real(3, 4)),), "Bucketize", {"boundaries": [0.7, 1.2]}, kind="int32"),
    "CONV_3D_TRANSPOSE": Example(
        (whole(1, 6, 8, 8, 3), real(3, 3, 3, 3, 2), Given(real(1, 2, 3, 3, 2))),
        "Conv3D",
        {"strideD": 2, "strideW": 2, "strideH": 2, "padding": VALID},
    ),
    "REVERSE_V2": Example((Given(real(2, 3)), whole(1))),
    "DEPTH_TO_SPACE": Example((Given(real(1, 2, 3, 8)),), "DepthToSpace", {"blockSize": 2}),
    "SPACE_TO_DEPTH": Example((Given(real(1, 4, 6, 2)),), "SpaceToDepth", {"blockSize": 2}),
    "SPACE_TO_BATCH_ND": Example((Given(real(1, 4, 5, 2)), whole(2, 3), whole([0, 0], [1, 0]))),
    "BATCH_TO_SPACE_ND": Example((Given(real(6, 2, 2, 2)), whole(2, 3), whole([0, 0], [1, 0]))),
    **MORE,
}

_POOL = {"pool_size": (3, 2), "strides": (2, 1), "padding": "same"}

CANONICAL: dict[str, tuple[list[Any], dict[str, Any]]] = {
    **{
        name: ([real(2, 3, low=-3)], {}) for name in ["SILU", "ERF", "ERFC", "SOFTPLUS", "SOFTSIGN", "SELU", "IDENTITY"]
    },
    "RECIPROCAL": ([real(2, 3)], {}),
    "EINSUM": ([real(2, 3, 4), real(2, 5, 4)], {"equation": "abc,adc->abd"}),
    "ROLL": ([real(2, 3, 4)], {"shift": (1, -2), "axis": (1, 2)}),
    "MATRIX_BAND_PART": ([real(3, 4), np.int64(-1), np.int64(1)], {}),
    "MaxPoolingWithArgmax2D": ([real(1, 6, 7, 2, low=-1)], _POOL),
    "MaxUnpooling2D": ([real(1, 2, 3, 2), np.float32(RNG.integers(0, 6, (1, 2, 3, 2)))], _POOL),
    "Landmarks2TransformMatrix": (
        [real(1, 5, 3)],
        {
            "left_rotation_idx": 1,
            "right_rotation_idx": 3,
            "target_rotation_radians": 0.1,
            "subset_idxs": (0, 2, 4),
            "scale": (1.5, 1.2),
            "size": (4, 5),
        },
    ),
    "TransformTensorBilinear": ([real(1, 6, 7, 2), real(1, 4, 4)], {"size": (3, 4)}),
    "TransformLandmarks": ([real(1, 5, 3), real(1, 4, 4)], {}),
    "REARRANGE": ([real(2, 3, 12)], {"pattern": "a b (c d) -> b c a d", "axes": {"c": 3}}),
    "ROUNDED": (
        [real(3, 4, low=-9, high=9)],
        {"scale": real(4), "zero_point": np.arange(4) - 2, "axis": 1, "low": -8, "high": 7},
    ),
    "DEQUANTIZE": (
        [RNG.integers(-128, 128, (3, 4)).astype(np.int8)],
        {"scale": real(4), "zero_point": np.arange(4) - 2, "axis": 1},
    ),
}

# Another value of each declared attribute, which asks for another computation.
OTHERWISE: dict[str, Any] = {
    "kernel_size": lambda sizes: (sizes[0] + 1, *sizes[1:]),
    "pool_size": lambda sizes: (sizes[0] + 1, *sizes[1:]),
    "strides": lambda strides: (*strides[:-1], strides[-1] + 1),
    "dilation_rate": lambda rates: (rates[0] + 1, *rates[1:]),
    "padding": lambda padding: "valid" if padding == "same" else "same",
    "value": lambda value: value + 1,
    "filters": lambda count: count + 1,
    "groups": lambda count: count + 1,
    "depth_multiplier": lambda count: count + 1,
    "output_padding": lambda extra: tuple(n - 1 for n in extra) if extra else (0, 0),
}

_LITERT_RUNS = "LiteRT runs it; nothing that is made of constants alone goes through it"
_READ_AS_ANOTHER = "is read as another operator, which is evaluated"
_TAKEN_AS_IT_IS = "is taken as it is: the same operands in both dialects, and no option"
_CHANGES_STORAGE = "changes how numbers are stored, not what they mean: it is read as nothing"

NOT_EVALUATED: dict[str, str] = {
    **dict.fromkeys(["CONV_2D", "DEPTHWISE_CONV_2D", "CONV_3D", "TRANSPOSE_CONV", "FULLY_CONNECTED"], _LITERT_RUNS),
    **dict.fromkeys(
        ["BATCH_MATMUL", "CONV_3D_TRANSPOSE", "MAX_POOL_2D", "AVERAGE_POOL_2D", "ONE_HOT", "TOPK_V2"],
        _LITERT_RUNS,
    ),
    **dict.fromkeys(
        ["MAX_POOL_3D", "AVERAGE_POOL_3D"], "TensorFlow runs it; nothing made of constants goes through it"
    ),
    **dict.fromkeys(["RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"], _LITERT_RUNS),
    **dict.fromkeys(
        ["L2_POOL_2D", "REVERSE_SEQUENCE", "UNIQUE", "EMBEDDING_LOOKUP_SPARSE", "LSH_PROJECTION"], _LITERT_RUNS
    ),
    "RFFT": "written out in operators that are",
    **dict.fromkeys(["NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5"], _LITERT_RUNS),
    **dict.fromkeys(["RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "MULTINOMIAL"], "gives other numbers each time"),
    **dict.fromkeys(["SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH"], _LITERT_RUNS),
    **dict.fromkeys(
        ["SQUEEZE", "EXPAND_DIMS", "PADV2", "SLICE", "SELECT", "SPLIT", "SPLIT_V", "UNPACK", "EMBEDDING_LOOKUP"],
        _READ_AS_ANOTHER,
    ),
    "QUANTIZE": _CHANGES_STORAGE,
    "FAKE_QUANT": _CHANGES_STORAGE,
    "DENSIFY": _CHANGES_STORAGE,
    "SHAPE": "is a constant as soon as shapes are known, and never an operator of the canonical form",
    "AFFINE": "is a form of our own that MUL and ADD are brought to; it is undone before anything is computed",
    "Convolution2DTransposeBias": "LiteRT runs it by XNNPACK; it is read as TRANSPOSE_CONV",
    "SET_ITEM": "is TensorFlow's list, which exists in loops only",
    **dict.fromkeys(
        ["STATE", "NEXT_STATE"], "is a variable between two calls; run call by call in test_recurrent_state.py"
    ),
    **dict.fromkeys(
        [
            "LSTM",
            "UNIDIRECTIONAL_SEQUENCE_LSTM",
            "BIDIRECTIONAL_SEQUENCE_LSTM",
            "UNIDIRECTIONAL_SEQUENCE_RNN",
            "BIDIRECTIONAL_SEQUENCE_RNN",
        ],
        "is written out as a loop; ported and run against LiteRT in test_fused_recurrent.py",
    ),
    **dict.fromkeys(
        ["SVDF", "RNN"], "is written out with its memory as a state; run call by call in recovery/test_control.py"
    ),
    **dict.fromkeys(
        ["WHILE", "IF", "CHOICE"], "runs graphs of its own; run against LiteRT in recovery/test_control.py"
    ),
    **dict.fromkeys(
        [
            "LAYER_NORMALIZATION",
            "GROUP_NORMALIZATION",
            "RMS_NORMALIZATION",
            "UNIT_NORMALIZATION",
            "MULTI_HEAD_ATTENTION",
            "SEPARABLE_CONV_2D",
        ],
        "is several operators of the file; run against LiteRT in recovery/test_written_out.py",
    ),
    **dict.fromkeys(
        ["DOT_PRODUCT_ATTENTION", "MASKED_SOFTMAX"],
        "is several operators of the file; run against LiteRT in recovery/test_scores.py",
    ),
    **dict.fromkeys(
        ["ATTENTION", "ADDITIVE_ATTENTION", "DOT"],
        "is several operators of the file; run against LiteRT in recovery/test_products.py",
    ),
    **dict.fromkeys(
        ["REPEAT_VECTOR", "TIME_DISTRIBUTED"],
        "is several operators of the file; run against LiteRT in recovery/test_steps.py",
    ),
    "LEARNED_TABLE": "is a constant of the file; run against LiteRT in recovery/test_tables.py",
    **dict.fromkeys(
        ["RECURRENT", "BIDIRECTIONAL"], "is a loop of the file; run against LiteRT in recovery/test_recurrent.py"
    ),
    **dict.fromkeys(sorted(index._SAME_IN_BOTH.keys() - index._COMBINE.keys()), _TAKEN_AS_IT_IS),
    **dict.fromkeys(["HASHTABLE_FIND", "HASHTABLE_SIZE"], "is asked of a table; run in recovery/test_strings.py"),
}

# Read, but not from a builtin of that name: LiteRT cannot be asked.
NO_FILE: dict[str, str] = {
    **dict.fromkeys(
        ["SILU", "ERF", "ERFC", "SOFTPLUS", "SOFTSIGN", "SELU"], "no builtin of TFLite; compared with TensorFlow"
    ),
    "DEQUANTIZE": "of a constant; LiteRT's own is compared in the files of quantized models",
    "QUANTIZE": _CHANGES_STORAGE,
    "FAKE_QUANT": _CHANGES_STORAGE,
    "DENSIFY": _CHANGES_STORAGE,
    **{name: NOT_EVALUATED[name] for name in ("SHAPE", "HASHTABLE_FIND", "HASHTABLE_SIZE")},
    **dict.fromkeys(sorted(index._SAME_IN_BOTH.keys() - FILES.keys()), _TAKEN_AS_IT_IS),
    "Convolution2DTransposeBias": "custom; ported and run in the tests of BlazePalm",
    **dict.fromkeys(
        [
            "MaxPoolingWithArgmax2D",
            "MaxUnpooling2D",
            "Landmarks2TransformMatrix",
            "TransformTensorBilinear",
            "TransformLandmarks",
            "TFLite_Detection_PostProcess",
        ],
        "custom; evaluated and recovered in recovery/test_custom_ops.py",
    ),
}
