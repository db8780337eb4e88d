"""Tables that are looked up: by row, by key, by hash; and tensors told by the places of their numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tflrecover.ops.keras import is_constant
from tflrecover.ops.readers import operand, operands, plain
from tflrecover.ops.spec import Attributes, Builder, Lowered, OpSpec, Part, Source, Unsupported
from tflrecover.weight import Array, Literal


def _embedding(source: Source) -> Lowered:
    """TFLite names the ids first."""
    attributes = {"axis": 0, "batch_dims": 0}
    shape = (*source.shape(0), *source.shape(1)[1:])
    return Lowered("GATHER", (operand(source, 1), operand(source, 0)), attributes, shape=shape)


EMBEDDING_LOOKUP = OpSpec("EMBEDDING_LOOKUP", tflite=_embedding)


def _sparse_embedding(source: Source) -> Lowered | None:
    sizes, combiner = source.constant(2), source.attributes.get("combiner")
    if sizes is None:
        return None
    shape = tuple(int(n) for n in sizes)
    inputs = tuple(operand(source, slot) for slot in (0, 1, 3, 4))
    after = (*shape[:-1], *source.shape(4)[1:])
    return Lowered("EMBEDDING_LOOKUP_SPARSE", inputs, {"dense_shape": shape, "combiner": combiner}, shape=after)


def _keras_sparse_embedding(builder: Builder, part: Part) -> Any:
    """Rows of the table, weighted, are added up where their places agree in all but the last axis."""
    ids, indices, weights, table = part.args
    *sizes, _ = part.attributes["dense_shape"]
    count = math.prod(sizes)
    steps = np.array([math.prod(sizes[i + 1 :]) for i in range(len(sizes))], np.int32)
    places = builder.ops(
        "sum", builder.ops("multiply", builder.sliced(indices, (..., slice(None, -1))), steps), axis=-1
    )
    weights = builder.ops("reshape", weights, (-1, *[1] * (len(part.shape(3)) - 1)))
    rows = builder.ops("multiply", builder.ops("take", table, ids, axis=0), weights)
    total = builder.ops("segment_sum", rows, places, num_segments=count)
    combiner = part.attributes["combiner"]
    if combiner != "SUM":
        weighed = builder.ops("square", weights) if combiner == "SQRTN" else weights
        weighed = builder.ops("segment_sum", weighed, places, num_segments=count)
        weighed = builder.ops("sqrt", weighed) if combiner == "SQRTN" else weighed
        total = builder.ops("divide_no_nan", total, weighed)
    return builder.ops("reshape", total, part.output_shape)


EMBEDDING_LOOKUP_SPARSE = OpSpec(
    "EMBEDDING_LOOKUP_SPARSE",
    keras=_keras_sparse_embedding,
    tflite=_sparse_embedding,
    roles=("ids", "indices", "weights", "params"),
    declared=("dense_shape", "combiner"),
)


def _found(args: Sequence[Array], attributes: Attributes) -> list[Array]:
    lookup, keys, values = args
    is_key = lookup[:, None] == keys
    hits = is_key.any(axis=1)
    rows = np.where(hits.reshape(-1, *[1] * (values.ndim - 1)), values[is_key.argmax(axis=1)], 0)
    return [rows.astype(values.dtype), hits.astype(np.uint8)]


def _keras_found(builder: Builder, part: Part) -> Any:
    lookup, keys, values = part.args
    is_key = builder.ops("equal", builder.ops("expand_dims", lookup, -1), keys)
    hits = builder.ops("any", is_key, axis=-1)
    rows = builder.ops("take", values, builder.ops("argmax", is_key, axis=-1), axis=0)
    mask = builder.ops("reshape", builder.ops("cast", hits, dtype=part.dtype), (-1, *[1] * (len(part.shape(2)) - 1)))
    return builder.ops("multiply", rows, mask), builder.ops("cast", hits, dtype="uint8")


HASHTABLE_LOOKUP = OpSpec(
    "HASHTABLE_LOOKUP",
    keras=_keras_found,
    evaluate=_found,
    tflite=plain("HASHTABLE_LOOKUP"),
    roles=("lookup", "keys", "values"),
    infer_shape=lambda shapes, a: (*shapes[0], *shapes[2][1:]),
)


def _hashed(source: Source) -> Lowered | None:
    """With the table's keys and values in its place (``rewrite/tables.py``)."""
    return Lowered("HASHTABLE_FIND", operands(source)) if len(source.inputs) == 4 else None


def _keras_hashed(builder: Builder, part: Part) -> Any:
    """Keras's lookup gives the place of a key, 0 where it is none."""
    x, keys, values, default = part.args
    if not all(map(is_constant, (keys, values, default))):
        raise Unsupported("its table is computed")
    # Of a key that is there twice, the first counts.
    keys, first = np.unique(np.ravel(keys), return_index=True)
    table = np.concatenate([np.ravel(default), np.ravel(values)[first]])
    if keys.dtype == object:
        places = builder.layer("StringLookup", x, vocabulary=[key.decode() for key in keys], num_oov_indices=1)
    else:
        places = builder.layer("IntegerLookup", x, vocabulary=keys.tolist(), num_oov_indices=1)
    return builder.tensorflow("gather", table, places)


