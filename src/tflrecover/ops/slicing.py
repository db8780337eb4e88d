"""Parts of tensors: slices, gathers, splits, and the same parts in another order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops.keras import function, is_constant, raw, tensorflow
from tflrecover.ops.readers import axes_of, operand, operands, plain, with_constants
from tflrecover.ops.spec import Attributes, Builder, Lowered, OpSpec, Part, Reader, Source
from tflrecover.weight import Array

# All of an axis, in the slices of a STRIDED_SLICE.
WHOLE = (None, None, 1)
_MASKS = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")


def _slices(source: Source, found: dict[str, Any]) -> dict[str, Any]:
    """One of: slice triple, ``"..."``, ``"new"``, or a number that drops the axis, per place of the notation."""
    shape = source.shape(0)
    axis = 0
    masks = {mask: int(source.attributes.get(mask, 0)) for mask in _MASKS}
    places: list[Any] = []
    for i, (begin, end, step) in enumerate(zip(found["begin"], found["end"], found["strides"], strict=True)):
        bit = 1 << i
        if masks["ellipsis_mask"] & bit:
            others = len(found["begin"]) - bin(masks["new_axis_mask"]).count("1") - 1
            # Each axis by itself, so that there is one way only to say it; of an unknown rank there are none.
            places += [WHOLE] * (len(shape) - others) if shape else ["..."]
            axis += len(shape) - others
        elif masks["new_axis_mask"] & bit:
            places.append("new")
        elif masks["shrink_axis_mask"] & bit:
            places.append(int(begin) % max(shape[axis], 1))
            axis += 1
        else:
            start = None if masks["begin_mask"] & bit else int(begin)
            stop = None if masks["end_mask"] & bit else int(end)
            places.append(plain_slice(start, stop, int(step), shape[axis]))
            axis += 1
    return {"slices": named(places)}


def named(places: Sequence[Any]) -> tuple[Any, ...]:
    """Without those at the end that say nothing: axes that are not named are taken whole."""
    last = max((i for i, place in enumerate(places) if place not in (WHOLE, "...")), default=-1)
    return tuple(places[: last + 1])


def plain_slice(start: int | None, stop: int | None, step: int, size: int) -> tuple[int | None, int | None, int]:
    """The one way to write a slice of an axis: from the front, and None where an end of the axis is meant."""
    if step <= 0:
        return start, stop, step
    first, last, _ = slice(start, stop, step).indices(size)
    return (first or None), (last if last < size else None), step


def _index(place: Any) -> Any:
    if place == "...":
        return Ellipsis
    if place == "new":
        return None
    return slice(*place) if isinstance(place, tuple) else place


def _strided(args: Sequence[Array], attributes: Attributes) -> list[Array]:
    return [np.asarray(args[0])[tuple(map(_index, attributes["slices"]))]]


def _strided_shape(shapes: Sequence[Shape], attributes: Attributes) -> Shape:
    return tuple(np.broadcast_to(np.float32(0), shapes[0])[tuple(map(_index, attributes["slices"]))].shape)


def _unsliced(slot: int, target: Array, args: Sequence[Array], attributes: Attributes) -> Array:
    """The operand as far as the slice tells of it; the rest is NaN, which says that it is not known."""
    whole = np.full(args[0].shape, np.nan, target.dtype if target.dtype.kind == "f" else np.float64)
    whole[tuple(map(_index, attributes["slices"]))] = target
    return whole


_part = with_constants("STRIDED_SLICE", {1: "begin", 2: "end", 3: "strides"}, _slices)


def _strided_slice(source: Source) -> Lowered | None:
    return _plain(source, _part(source))


def _plain(source: Source, lowered: Lowered | None) -> Lowered | None:
    """A slice that takes everything there is, in order, is a reshape: ``x[..., None]``, ``x[:, 0]`` of one column."""
    if lowered is None or not source.shape(0):
        return lowered
    places = lowered.attributes["slices"]
    after = _strided_shape([source.shape(0)], lowered.attributes)
    is_ordered = all(place[2] > 0 for place in places if isinstance(place, tuple))
    if not is_ordered or np.prod(after, dtype=np.int64) != np.prod(source.shape(0), dtype=np.int64):
        return lowered
    return Lowered("RESHAPE", lowered.inputs, {"target_shape": after}, shape=after)


def _keras_slice(builder: Builder, part: Part) -> Any:
    return builder.sliced(part.args[0], tuple(map(_index, part.attributes["slices"])))


STRIDED_SLICE = OpSpec(
    "STRIDED_SLICE",
    keras=_keras_slice,
    computed=raw("StridedSlice", "input", "begin", "end", "strides", **dict(zip(_MASKS, _MASKS, strict=True))),
    evaluate=_strided,
    tflite=_strided_slice,
    tf={"StridedSlice": _strided_slice},
    roles=("input",),
    inverse=_unsliced,
    infer_shape=_strided_shape,
    declared=("slices",),
    family="slice",
)


def _begin_size(source: Source, found: dict[str, Any]) -> dict[str, Any]:
    begin = [int(n) for n in found["begin"]]
    size = [int(n) for n in found["size"]]
    ends = [None if s == -1 else b + s for b, s in zip(begin, size, strict=True)]
    slices = [plain_slice(b, e, 1, n) for b, e, n in zip(begin, ends, source.shape(0), strict=True)]
    return {"slices": named(slices)}


_begun = with_constants("STRIDED_SLICE", {1: "begin", 2: "size"}, _begin_size)


def _slice(source: Source) -> Lowered | None:
    return _plain(source, _begun(source))


SLICE = OpSpec("SLICE", tflite=_slice, tf={"Slice": _slice}, computed=raw("Slice", "input", "begin", "size"))


def _gather(source: Source) -> Lowered:
    return _gathered(source, source.attributes.get("axis", 0))


def _tf_gather(source: Source) -> Lowered | None:
    axis = source.constant(2)
    return None if axis is None else _gathered(source, int(np.ravel(axis)[0]))


def _gathered(source: Source, axis: int) -> Lowered:
    batch = int(source.attributes.get("batch_dims") or 0)
    # As many as the indices have axes is all of them, which is another thing than none.
    batch += len(source.shape(1)) if batch < 0 else 0
    attributes = {"axis": int(axis) % max(len(source.shape(0)), 1), "batch_dims": batch}
    return Lowered("GATHER", operands(source)[:2], attributes)


def _taken(args: Sequence[Array], a: Attributes) -> list[Array]:
    # Zeros that are made like something else have no type of their own.
    params, indices, batch = args[0], np.asarray(args[1]).astype(np.int64), a["batch_dims"]
    if not batch:
        return [np.take(params, indices, a["axis"])]
    places = np.ix_(*(range(n) for n in params.shape[:batch]))
    places = tuple(place.reshape(place.shape + (1,) * (indices.ndim - batch)) for place in places)
    # The axes between the batch and the one that is indexed come out behind the indices.
    found = np.moveaxis(params, a["axis"], batch)[(*places, indices)]
    between = a["axis"] - batch
    return [np.moveaxis(found, range(indices.ndim, indices.ndim + between), range(batch, batch + between))]


def _taken_shape(shapes: Sequence[Shape], a: Attributes) -> Shape:
    return (*shapes[0][: a["axis"]], *shapes[1][a["batch_dims"] :], *shapes[0][a["axis"] + 1 :])


def _scattered(slot: int, target: Array, args: Sequence[Array], attributes: Attributes) -> Array:
    """The table as far as the rows taken tell of it; the rest is NaN, which says that it is not known."""
    if slot != 0 or attributes["batch_dims"]:
        raise ValueError("it cannot be told from what was gathered")
    place = *(slice(None),) * attributes["axis"], np.asarray(args[1]).astype(np.int64)
    whole = np.full(args[0].shape, np.nan, target.dtype if target.dtype.kind == "f" else np.float64)
    if not np.isnan(target).any():
        whole[place] = target
    else:
        # What one place does not tell, another may.
        np.fmax.at(whole, place, target)
    if not np.array_equal(np.where(np.isnan(target), target, whole[place]), target, equal_nan=True):
        raise ValueError("a row that is taken twice is not the same in both places")
    return whole


def _keras_gather(builder: Builder, part: Part) -> Any:
    (params, indices), axis, batch = part.args, part.attributes["axis"], part.attributes["batch_dims"]
    if is_constant(params) and params.ndim == 2 and axis == 0 and not batch:
        kind = "ReversibleEmbedding" if part.attributes.get("tied") else "Embedding"
        return builder.layer(kind, indices, input_dim=len(params), output_dim=params.shape[1], weights=(params,))
    if not batch:
        return builder.ops("take", params, indices, axis=axis)
    return builder.tensorflow("gather", params, indices, axis=axis, batch_dims=batch)


GATHER = OpSpec(
    "GATHER",
    keras=_keras_gather,
    inverse=_scattered,
    evaluate=_taken,
    tflite=_gather,
    tf={"GatherV2": _tf_gather, "ResourceGather": _gather},
    roles=("params", "indices"),
    infer_shape=_taken_shape,
    declared=("axis", "batch_dims"),
)


def _split(sizes: bool) -> Reader:
    """SPLIT has its axis first, SPLIT_V its sizes second and its axis last."""

    def read(source: Source) -> Lowered | None:
        axis = source.constant(2 if sizes else 0)
        if axis is None:
            return None
        where = int(np.ravel(axis)[0]) % max(len(source.shape(0 if sizes else 1)), 1)
        attributes: dict[str, Any] = {"axis": where}
        if sizes:
            listed = source.constant(1)
            if listed is None:
                return None
            attributes["sizes"] = tuple(int(n) for n in listed)
        return Lowered("SPLIT", (operand(source, 0 if sizes else 1),), attributes)

    return read


def _split_parts(shape: Shape, attributes: Attributes, count: int) -> list[dict[str, Any]]:
    axis, size = attributes["axis"], shape[attributes["axis"]]
    sizes = attributes.get("sizes") or (size // count,) * count
    sizes = tuple(size - sum(n for n in sizes if n >= 0) if n < 0 else n for n in sizes)
    starts = [sum(sizes[:i]) for i in range(count)]
    return [
        {"slices": (*[WHOLE] * axis, plain_slice(start, start + n, 1, size))}
        for start, n in zip(starts, sizes, strict=True)
    ]


SPLIT = OpSpec(
    "SPLIT",
    computed=raw("Split", "axis", "value", num_split="num_splits"),
    tflite=_split(False),
    tf={"Split": _split(False), "SplitV": _split(True)},
    roles=("input",),
    declared=("axis",),
    parts=("STRIDED_SLICE", _split_parts),
)
SPLIT_V = OpSpec(
    "SPLIT_V",
    tflite=_split(True),
    computed=raw("SplitV", "value", "size_splits", "axis", num_split="num_splits"),
)


def _unpack(source: Source) -> Lowered:
    axis = int(source.attributes.get("axis") or 0) % max(len(source.shape(0)), 1)
    return Lowered("UNPACK", operands(source)[:1], {"axis": axis})


def _unpack_parts(shape: Shape, attributes: Attributes, count: int) -> list[dict[str, Any]]:
    return [{"slices": (*[WHOLE] * attributes["axis"], i)} for i in range(count)]


UNPACK = OpSpec(
    "UNPACK",
    tflite=_unpack,
    tf={"Unpack": _unpack},
    roles=("input",),
    declared=("axis",),
    parts=("STRIDED_SLICE", _unpack_parts),
)


def _axes(source: Source, found: dict[str, Any]) -> dict[str, Any]:
    return {"axis": axes_of(found["axis"], len(source.shape(0)))}


_reverse = with_constants("REVERSE_V2", {1: "axis"}, _axes)
REVERSE_V2 = OpSpec(
    "REVERSE_V2",
    keras=function("flip", "axis"),
    computed=raw("ReverseV2", "tensor", "axis"),
    evaluate=lambda args, a: [np.flip(args[0], a["axis"])],
    tflite=_reverse,
    tf={"ReverseV2": _reverse},
    roles=("input",),
    inverse=lambda slot, target, args, a: np.flip(target, a["axis"]),
    infer_shape=lambda shapes, a: shapes[0],
    declared=("axis",),
)

_reverse_parts = plain("REVERSE_SEQUENCE", seq_axis="seq_dim", batch_axis="batch_dim")
REVERSE_SEQUENCE = OpSpec(
    "REVERSE_SEQUENCE",
    keras=tensorflow("reverse_sequence", "seq_axis", "batch_axis"),
    tflite=_reverse_parts,
    tf={"ReverseSequence": _reverse_parts},
    roles=("input", "lengths"),
    infer_shape=lambda shapes, a: shapes[0],
    declared=("seq_axis", "batch_axis"),
)


def _block(name: str, depth_to_space: bool) -> OpSpec:
    reader = plain(name, block_size="block_size")
    kind = "depth_to_space" if depth_to_space else "space_to_depth"

    def shape(shapes: Sequence[Shape], a: Attributes) -> Shape:
        (batch, rows, columns, channels), n = shapes[0], a["block_size"]
        if depth_to_space:
            return batch, rows * n, columns * n, channels // n**2
        return batch, rows // n, columns // n, channels * n**2

    return OpSpec(
        name,
        keras=function(kind, "block_size"),
        tflite=reader,
        tf={"DepthToSpace" if depth_to_space else "SpaceToDepth": reader},
        roles=("input",),
        infer_shape=shape,
        declared=("block_size",),
    )


DEPTH_TO_SPACE, SPACE_TO_DEPTH = _block("DEPTH_TO_SPACE", True), _block("SPACE_TO_DEPTH", False)

SPECS = (
    REVERSE_V2,
    REVERSE_SEQUENCE,
    DEPTH_TO_SPACE,
    SPACE_TO_DEPTH,
    STRIDED_SLICE,
    SLICE,
    GATHER,
    SPLIT,
    SPLIT_V,
    UNPACK,
)
