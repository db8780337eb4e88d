"""Operators that move data or describe its shape; most fold away, being made of constants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops.keras import is_constant, raw
from tflrecover.ops.readers import activation, operand, operands, plain, with_constants
from tflrecover.ops.spec import Attributes, Builder, Lowered, OpSpec, Part, Source
from tflrecover.weight import Array, Weight


def only_moves_units(inside: Shape, outside: Shape) -> bool:
    """Whether a reshape from one shape to the other only moves, adds or drops axes of size 1."""
    return [n for n in inside if n != 1] == [n for n in outside if n != 1]


def _target_shape(source: Source) -> Shape | None:
    """Shape of a reshape's result: from its operand, else from its options, else as the dialect has it."""
    wanted = source.constant(1) if len(source.inputs) > 1 else None
    if wanted is None:
        wanted = source.attributes.get("new_shape")
    if wanted is None:
        return source.output_shape()
    shape = [int(n) for n in np.atleast_1d(wanted)]
    if -1 in shape:
        total = int(np.prod(source.shape(0), dtype=np.int64))
        rest = int(np.prod([n for n in shape if n != -1], dtype=np.int64))
        shape[shape.index(-1)] = total // max(rest, 1)
    return tuple(shape)


def _reshape(source: Source) -> Lowered | None:
    shape = _target_shape(source)
    return None if shape is None else Lowered("RESHAPE", operands(source)[:1], {"target_shape": shape}, shape=shape)


def _squeeze(source: Source) -> Lowered:
    before = source.shape(0)
    axes = {int(a) % len(before) for a in np.atleast_1d(source.attributes.get("squeeze_dims") or ())}
    axes = axes or {i for i, n in enumerate(before) if n == 1}
    shape = tuple(n for i, n in enumerate(before) if i not in axes)
    return Lowered("RESHAPE", operands(source)[:1], {"target_shape": shape}, shape=shape)


def _expand_dims(source: Source) -> Lowered | None:
    axis = source.constant(1)
    if axis is None:
        return None
    before = list(source.shape(0))
    where = int(axis.reshape(-1)[0])
    before.insert(where % (len(before) + 1), 1)
    return Lowered("RESHAPE", operands(source)[:1], {"target_shape": tuple(before)}, shape=tuple(before))


def _back_to_shape(slot: int, target: Array, args: Sequence[Array], attributes: Attributes) -> Array:
    return target.reshape(args[0].shape)


def _keras_reshape(builder: Builder, part: Part) -> Any:
    return builder.reshaped(part.args[0], part.shape(0), part.output_shape)


RESHAPE = OpSpec(
    "RESHAPE",
    keras=_keras_reshape,
    computed=raw("Reshape", "tensor", "shape"),
    evaluate=lambda args, a: [np.reshape(args[0], a["target_shape"])],
    tflite=_reshape,
    tf={"Reshape": _reshape, "Squeeze": _squeeze, "ExpandDims": _expand_dims},
    roles=("input",),
    inverse=_back_to_shape,
    infer_shape=lambda shapes, a: tuple(a["target_shape"]),
    declared=("target_shape",),
    family="reshape",
)


def shaped(weight: Weight, shape: Shape) -> Weight:
    """A constant in another shape; itself where it has that."""
    return weight if weight.shape == shape else RESHAPE(weight, shape=shape, target_shape=shape)


SQUEEZE = OpSpec("SQUEEZE", tflite=_squeeze)
EXPAND_DIMS = OpSpec("EXPAND_DIMS", tflite=_expand_dims, computed=raw("ExpandDims", "input", "axis"))


def _transpose(source: Source) -> Lowered | None:
    found, before = source.constant(1), source.shape(0)
    if found is None:
        return None
    perm = tuple(int(n) for n in found)
    # Files are known to be wrong about the shape of a result that is dynamic.
    after = tuple(before[axis] for axis in perm) if len(perm) == len(before) else None
    return Lowered("TRANSPOSE", operands(source)[:1], {"perm": perm}, shape=after)


