"""Attention as Keras has it; :mod:`tflrecover.recovery.attention` makes it of what files write out."""

from __future__ import annotations

import math
from typing import Any

from tflrecover.ops.spec import Builder, KerasBuilder, OpSpec, Part

_ROUNDING = 1e-6


def _keras(builder: Builder, part: Part) -> Any:
    query, value, key, mask, *weights = part.args
    a = part.attributes
    if a["num_key_value_heads"] != a["num_heads"]:
        kind, arguments = "GroupQueryAttention", _grouped(part)
    else:
        kind, arguments = "MultiHeadAttention", _whole(part)
    if not a["use_bias"]:
        arguments["use_bias"] = False
    call = {name: True for name in ("use_causal_mask", "return_attention_scores") if a[name]}
    if mask is not None:
        call["attention_mask"] = mask
    inputs = (query, value) if key is value else (query, value, key)
    made = builder.layer(kind, *inputs, weights=weights, call=call, **arguments)
    return made if part.results > 1 or not a["return_attention_scores"] else made[0]


def _whole(part: Part) -> dict[str, Any]:
    """Arguments of a layer in which each head has a key of its own; what Keras takes anyway is left out."""
    a, rank = part.attributes, len(part.shape(0))
    features, units = part.shape(0)[-1], part.output_shape[-1]
    arguments = {name: a[name] for name in ("num_heads", "key_dim")}
    if a["value_dim"] != a["key_dim"]:
        arguments["value_dim"] = a["value_dim"]
    if units != features:
        arguments["output_shape"] = units
    axes = a["attention_axes"]
    if axes != tuple(range(1, rank - 1)):
        arguments["attention_axes"] = axes if len(axes) > 1 else axes[0]
    return arguments


def _grouped(part: Part) -> dict[str, Any]:
    a = part.attributes
    return {
        "head_dim": a["key_dim"],
        "num_query_heads": a["num_heads"],
        "num_key_value_heads": a["num_key_value_heads"],
    }


MULTI_HEAD_ATTENTION = OpSpec(
    "MULTI_HEAD_ATTENTION",
    keras=_keras,
    roles=("query", "value", "key", "mask", "*weights"),
    declared=("num_heads", "num_key_value_heads", "key_dim", "value_dim", "attention_axes", "use_causal_mask"),
)


def _keras_function(builder: Builder, part: Part) -> Any:
    query, key, value, bias, mask = part.args
    given = {"bias": bias, "mask": mask, "scale": part.attributes["scale"], "is_causal": part.attributes["is_causal"]}
    if math.isclose(given["scale"] ** 2 * part.shape(0)[-1], 1.0, rel_tol=_ROUNDING):
        del given["scale"]
    arguments = {name: one for name, one in given.items() if one is not None and one is not False}
    return builder.ops("dot_product_attention", query, key, value, **arguments)


DOT_PRODUCT_ATTENTION = OpSpec(
    "DOT_PRODUCT_ATTENTION",
    keras=_keras_function,
    roles=("query", "key", "value", "bias", "mask"),
    declared=("scale", "is_causal"),
)

MASKED_SOFTMAX = OpSpec(
    "MASKED_SOFTMAX",
    keras=lambda builder, part: builder.layer("Softmax", part.args[0], call={"mask": part.args[1]}),
    roles=("input", "mask"),
)


def _single(kind: str) -> KerasBuilder:
    def build(builder: Builder, part: Part) -> Any:
        query, value, key, *scale = part.args
        inputs = [query, value] if key is value else [query, value, key]
        # Of the two layers one has a scale where nothing is said, the other none.
        arguments: dict[str, Any] = {} if scale or kind == "Attention" else {"use_scale": False}
        return builder.layer(kind, inputs, weights=tuple(scale), **arguments)

    return build


ATTENTION = OpSpec("ATTENTION", keras=_single("Attention"), roles=("query", "value", "key"))
ADDITIVE_ATTENTION = OpSpec(
    "ADDITIVE_ATTENTION", keras=_single("AdditiveAttention"), roles=("query", "value", "key", "scale")
)
DOT = OpSpec("DOT", keras=lambda builder, part: builder.layer("Dot", list(part.args), axes=1), roles=("a", "b"))

SPECS = (MULTI_HEAD_ATTENTION, DOT_PRODUCT_ATTENTION, MASKED_SOFTMAX, ATTENTION, ADDITIVE_ATTENTION, DOT)
