"""Operators that sort, count and look up: by index, by order, by bucket, along an axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops.elementwise import broadcast
from tflrecover.ops.keras import function, raw, tensorflow
from tflrecover.ops.readers import axes_of, operands, plain, with_constants
from tflrecover.ops.spec import Attributes, Builder, Calls, Lowered, OpSpec, Part, Reader, Source, Unsupported, Writer
from tflrecover.weight import Array


def _same(shapes: Sequence[Shape], attributes: Attributes) -> Shape:
    return shapes[0]


def _cumsum_attributes(source: Source, found: dict[str, Any]) -> dict[str, Any]:
    (axis,) = axes_of(found["axis"], len(source.shape(0)))
    flags = {name: bool(source.attributes.get(name, False)) for name in ("exclusive", "reverse")}
    return {"axis": axis, **flags}


def _running_sum(args: Sequence[Array], a: Attributes) -> list[Array]:
    axis, x = a["axis"], args[0]
    x = np.flip(x, axis) if a["reverse"] else x
    total = np.cumsum(x, axis, dtype=x.dtype)
    total = total - x if a["exclusive"] else total
    return [np.flip(total, axis) if a["reverse"] else total]


def _keras_cumsum(builder: Builder, part: Part) -> Any:
    """Keras's function starts with the first number, at the front."""
    is_plain = not (part.attributes["exclusive"] or part.attributes["reverse"])
    build = function("cumsum", "axis") if is_plain else tensorflow("cumsum", "axis", "exclusive", "reverse")
    return build(builder, part)


_cumsum = with_constants("CUMSUM", {1: "axis"}, _cumsum_attributes)
CUMSUM = OpSpec(
    "CUMSUM",
    keras=_keras_cumsum,
    computed=raw("Cumsum", "x", "axis", exclusive="exclusive", reverse="reverse"),
    evaluate=_running_sum,
    tflite=_cumsum,
    tf={"Cumsum": _cumsum},
    roles=("input",),
    infer_shape=_same,
    declared=("axis", "exclusive", "reverse"),
)


def _one_hot(source: Source) -> Lowered | None:
    depth, rank = source.constant(1), len(source.shape(0)) + 1
    if depth is None:
        return None
    attributes = {"depth": int(np.ravel(depth)[0]), "axis": int(source.attributes.get("axis", -1)) % rank}
    values = operands(source)
    return Lowered("ONE_HOT", (values[0], *values[2:4]), attributes)


def _keras_one_hot(builder: Builder, part: Part) -> Any:
    indices, on, off = part.args
    axis, depth = part.attributes["axis"], part.attributes["depth"]
    if (on.item(), off.item()) == (1, 0):
        given = {"axis": axis} if axis < len(part.shape(0)) else {}
        dtype = {} if part.dtype == "float32" else {"dtype": part.dtype}
        return builder.ops("one_hot", indices, depth, **given, **dtype)
    numbers = {"on_value": on.item(), "off_value": off.item(), "dtype": part.dtype}
    return builder.tensorflow("one_hot", indices, depth=depth, axis=axis, **numbers)


ONE_HOT = OpSpec(
    "ONE_HOT",
    keras=_keras_one_hot,
    computed=raw("OneHot", "indices", "depth", "on_value", "off_value", axis="axis"),
    tflite=_one_hot,
    tf={"OneHot": _one_hot},
    roles=("indices", "on_value", "off_value"),
    infer_shape=lambda shapes, a: (*shapes[0][: a["axis"]], a["depth"], *shapes[0][a["axis"] :]),
    declared=("depth", "axis"),
)


def _top_k(source: Source) -> Lowered | None:
    k, shape = source.constant(1), source.shape(0)
    if k is None:
        return None
    count = int(np.ravel(k)[0])
    made = (*shape[:-1], count)
    return Lowered("TOPK_V2", operands(source)[:1], {"k": count}, shape=made)


TOPK_V2 = OpSpec(
    "TOPK_V2",
    keras=function("top_k", "k"),
    computed=raw("TopKV2", "input", "k"),
    tflite=_top_k,
    tf={"TopKV2": _top_k},
    roles=("input",),
    infer_shape=lambda shapes, a: (*shapes[0][:-1], a["k"]),
    alike=True,
    declared=("k",),
)


def _bucketize(source: Source) -> Lowered:
    boundaries = tuple(float(np.float32(b)) for b in source.attributes.get("boundaries") or ())
    return Lowered("BUCKETIZE", operands(source), {"boundaries": boundaries})


def _keras_bucketize(builder: Builder, part: Part) -> Any:
    return builder.tensorflow("raw_ops.Bucketize", input=part.args[0], boundaries=list(part.attributes["boundaries"]))


BUCKETIZE = OpSpec(
    "BUCKETIZE",
    keras=_keras_bucketize,
    evaluate=lambda args, a: [np.searchsorted(a["boundaries"], args[0], "right").astype(np.int32)],
    tflite=_bucketize,
    tf={"Bucketize": _bucketize},
    roles=("input",),
    infer_shape=_same,
    declared=("boundaries",),
)