def _keras_transpose(builder: Builder, part: Part) -> Any:
    perm = part.attributes["perm"]
    if len(perm) > 1 and perm[0] == 0:
        return builder.layer("Permute", part.args[0], dims=perm[1:])
    return builder.ops("transpose", part.args[0], axes=perm)


TRANSPOSE = OpSpec(
    "TRANSPOSE",
    keras=_keras_transpose,
    computed=raw("Transpose", "x", "perm"),
    evaluate=lambda args, a: [np.transpose(args[0], a["perm"])],
    tflite=_transpose,
    tf={"Transpose": _transpose},
    roles=("input",),
    inverse=lambda slot, target, args, a: np.transpose(target, np.argsort(a["perm"])),
    infer_shape=lambda shapes, a: tuple(shapes[0][i] for i in a["perm"]),
    declared=("perm",),
    family="reshape",
)

SHAPE = OpSpec("SHAPE", tflite=plain("SHAPE"), tf={"Shape": plain("SHAPE")}, roles=("input",))


def _pack(source: Source) -> Lowered:
    rank = len(source.shape(0)) + 1
    return Lowered("PACK", operands(source), {"axis": int(source.attributes["axis"]) % rank})


def _keras_pack(builder: Builder, part: Part) -> Any:
    return builder.ops("stack", _alike(builder, part), axis=part.attributes["axis"])


def _alike(builder: Builder, part: Part) -> list[Any]:
    """Operands of one batch: what is constant is there once, whatever the batch."""
    like = next((arg for arg in part.args if not is_constant(arg)), None)
    return [arg if like is None else builder.repeated(arg, like) for arg in part.args]


PACK = OpSpec(
    "PACK",
    keras=_keras_pack,
    evaluate=lambda args, a: [np.stack(args, a["axis"])],
    inverse=lambda slot, target, args, a: np.take(target, slot, a["axis"]),
    tflite=_pack,
    tf={"Pack": _pack},
    declared=("axis",),
    infer_shape=lambda shapes, a: (*shapes[0][: a["axis"]], len(shapes), *shapes[0][a["axis"] :]),
)


def _concat(source: Source) -> Lowered:
    axis = int(source.attributes["axis"]) % max(len(source.shape(0)), 1)
    return Lowered("CONCATENATION", operands(source), {"axis": axis}, activation(source))


def _tf_concat(source: Source) -> Lowered | None:
    last = len(source.inputs) - 1
    axis = source.constant(last)
    if axis is None:
        return None
    where = int(axis.reshape(-1)[0]) % max(len(source.shape(0)), 1)
    return Lowered("CONCATENATION", operands(source)[:last], {"axis": where})


def _concat_shape(shapes: Sequence[Shape], a: Attributes) -> Shape:
    axis = a["axis"]
    return tuple(sum(s[axis] for s in shapes) if i == axis else n for i, n in enumerate(shapes[0]))


def _concat_inverse(slot: int, target: Array, args: Sequence[Array], a: Attributes) -> Array:
    axis = a["axis"]
    start = sum(arg.shape[axis] for arg in args[:slot])
    return np.take(target, range(start, start + args[slot].shape[axis]), axis)


def _keras_concat(builder: Builder, part: Part) -> Any:
    axis, rank = part.attributes["axis"], len(part.output_shape)
    if any(map(is_constant, part.args)):
        return builder.ops("concatenate", _alike(builder, part), axis=axis)
    # The last axis is the default, whatever the rank.
    return builder.layer("Concatenate", list(part.args), **({} if axis == rank - 1 else {"axis": axis}))


CONCATENATION = OpSpec(
    "CONCATENATION",
    keras=_keras_concat,
    evaluate=lambda args, a: [np.concatenate(args, a["axis"])],
    tflite=_concat,
    tf={"ConcatV2": _tf_concat},
    inverse=_concat_inverse,
    infer_shape=_concat_shape,
    declared=("axis",),
    family="merge",
)


