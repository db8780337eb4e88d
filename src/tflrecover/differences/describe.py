"""Names and sentences: a canonical operator as its user knows it, on either side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from tflrecover.align.view import Edge, View
from tflrecover.differences.layers import Layers, class_of, owners
from tflrecover.ir import Difference, Graph, Op, Shape, at_operator
from tflrecover.ops import by_name
from tflrecover.ops.keras import Function

# Lists longer than this are told by their ends.
_LISTED = 4

LAYOUT = ("RESHAPE", "TRANSPOSE")
"""Operators that only bring a tensor into another shape."""

# Canonical operators under the name that a Keras user knows.
LAYER_NAMES = {
    "CONV_2D": "Conv2D",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2D",
    "TRANSPOSE_CONV": "Conv2DTranspose",
    "FULLY_CONNECTED": "Dense",
    "MAX_POOL_2D": "MaxPooling2D",
    "AVERAGE_POOL_2D": "AveragePooling2D",
    "CONV_3D": "Conv3D",
    "CONV_3D_TRANSPOSE": "Conv3DTranspose",
    "MAX_POOL_3D": "MaxPooling3D",
    "AVERAGE_POOL_3D": "AveragePooling3D",
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
    "LAYER_NORMALIZATION": "LayerNormalization",
    "GROUP_NORMALIZATION": "GroupNormalization",
    "RMS_NORMALIZATION": "RMSNormalization",
    "UNIT_NORMALIZATION": "UnitNormalization",
    "LOG_SOFTMAX": "log_softmax",
    "DIV": "keras.ops.divide",
    "SUM": "keras.ops.sum",
    "SQUARED_DIFFERENCE": "keras.ops.square(x - y)",
    "REDUCE_MIN": "keras.ops.min",
    "REDUCE_PROD": "keras.ops.prod",
    "CUMSUM": "keras.ops.cumsum",
    "EINSUM": "keras.ops.einsum",
    "BATCH_MATMUL": "keras.ops.matmul",
    "GATHER": "keras.ops.take",
    "ONE_HOT": "keras.ops.one_hot",
    "PACK": "keras.ops.stack",
    "ARG_MAX": "keras.ops.argmax",
    "ARG_MIN": "keras.ops.argmin",
    "BROADCAST_TO": "keras.ops.broadcast_to",
    "MIRROR_PAD": "keras.ops.pad",
}


# Operators that one name stands for whatever the rank, and Keras has a layer per rank for.
_PER_RANK = frozenset({"MEAN", "REDUCE_MAX", "PAD"})
_RANKS = range(3, 6)
# Along other axes than those of height and width no layer does it.
_REDUCTIONS = {"MEAN": "keras.ops.mean", "REDUCE_MAX": "keras.ops.max"}


def layer_name(op: Op, graph: Graph | None = None) -> str:
    """The operator under its Keras name, that for its rank where it is known in which graph it stands."""
    name = LAYER_NAMES.get(str(op.type)) or _function_name(op)
    shape = graph.values[op.inputs[0]].shape if graph is not None and op.inputs and op.inputs[0] is not None else None
    if op.type == "TILE" and shape is not None:
        return _repeating(op, shape)
    if op.type == "STRIDED_SLICE" and (places := op.attributes.get("slices")):
        return sliced(places, shape or ())
    if op.type not in _PER_RANK or shape is None or len(shape) not in _RANKS:
        return name
    if op.type in _REDUCTIONS and op.attributes.get("axis") != tuple(range(1, len(shape) - 1)):
        return _REDUCTIONS[str(op.type)]
    return name.replace("2D", f"{len(shape) - 2}D")


def _function_name(op: Op) -> str:
    """The function of Keras's that an operator is; its type where it is none."""
    spec = by_name(op.type)
    return f"keras.ops.{spec.keras.name}" if spec is not None and isinstance(spec.keras, Function) else str(op.type)


def sliced(places: Sequence[Any], shape: Shape) -> str:
    """Slices as Python writes them; axes of size 1, which only a canonical form has, are left out."""
    listed = [
        place
        for axis, place in enumerate(places)
        if not axis or axis >= len(shape) or shape[axis] != 1 or not isinstance(place, tuple)
    ]
    return f"x[{', '.join(map(_place, listed))}]"


def _place(place: Any) -> str:
    """What is taken along one axis."""
    if not isinstance(place, tuple):
        return str(place)
    start, stop, step = ("" if n is None else str(n) for n in place)
    return f"{start}:{stop}" if step in ("", "1") else f"{start}:{stop}:{step}"