def _band(args: Sequence[Array], attributes: Attributes) -> list[Array]:
    x, lower, upper = args[0], int(args[1]), int(args[2])
    rows, columns = np.indices(x.shape[-2:])
    kept = ((lower < 0) | (rows - columns <= lower)) & ((upper < 0) | (columns - rows <= upper))
    return [np.where(kept, x, np.zeros((), x.dtype))]


MATRIX_BAND_PART = OpSpec(
    "MATRIX_BAND_PART",
    keras=tensorflow("linalg.band_part"),
    evaluate=_band,
    tf={"MatrixBandPart": plain("MATRIX_BAND_PART")},
    roles=("input", "lower", "upper"),
    infer_shape=_same,
)


def _rolled(array: Array, attributes: Attributes, sign: int) -> Array:
    return np.roll(array, tuple(sign * shift for shift in attributes["shift"]), attributes["axis"])


def _as_numbers(_: Source, found: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(int(n) for n in np.ravel(value)) for name, value in found.items()}


def _written_roll(calls: Calls, args: Sequence[Any], a: Attributes) -> Any:
    """As converters write it: axis by axis, what is behind the new beginning and then what is before it."""
    (x,) = args
    for shift, axis in zip(a["shift"], a["axis"], strict=True):
        place = axis % len(x.shape)
        start, before = -shift % x.shape[place], (slice(None),) * place
        if start:
            parts = [calls.sliced(x, (*before, part)) for part in (slice(start, None), slice(None, start))]
            x = calls.ops("concatenate", parts, axis=place)
    return x


_roll = with_constants("ROLL", {1: "shift", 2: "axis"}, _as_numbers)
ROLL = OpSpec(
    "ROLL",
    keras=function("roll", "shift", "axis"),
    evaluate=lambda args, a: [_rolled(args[0], a, 1)],
    tf={"Roll": _roll},
    roles=("input",),
    inverse=lambda slot, target, args, a: _rolled(target, a, -1),
    formula=_written_roll,
    infer_shape=_same,
    declared=("shift", "axis"),
)

# TFLite's name to TensorFlow's type and function, or that of keras.ops: the same operands, and no option that matters.
_SAME_IN_BOTH = {
    "ATAN2": ("Atan2", "ops.arctan2"),
    "COMPLEX_ABS": ("ComplexAbs", "abs"),
    "COMPLEX": ("Complex", "complex"),
    "FFT": ("FFT", "signal.fft"),
    "FFT2D": ("FFT2D", "signal.fft2d"),
    "GATHER_ND": ("GatherNd", "gather_nd"),
    "MATRIX_DIAG": ("MatrixDiag", "linalg.diag"),
    "IFFT": ("IFFT", "signal.ifft"),
    "IFFT2D": ("IFFT2D", "signal.ifft2d"),
    "IMAG": ("Imag", "math.imag"),
    "MATRIX_SET_DIAG": ("MatrixSetDiag", "linalg.set_diag"),
    "REAL": ("Real", "math.real"),
    "RFFT2D": ("RFFT2D", "signal.rfft2d"),
    "SCATTER_ND": ("ScatterNd", "scatter_nd"),
    "SEGMENT_SUM": ("SegmentSum", "math.segment_sum"),
    "UNSORTED_SEGMENT_MAX": ("UnsortedSegmentMax", "math.unsorted_segment_max"),
    "UNSORTED_SEGMENT_MIN": ("UnsortedSegmentMin", "math.unsorted_segment_min"),
    "UNSORTED_SEGMENT_PROD": ("UnsortedSegmentProd", "math.unsorted_segment_prod"),
    "UNSORTED_SEGMENT_SUM": ("UnsortedSegmentSum", "math.unsorted_segment_sum"),
    "WHERE": ("Where", "where"),
}


# Shape of the result by the shapes of the operands; of the others it is in the contents of one.
_SHAPES: Mapping[str, Callable[[Sequence[Shape], Attributes], Shape]] = {
    **dict.fromkeys(("ATAN2", "COMPLEX"), broadcast),
    **dict.fromkeys(("COMPLEX_ABS", "FFT", "FFT2D", "IFFT", "IFFT2D", "IMAG", "MATRIX_SET_DIAG", "REAL"), _same),
    "GATHER_ND": lambda shapes, _: (*shapes[1][:-1], *shapes[0][shapes[1][-1] :]),
    "MATRIX_DIAG": lambda shapes, _: (*shapes[0], shapes[0][-1]),
}


