"""Mappings that are right and mappings that are wrong, for every reader of the format."""

from __future__ import annotations

from typing import Any

# Every key of the format, as in its specification.
FULL = """\
tflrecover: 1
tflite: {sha256: 8d3cab12}
match:
  conv2d_42: regressor_8
inputs: {image: "#0"}
outputs: {boxes: regressors}
skip: ["classificator_*"]
ignore: ["normalize/*"]
accept:
  - {layer: max_pooling2d, attribute: pool_size}
  - {op: "#7", kind: missing}
weights:
  qkv/kernel: {from: [q/kernel, k/kernel, v/kernel], concat: -1}
  head/kernel: {from: dense/MatMul, layout: "o i -> i o"}
custom_ops:
  Convolution2DTransposeBias: {as: TRANSPOSE_CONV}
"""

RIGHT: dict[str, dict[str, Any]] = {
    "empty": {"tflrecover": 1},
    "guard": {"tflrecover": 1, "tflite": {"sha256": "0" * 64}},
    "match": {"tflrecover": 1, "match": {"conv2d": "#3", "a/b": "name"}},
    "accept": {"tflrecover": 1, "accept": [{"layer": "pool"}, {"op": "#1", "kind": "missing", "attribute": "x"}]},
    "one source": {"tflrecover": 1, "weights": {"a/kernel": {"from": "x"}}},
    "joined": {"tflrecover": 1, "weights": {"a/kernel": {"from": ["x", "y"], "concat": 0}}},
    "custom": {"tflrecover": 1, "custom_ops": {"Mine": {"as": "CONV_2D"}}},
}

# What the JSON Schema can see too.
WRONG_SHAPE: dict[str, dict[str, Any]] = {
    "no version": {},
    "another version": {"tflrecover": 2},
    "version as text": {"tflrecover": "1"},
    "version as truth": {"tflrecover": True},
    "unknown key": {"tflrecover": 1, "matsch": {}},
    "number for a name": {"tflrecover": 1, "match": {"a": 3}},
    "nothing in a section": {"tflrecover": 1, "match": None},
    "text for a list": {"tflrecover": 1, "skip": "a*"},
    "number in a list": {"tflrecover": 1, "ignore": [3]},
    "guard too short": {"tflrecover": 1, "tflite": {"sha256": "8d3c"}},
    "guard not hexadecimal": {"tflrecover": 1, "tflite": {"sha256": "x" * 64}},
    "accept everything": {"tflrecover": 1, "accept": [{"attribute": "pool_size"}]},
    "unknown kind": {"tflrecover": 1, "accept": [{"layer": "a", "kind": "other"}]},
    "no source": {"tflrecover": 1, "weights": {"a": {"concat": 0}}},
    "empty sources": {"tflrecover": 1, "weights": {"a": {"from": []}}},
    "axis as text": {"tflrecover": 1, "weights": {"a": {"from": "x", "concat": "0"}}},
    "no meaning": {"tflrecover": 1, "custom_ops": {"Mine": {}}},
    "field of the model, not of the format": {"tflrecover": 1, "weights": {"a": {"sources": "x"}}},
}
