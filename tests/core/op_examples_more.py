"""Examples of operators that few files hold: indices, tables, complex numbers, bits, random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tests.core.op_files import RNG, SAME, Example, Given, flags, real, whole


def _numbers(dtype: str, *shape: int, low: int = -20, high: int = 20) -> np.ndarray:
    return RNG.integers(low, high, shape).astype(dtype)


def _long(*rows: list[int]) -> list[np.ndarray]:
    return [np.array(row, np.int64) for row in rows]


def _complex(*shape: int) -> np.ndarray:
    return (real(*shape) + 1j * real(*shape, low=-2)).astype(np.complex64)


_BOXES = np.array([[0, 0, 1, 1], [0, 0.1, 1, 1.1], [0, 2, 1, 3], [0, 2.05, 1, 3.1], [4, 4, 5, 5]], np.float32)
_SCORES = np.array([0.9, 0.75, 0.6, 0.95, 0.3], np.float32)
_SUPPRESSION = (Given(_BOXES), Given(_SCORES), whole(4).reshape(()), np.float32(0.5), np.float32(0.2))
_SEGMENTS = (Given(real(6, 2)), Given(whole(2, 0, 1, 2, 0, 2)), whole(4).reshape(()))


def _window(name: str) -> dict[str, Any]:
    return {"options": "ReduceWindow", "fields": {"reduceFunction": getattr(schema.ReduceWindowFunction, name)}}


MORE: dict[str, Example] = {
    "ADD_N": Example((Given(real(2, 3)), Given(real(2, 3)), Given(real(2, 3)))),
    "ATAN2": Example((Given(real(3, 4, low=-2)), Given(real(3, 4, low=-2)))),
    "BITCAST": Example((Given(real(2, 3)),), "Bitcast", kind="int32"),
    "BITWISE_XOR": Example((Given(_numbers("int32", 2, 3)), Given(_numbers("int32", 3))), kind="int32"),
    "RIGHT_SHIFT": Example(
        (Given(_numbers("int16", 2, 3)), Given(_numbers("int16", 2, 3, low=0, high=5))), "RightShift", kind="int16"
    ),
    "COMPLEX_ABS": Example((Given(_complex(2, 3)),)),
    "REAL": Example((Given(_complex(2, 3)),)),
    "IMAG": Example((Given(_complex(2, 3)),)),
    "RFFT2D": Example((Given(real(2, 4, 8)), whole(4, 8)), "Rfft2d", kind="complex64"),
    "GATHER_ND": Example((Given(real(3, 4, 2)), Given(whole([[0, 1], [2, 3]], [[1, 1], [0, 0]])))),
    "SCATTER_ND": Example((Given(whole([0], [2], [0])), Given(real(3, 2)), whole(4, 2))),
    "SEGMENT_SUM": Example((Given(real(4, 2)), Given(whole(0, 0, 1, 2)))),
    **{f"UNSORTED_SEGMENT_{name}": Example(_SEGMENTS) for name in ("SUM", "PROD", "MIN", "MAX")},
    "MATRIX_DIAG": Example((Given(real(2, 3)),), "MatrixDiag"),
    "MATRIX_SET_DIAG": Example((Given(real(2, 3, 3)), Given(real(2, 3))), "MatrixSetDiag"),
    "WHERE": Example((Given(flags(3, 4)),), kind="int64"),
    "TOPK_V2": Example((Given(real(3, 5)), whole(2).reshape(())), "TopKV2", results=2, kind=("float32", "int32")),
    "UNIQUE": Example((Given(whole(4, 1, 4, 7, 1)),), "Unique", {"idxOutType": 2}, 2, ("int32", "int32")),
    "REVERSE_SEQUENCE": Example(
        (Given(real(2, 4, 3)), Given(whole(3, 2))), "ReverseSequence", {"seqDim": 1, "batchDim": 0}
    ),
    "EMBEDDING_LOOKUP": Example((Given(whole(2, 0, 2)), real(4, 3))),
    "EMBEDDING_LOOKUP_SPARSE": Example(
        (Given(whole(1, 3, 0)), whole([0, 0], [2, 0], [2, 1]), whole(3, 2), Given(real(3)), real(4, 2, 3)),
        "EmbeddingLookupSparse",
        {"combiner": schema.CombinerType.SQRTN},
    ),
    "HASHTABLE_LOOKUP": Example(
        (Given(whole(7, 1, 4)), whole(1, 3, 7), real(3, 2)), results=2, kind=("float32", "uint8")
    ),
    "LSH_PROJECTION": Example(
        (real(2, 3), Given(_numbers("int32", 4, 2)), Given(real(4))),
        "LSHProjection",
        {"type": schema.LSHProjectionType.SPARSE},
        kind="int32",
    ),
    "SPARSE_TO_DENSE": Example(
        (Given(whole([0, 1], [2, 0])), whole(3, 2), Given(real(2)), np.float32(-1)), "SparseToDense"
    ),
    "NON_MAX_SUPPRESSION_V4": Example(_SUPPRESSION, "NonMaxSuppressionV4", results=2, kind=("int32", "int32")),
    "NON_MAX_SUPPRESSION_V5": Example(
        (*_SUPPRESSION, np.float32(0)), "NonMaxSuppressionV5", results=3, kind=("int32", "float32", "int32")
    ),
    "L2_POOL_2D": Example(
        (Given(real(1, 7, 6, 4, low=-1)),),
        "Pool2D",
        {"strideW": 1, "strideH": 2, "padding": SAME, "filterWidth": 3, "filterHeight": 2},
    ),
    "DILATE": Example((Given(real(2, 3, 4)), whole(1, 2, 3), np.float32(-1)), "Dilate"),
    "REDUCE_WINDOW": Example(
        (Given(real(2, 7, 6)), np.float32(0.25), *_long([1, 3, 2], [1, 2, 1], [1, 2, 1])), **_window("ADD")
    ),
    "DYNAMIC_UPDATE_SLICE": Example((Given(real(4, 5)), Given(real(2, 2)), Given(whole(3, 1)))),
    "RANDOM_UNIFORM": Example((Given(whole(2, 3)),), "Random", {"seed": 3, "seed2": 5}),
    "RANDOM_STANDARD_NORMAL": Example((Given(whole(2, 3)),), "Random", {"seed": 3, "seed2": 5}),
    "MULTINOMIAL": Example((Given(real(2, 3)), whole(5).reshape(())), "Random", {"seed": 3, "seed2": 5}, kind="int64"),
    "RANK": Example((Given(real(2, 3)),), "Rank", kind="int32"),
    "SHAPE": Example((Given(real(2, 3)),), "Shape", {"outType": 2}, kind="int32"),
    "ZEROS_LIKE": Example((Given(real(2, 3)),), "ZerosLike"),
}