def _rfft2d(source: Source) -> Lowered:
    length = source.constant(1)
    # Of the frequencies on the last axis those below zero are the others' mirror image.
    shape = None if length is None else (*source.shape(0)[:-2], int(length[0]), int(length[1]) // 2 + 1)
    return Lowered("RFFT2D", operands(source), shape=shape)


def _rfft(source: Source, write: Writer) -> tuple[int, ...]:
    """Along one axis, as a converter writes it: TFLite has it along two only."""
    length = source.constant(1)
    if length is None:
        raise Unsupported("how many numbers it transforms is computed")
    (row,) = write("ExpandDims", source.inputs[0], write.constant(np.int32(-2)))
    (made,) = write("RFFT2D", row, write.constant(np.array([1, int(length[0])], np.int32)))
    return write("Squeeze", made, squeeze_dims=[-2])


def _diagonal(name: str, count: int) -> Reader:
    """TensorFlow's newer operators of any diagonals, where they are asked for the main one."""

    def read(source: Source) -> Lowered | None:
        main = source.constant(count)
        if main is None or main.any():
            return None
        # Of a square matrix; what is beside its diagonal is zero.
        sizes = [source.constant(slot) for slot in range(count + 1, len(source.inputs))]
        usual = [-1, -1, 0][: len(sizes)]
        if any(size is None or size != wanted for size, wanted in zip(sizes, usual, strict=True)):
            return None
        return Lowered(name, operands(source)[:count])

    return read


# Of those whose shape is in the contents of an operand; the others take their operands as they are.
_READERS: Mapping[str, Reader] = {
    "RFFT2D": _rfft2d,
    # How many there are the data decide, whatever a file says: sizes that are not known stand as ones.
    "SEGMENT_SUM": lambda source: Lowered("SEGMENT_SUM", operands(source), shape=(1, *source.shape(0)[1:])),
    "WHERE": lambda source: Lowered("WHERE", operands(source), shape=(1, len(source.shape(0)))),
}
# What TensorFlow writes besides today.
_NEWER: Mapping[str, Mapping[str, Reader]] = {
    "MATRIX_DIAG": dict.fromkeys(("MatrixDiagV2", "MatrixDiagV3"), _diagonal("MATRIX_DIAG", 1)),
    "MATRIX_SET_DIAG": dict.fromkeys(("MatrixSetDiagV2", "MatrixSetDiagV3"), _diagonal("MATRIX_SET_DIAG", 2)),
}


# Those that are a function of Keras where the last operand is known: its name, and that of the operand.
_WHERE_KNOWN = {
    "SCATTER_ND": ("scatter", "shape"),
    "UNSORTED_SEGMENT_MAX": ("segment_max", "num_segments"),
    "UNSORTED_SEGMENT_SUM": ("segment_sum", "num_segments"),
}


def _called(name: str, call: str) -> Callable[[Builder, Part], Any]:
    usual = function(call.removeprefix("ops.")) if call.startswith("ops.") else tensorflow(call)
    if name not in _WHERE_KNOWN:
        return usual
    kind, argument = _WHERE_KNOWN[name]

    def build(builder: Builder, part: Part) -> Any:
        *given, last = part.args
        if not isinstance(last, np.ndarray):
            return usual(builder, part)
        known = tuple(map(int, last)) if last.ndim else int(last)
        return builder.ops(kind, *given, **{argument: known})

    return build


# How segments are put together, and what one that is empty is; shapes with a free batch are computed so.
_COMBINE: Mapping[str, tuple[np.ufunc, Callable[[np.dtype[Any]], Any]]] = {
    "UNSORTED_SEGMENT_MAX": (np.maximum, lambda dtype: _limits(dtype).min),
    "UNSORTED_SEGMENT_MIN": (np.minimum, lambda dtype: _limits(dtype).max),
    "UNSORTED_SEGMENT_PROD": (np.multiply, lambda dtype: 1),
    "UNSORTED_SEGMENT_SUM": (np.add, lambda dtype: 0),
}


def _limits(dtype: np.dtype[Any]) -> Any:
    return np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)


def _segments(name: str) -> Callable[[Sequence[Array], Attributes], Sequence[Array]] | None:
    if name not in _COMBINE:
        return None
    combine, empty = _COMBINE[name]

    def evaluate(args: Sequence[Array], _: Attributes) -> Sequence[Array]:
        data, segments, count = args
        made = np.full((int(count), *data.shape[segments.ndim :]), empty(data.dtype), data.dtype)
        kept = segments >= 0
        combine.at(made, segments[kept], data[kept])
        return [made]

    return evaluate


SPECS = (
    CUMSUM,
    ONE_HOT,
    TOPK_V2,
    BUCKETIZE,
    OpSpec("RFFT", expand=_rfft),
    MATRIX_BAND_PART,
    ROLL,
    *(
        OpSpec(
            name,
            tflite=_READERS.get(name, plain(name)),
            tf={tf: _READERS.get(name, plain(name)), **_NEWER.get(name, {})},
            infer_shape=_SHAPES.get(name),
            keras=_called(name, call),
            evaluate=_segments(name),
        )
        for name, (tf, call) in _SAME_IN_BOTH.items()
    ),
)