def _paddings(source: Source, attributes: dict[str, Any]) -> dict[str, Any]:
    return {"padding": tuple((int(a), int(b)) for a, b in np.reshape(attributes["paddings"], (-1, 2)))}


def _pad_value(source: Source) -> Lowered | None:
    paddings, value = source.constant(1), source.constant(2)
    if paddings is None or value is None:
        return None
    attributes = {**_paddings(source, {"paddings": paddings}), "value": float(np.ravel(value)[0])}
    return Lowered("PAD", (operand(source, 0),), attributes)


def _zero_pad(source: Source, attributes: dict[str, Any]) -> dict[str, Any]:
    return {**_paddings(source, attributes), "value": 0.0}


def _pad_shape(shapes: Sequence[Shape], a: Attributes) -> Shape:
    return tuple(n + before + after for n, (before, after) in zip(shapes[0], a["padding"], strict=True))


_zero_pad_reader = with_constants("PAD", {1: "paddings"}, _zero_pad)


def _unpad(slot: int, target: Array, args: Sequence[Array], a: Attributes) -> Array:
    return target[tuple(slice(before, before + n) for n, (before, _) in zip(args[0].shape, a["padding"], strict=True))]


def _keras_pad(builder: Builder, part: Part) -> Any:
    (x,), padding, value = part.args, part.attributes["padding"], part.attributes["value"]
    inside = padding[1:-1]
    if 3 <= len(padding) <= 5 and padding[0] == padding[-1] == (0, 0) and value == 0:
        return builder.layer(f"ZeroPadding{len(inside)}D", x, padding=inside if len(inside) > 1 else inside[0])
    filled = {} if value == 0 else {"constant_values": value if part.dtype.startswith("float") else int(value)}
    return builder.ops("pad", x, padding, **filled)


def _keras_mirror(builder: Builder, part: Part) -> Any:
    mode = part.attributes["mode"].lower()
    return builder.ops("pad", part.args[0], part.attributes["padding"], mode=mode)


def _pad_lower(a: Attributes, shapes: Sequence[Shape]) -> Attributes:
    # A converter writes -∞ as the lowest number there is.
    value = a.get("value")
    return {**a, "value": -np.inf} if isinstance(value, float) and value <= np.finfo(np.float32).min else a


PAD = OpSpec(
    "PAD",
    lower=_pad_lower,
    keras=_keras_pad,
    computed=raw("Pad", "input", "paddings"),
    inverse=_unpad,
    evaluate=lambda args, a: [np.pad(args[0], a["padding"], constant_values=a["value"])],
    tflite=_zero_pad_reader,
    tf={"Pad": _zero_pad_reader, "PadV2": _pad_value},
    roles=("input",),
    infer_shape=_pad_shape,
    declared=("padding", "value"),
    family="pad",
)
PADV2 = OpSpec("PADV2", tflite=_pad_value, computed=raw("PadV2", "input", "paddings", "constant_values"))


def _mirror(source: Source, attributes: dict[str, Any]) -> dict[str, Any]:
    return {**_paddings(source, attributes), "mode": str(source.attributes["mode"]).upper()}


_mirror_reader = with_constants("MIRROR_PAD", {1: "paddings"}, _mirror)
MIRROR_PAD = OpSpec(
    "MIRROR_PAD",
    keras=_keras_mirror,
    computed=raw("MirrorPad", "input", "paddings", mode="mode"),
    evaluate=lambda args, a: [np.pad(args[0], a["padding"], a["mode"].lower())],
    tflite=_mirror_reader,
    tf={"MirrorPad": _mirror_reader},
    roles=("input",),
    infer_shape=_pad_shape,
    declared=("padding", "mode"),
    family="pad",
)

SPECS = (
    RESHAPE,
    SQUEEZE,
    EXPAND_DIMS,
    TRANSPOSE,
    SHAPE,
    PACK,
    CONCATENATION,
    PAD,
    PADV2,
    MIRROR_PAD,
)