def _repeating(op: Op, shape: Shape) -> str:
    """What repeats along an axis of its own: each step, row or column, or a whole vector."""
    repeated = [axis for axis, n in enumerate(op.attributes.get("multiples", ())) if n != 1]
    if len(repeated) != 1 or shape[repeated[0]] != 1:
        return "TILE"
    axis, rank = repeated[0], len(shape)
    if (rank, axis) == (3, 1):
        return "RepeatVector"
    return f"UpSampling{rank - 3}D" if rank - 3 in (1, 2, 3) and 2 <= axis < rank - 1 else "TILE"


def operator_names(ops: Sequence[Op], graph: Graph | None = None) -> str:
    """Several operators in a row, reshapes only where there is nothing else; a long row by its ends."""
    listed = [op for op in ops if op.type != "RESHAPE"] or ops
    # An upsampling repeats along one axis after the other.
    named = groupby(listed, key=lambda op: (layer_name(op, graph), op.type == "TILE" or op.id))
    names = [name for (name, _), _ in named]
    if len(names) <= _LISTED:
        return " + ".join(names)
    return f"{names[0]} + {names[1]} + … + {names[-1]} ({len(names)} operators)"


def layer_names(layers: Sequence[str], joint: str = ", ") -> str:
    """``layer 'a'``, ``layers 'a', 'b'``; a long list by its ends and its length."""
    if len(layers) == 1:
        return f"layer {layers[0]!r}"
    if len(layers) <= _LISTED:
        return f"layers {joint.join(map(repr, layers))}"
    return f"layers {layers[0]!r} … {layers[-1]!r} ({len(layers)})"


def layers_of(ops: Iterable[Op]) -> list[str]:
    """Paths of the layers that operators belong to, each once, in order."""
    return list(dict.fromkeys(filter(None, map(layer_of, ops))))


def layers_within(ops: Iterable[Op]) -> list[str]:
    """Paths of all layers that operators were made from, each once, in order."""
    listed = [layer for op in ops for layer in (layer_of(op), *(origin.layer for origin in op.origins))]
    return list(dict.fromkeys(filter(None, listed)))


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
    return at_operator(file_index(op), file_type(op), file_name(side, op), why)


def layer_of(op: Op) -> str | None:
    """Path of the layer that the operator belongs to."""
    return op.layer or next((origin.layer for origin in op.origins if origin.layer), None)


def last_layer_of(op: Op, graph: Graph) -> str | None:
    """Path of the layer whose result the operator gives: a batch norm that was folded into a convolution, say."""
    made = graph.values[op.outputs[0]].name.rpartition(":")[0]
    return next((origin.layer for origin in op.origins if origin.op == made and origin.layer), None) or layer_of(op)


def maker(keras: View, edge: Edge) -> str | None:
    """Path of the layer that makes what an edge carries, scalings on it included."""
    op = keras.graph.op(edge.through[-1]) if edge.through else keras.ops[edge.source]
    return last_layer_of(op, keras.graph)


def in_keras(op: Op) -> str:
    """The layer as a user knows it."""
    layer = layer_of(op)
    return f"layer {layer!r}" if layer else f"the model's own call ({op.type})"


def show(value: Any) -> str:
    """A value as one would write it in Keras."""
    return repr(value)


def attribute(
    file: View, f: Op, k: Op, name: str, mine: Any, theirs: Any, layer: str | None = None, advice: str = ""
) -> Difference:
    """One declared attribute has another value.

    Args:
        file: The file's side.
        f: The file's operator.
        k: The model's operator.
        name: The attribute.
        mine: The file's value.
        theirs: The model's value.
        layer: The layer that it comes from, where that is another than the operator's.
        advice: What to do, where that is not to set this attribute.
    """
    where = f"layer {layer!r}" if layer else in_keras(k)
    return Difference(
        "attribute",
        f"{advice or f'set `{name}={show(mine)}` on {where}'}: the file has {show(mine)} at {in_file(file, f)}, "
        f"the model has {show(theirs)}",
        file_index(f),
        file_type(f),
        file_name(file, f),
        layer or layer_of(k),
        name,
        mine,
        theirs,
    )