HASHTABLE_FIND = OpSpec(
    "HASHTABLE_FIND",
    keras=_keras_hashed,
    tflite=_hashed,
    roles=("input", "keys", "values", "default"),
    infer_shape=lambda shapes, a: shapes[0],
)


def _counted(source: Source) -> Lowered | None:
    keys = source.weight(0)
    if keys is None:
        return None
    return Lowered("IDENTITY", (Literal.of(np.array([math.prod(keys.shape)], np.int64)),), shape=(1,))


HASHTABLE_SIZE = OpSpec("HASHTABLE_SIZE", tflite=_counted)


def _to_dense(source: Source) -> Lowered:
    sizes = source.constant(1)
    return Lowered("SPARSE_TO_DENSE", operands(source), shape=None if sizes is None else tuple(int(n) for n in sizes))


def _dense(args: Sequence[Array], attributes: Attributes) -> list[Array]:
    places, sizes, values, default = args
    whole = np.full(tuple(sizes), default, default.dtype)
    whole[tuple(np.reshape(places, (-1, len(sizes))).T)] = values
    return [whole]


def _keras_dense(builder: Builder, part: Part) -> Any:
    names = ("sparse_indices", "output_shape", "sparse_values", "default_value")
    # TFLite does not look whether the places are in order either.
    given = dict(zip(names, part.args, strict=True))
    return builder.tensorflow("raw_ops.SparseToDense", **given, validate_indices=False)


SPARSE_TO_DENSE = OpSpec(
    "SPARSE_TO_DENSE",
    keras=_keras_dense,
    evaluate=_dense,
    tflite=_to_dense,
    tf={"SparseToDense": _to_dense},
    roles=("indices", "output_shape", "values", "default"),
)


def _unique(source: Source) -> Lowered:
    """How many there are the data decide: a size that is not known stands as one."""
    return Lowered("UNIQUE", operands(source), {"index_dtype": str(source.output_dtype(1))}, shape=(1,))


def _keras_unique(builder: Builder, part: Part) -> Any:
    return builder.tensorflow("unique", part.args[0], out_idx=part.attributes["index_dtype"])


UNIQUE = OpSpec(
    "UNIQUE",
    keras=_keras_unique,
    tflite=_unique,
    tf={"Unique": _unique},
    roles=("input",),
    declared=("index_dtype",),
)

_BYTES = "bitcast"


def _keras_projection(builder: Builder, part: Part) -> Any:
    """A bit per seed: the sign of the sum over items of their weight by the fingerprint of seed and item."""
    seeds, items, *weights = part.args
    if not is_constant(seeds):
        raise Unsupported("its seeds are computed")
    count, size = part.shape(1)[0], math.prod(part.shape(1)[1:])
    hashes, bits = seeds.shape
    items = builder.tensorflow(_BYTES, builder.ops("reshape", items, (count, 1, size)), type="uint8")
    width = items.shape[-1] * size if len(items.shape) == 4 else size
    items = builder.ops("tile", builder.ops("reshape", items, (count, 1, width)), (1, seeds.size, 1))
    heads = np.ascontiguousarray(seeds, np.float32).reshape(-1, 1).view(np.uint8)
    keys = builder.ops("concatenate", [np.broadcast_to(heads, (count, *heads.shape)), items], axis=-1)
    prints = builder.tensorflow("fingerprint", builder.ops("reshape", keys, (count * seeds.size, width + 4)))
    numbers = builder.ops("cast", builder.tensorflow(_BYTES, prints, type="int64"), dtype="float64")
    numbers = builder.ops("reshape", numbers, (count, seeds.size))
    if weights and weights[0] is not None:
        numbers = builder.ops(
            "multiply", numbers, builder.ops("reshape", builder.ops("cast", weights[0], dtype="float64"), (count, 1))
        )
    signs = builder.ops("cast", builder.ops("greater", builder.ops("sum", numbers, axis=0), 0.0), dtype="int32")
    if part.attributes["type"] == "DENSE":
        return signs
    powers = np.array([1 << bits - 1 - bit for bit in range(bits)], np.int32)
    words = builder.ops("sum", builder.ops("multiply", builder.ops("reshape", signs, (hashes, bits)), powers), axis=-1)
    return builder.ops("add", words, np.arange(hashes, dtype=np.int32) << bits)


LSH_PROJECTION = OpSpec(
    "LSH_PROJECTION",
    keras=_keras_projection,
    tflite=plain("LSH_PROJECTION", type="type"),
    roles=("seeds", "input", "*weights"),
    declared=("type",),
)

SPECS = (
    EMBEDDING_LOOKUP,
    EMBEDDING_LOOKUP_SPARSE,
    HASHTABLE_LOOKUP,
    HASHTABLE_FIND,
    HASHTABLE_SIZE,
    SPARSE_TO_DENSE,
    UNIQUE,
    LSH_PROJECTION,
)
