"""Attention as Keras has it; :mod:`tflrecover.recovery.attention` makes it of what files write out."""

from __future__ import annotations

from typing import Any

from tflrecover.ops.spec import Builder, OpSpec, Part


def _keras(builder: Builder, part: Part) -> Any:
    query, value, key, *weights = part.args
    features, units = part.shape(0)[-1], part.output_shape[-1]
    arguments = {name: part.attributes[name] for name in ("num_heads", "key_dim")}
    if part.attributes["value_dim"] != part.attributes["key_dim"]:
        arguments["value_dim"] = part.attributes["value_dim"]
    if units != features:
        arguments["output_shape"] = units
    if not part.attributes["use_bias"]:
        arguments["use_bias"] = False
    inputs = (query, value) if key is value else (query, value, key)
    return builder.layer("MultiHeadAttention", *inputs, weights=weights, **arguments)


MULTI_HEAD_ATTENTION = OpSpec(
    "MULTI_HEAD_ATTENTION",
    keras=_keras,
    roles=("query", "value", "key", "*weights"),
    declared=("num_heads", "key_dim", "value_dim"),
)

SPECS = (MULTI_HEAD_ATTENTION,)