def other_type(file: View, f: Op, keras: View, k: Op, given: str | None) -> Difference:
    """Another operator stands in the same place; ``given`` is the activation that the model's layer was given."""
    spec = by_name(f.type)
    is_activation = spec is not None and spec.family == "activation"
    want, have = layer_name(f, file.graph), (given if is_activation else None) or layer_name(k, keras.graph)
    return Difference(
        "attribute",
        instead(file, f, want, have, in_keras(k), given if is_activation else None),
        file_index(f),
        file_type(f),
        file_name(file, f),
        layer_of(k),
        "activation" if is_activation else "layer",
        want,
        have,
        operators=(f.id,),
    )


def instead(file: View, f: Op, want: str, have: str, where: str, given: str | None) -> str:
    """That something else stands there in the file: as the layer's argument where that is an activation by its name."""
    place = in_file(file, f)
    if given is not None and want.isidentifier() and want.islower():
        return f"set `activation={want!r}` on {where}: the file has {want!r} at {place}, the model has {given!r}"
    return f"use {want} instead of {have} at {where}: the file has {place}"


def _with_constant(graph: Graph, nodes: Sequence[Op]) -> str:
    """Of one operator number by number the constant that it takes, if that is more than one number."""
    spec = by_name(nodes[0].type)
    if len(nodes) > 1 or spec is None or not spec.is_elementwise:
        return ""
    weights = (graph.values[value].weight for value in nodes[0].inputs if value is not None)
    shapes = [list(weight.shape) for weight in weights if weight is not None and math.prod(weight.shape) > 1]
    return f" with a constant of shape {shapes[0]}" if shapes else ""


def missing(file: View, nodes: Sequence[Op], after: str, name: str | None = None) -> Difference:
    """Operators of the file that the model lacks; ``name`` is that of the function that they are together."""
    first = nodes[0]
    if name is None:
        name = scaling_name(file.graph, first) if first.type == "AFFINE" else operator_names(nodes, file.graph)
        name += _with_constant(file.graph, nodes)
    return Difference(
        "missing",
        f"add {name}{after}: the file has {in_file(file, first)}, the model has nothing for it",
        file_index(first),
        file_type(first),
        file_name(file, first),
    )


def scaling_name(graph: Graph, op: Op) -> str:
    """What an AFFINE of the file was: numbers alone are a Rescaling, numbers per channel a batch norm."""
    weights = [graph.values[value].weight for value in op.inputs[1:] if value is not None]
    is_single = all(all(n == 1 for n in weight.shape) for weight in weights if weight is not None)
    channels = (graph.values[op.outputs[0]].shape or (1,))[-1]
    if is_single:
        return "Rescaling" if channels != 1 else LAYER_NAMES["AFFINE"]
    named = "Normalization" if op.inputs[0] in graph.inputs else "BatchNormalization"
    return f"{named} (or another scaling per channel)"


def extra(keras: View, nodes: Sequence[Op], layers: Layers, also_elsewhere: Sequence[str] = ()) -> Difference:
    """Operators of the model that the file lacks.

    Args:
        keras: The model's side.
        nodes: The operators.
        layers: The model's layers.
        also_elsewhere: Those of them that the file has the rest of.
    """
    # Who brings a value into another shape before what is too many is not, where the file has the rest of it.
    computing = set(layers_of(op for op in nodes if op.type not in LAYOUT))
    named = [path for path in layers_of(nodes) if path in computing or not computing or path not in also_elsewhere]
    around = owners(layers, of_users=True)
    whole = list(dict.fromkeys(around.get(path, path) for path in named))
    if not set(whole) & {around.get(path, path) for path in also_elsewhere}:
        # A cell goes with its layer.
        named = whole
    computed = ", ".join(dict.fromkeys(layer_name(op, keras.graph) for op in nodes[:_LISTED]))
    classes = ", ".join(dict.fromkeys(filter(None, (class_of(layers, path) for path in named[:_LISTED]))))
    if not named:
        told = f"remove {computed} from the model's own call"
    elif set(named) <= set(also_elsewhere):
        told = f"remove {computed} from {layer_names(named)}"
    else:
        told = f"remove {layer_names(named)} ({classes or computed})"
    message = f"{told}: the file has nothing like it there"
    return Difference("extra", message, keras_layer=named[0] if named else None, layers=tuple(named))


def is_weightless(ops: Iterable[Op]) -> bool:
    """Whether none of the operators has weights of its own."""
    specs = (by_name(op.type) for op in ops)
    return all(spec is None or not spec.weights for spec in specs)


def is_activation(ops: Iterable[Op]) -> bool:
    """Whether operators work number by number, or are an activation, as those of an activation do."""
    specs = (by_name(op.type) for op in ops)
    return all(spec is not None and (spec.is_elementwise or spec.family == "activation") for spec in specs)
