"""Names and sentences: a canonical operator as its user knows it, on either side."""

from __future__ import annotations

from typing import Any

from tflrecover.align.view import View
from tflrecover.ir import Difference, Op

# Canonical operators under the name that a Keras user knows.
LAYER_NAMES = {
    "CONV_2D": "Conv2D",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2D",
    "TRANSPOSE_CONV": "Conv2DTranspose",
    "FULLY_CONNECTED": "Dense",
    "MAX_POOL_2D": "MaxPooling2D",
    "AVERAGE_POOL_2D": "AveragePooling2D",
    "ADD": "Add",
    "SUB": "Subtract",
    "MUL": "Multiply",
    "MAXIMUM": "Maximum",
    "MINIMUM": "Minimum",
    "CONCATENATION": "Concatenate",
    "AFFINE": "BatchNormalization or Rescaling",
    "RELU": "relu",
    "RELU6": "relu6",
    "LOGISTIC": "sigmoid",
    "TANH": "tanh",
    "ELU": "elu",
    "SELU": "selu",
    "SILU": "silu",
    "GELU": "gelu",
    "SOFTMAX": "softmax",
    "SOFTPLUS": "softplus",
    "SOFTSIGN": "softsign",
    "HARD_SWISH": "hard_swish",
    "LEAKY_RELU": "leaky_relu",
    "PRELU": "PReLU",
    "RESHAPE": "Reshape",
    "TRANSPOSE": "Permute",
    "PAD": "ZeroPadding2D",
    "RESIZE_BILINEAR": "UpSampling2D(interpolation='bilinear')",
    "RESIZE_NEAREST_NEIGHBOR": "UpSampling2D(interpolation='nearest')",
    "MEAN": "GlobalAveragePooling2D",
    "REDUCE_MAX": "GlobalMaxPooling2D",
}


def layer_name(op: Op) -> str:
    """The operator under its Keras name."""
    return LAYER_NAMES.get(str(op.type), str(op.type))


def file_index(op: Op) -> int | None:
    """Index in the file's main graph of what an operator was made from; of its caller when it is in a subgraph."""
    index = str(op.origins[0].op if op.origins else op.id).split("/")[0]
    return int(index) if index.isdecimal() else None


def file_type(op: Op) -> str | int:
    """Type in the file of what a canonical operator was made from."""
    return op.origins[0].type if op.origins else op.type


def file_name(side: View, op: Op) -> str:
    """Name of the operator's output tensor in the file."""
    return side.graph.values[op.outputs[0]].name


def in_file(side: View, op: Op) -> str:
    """The operator as it is found in the file, and why it cannot be read where that is known."""
    reason = side.graph.graph.get("reasons", {}).get(op.id)
    why = f"; {reason}" if reason else ""
    return f"operator {file_index(op)} ({file_type(op)}, output {file_name(side, op)!r}{why})"


def layer_of(op: Op) -> str | None:
    """Path of the layer that the operator belongs to."""
    return op.layer or next((origin.layer for origin in op.origins if origin.layer), None)


def in_keras(op: Op) -> str:
    """The layer as a user knows it."""
    layer = layer_of(op)
    return f"layer {layer!r}" if layer else f"the model's own call ({op.type})"


def show(value: Any) -> str:
    """A value as one would write it in Keras."""
    return repr(value)


def attribute(file: View, f: Op, k: Op, name: str, mine: Any, theirs: Any, layer: str | None = None) -> Difference:
    """One declared attribute has another value."""
    where = f"layer {layer!r}" if layer else in_keras(k)
    return Difference(
        "attribute",
        f"set `{name}={show(mine)}` on {where}: the file has {show(mine)} at {in_file(file, f)}, "
        f"the model has {show(theirs)}",
        file_index(f),
        file_type(f),
        file_name(file, f),
        layer or layer_of(k),
        name,
        mine,
        theirs,
    )


def other_type(file: View, f: Op, k: Op, name: str) -> Difference:
    """Another operator stands in the same place."""
    return Difference(
        "attribute",
        f"use {layer_name(f)} instead of {layer_name(k)} at {in_keras(k)}: the file has {in_file(file, f)}",
        file_index(f),
        file_type(f),
        file_name(file, f),
        layer_of(k),
        name,
        layer_name(f),
        layer_name(k),
    )


def missing(file: View, nodes: list[Op], after: str) -> Difference:
    """Operators of the file that the model lacks."""
    first = nodes[0]
    more = f" and {len(nodes) - 1} more" if len(nodes) > 1 else ""
    return Difference(
        "missing",
        f"add {layer_name(first)}{more}{after}: the file has {in_file(file, first)}, the model has nothing for it",
        file_index(first),
        file_type(first),
        file_name(file, first),
    )


def extra(nodes: list[Op]) -> Difference:
    """Operators of the model that the file lacks."""
    layers = list(dict.fromkeys(filter(None, map(layer_of, nodes))))
    names = ", ".join(repr(layer) for layer in layers) or nodes[0].type
    plural = "layers" if len(layers) > 1 else "layer"
    return Difference(
        "extra",
        f"remove {plural} {names} ({', '.join(dict.fromkeys(map(layer_name, nodes)))}): "
        "the file has nothing like it there",
        keras_layer=layers[0] if layers else None,
    )
