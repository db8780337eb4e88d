"""``f(TRANSPOSE(x)) = TRANSPOSE(f'(x))``: transposes sink until they meet one that undoes them, or what they matter to.

TRANSPOSE(TRANSPOSE(x, p), q) = TRANSPOSE(x, p∘q)
f(TRANSPOSE(x, p), TRANSPOSE(y, p), w) = TRANSPOSE(f(x, y, TRANSPOSE(w, p⁻¹)), p)      element by element
f(TRANSPOSE(x, p), axis=a) = TRANSPOSE(f(x, axis=p[a]), p)      reductions, concatenations, pads, slices

A model whose layers have their channels first so becomes the one with channels last, between two transposes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tflrecover import ops
from tflrecover.ir import Op, Shape
from tflrecover.ops import reduce
from tflrecover.ops.shape import RESHAPE, TRANSPOSE
from tflrecover.ops.slicing import WHOLE, named
from tflrecover.rewrite.draft import Draft, merged_origins
from tflrecover.weight import Weight

Perm = tuple[int, ...]
Moved = tuple[Mapping[str, Any], Perm]
"""Attributes of the operator on the value before the transpose, and the transpose of its result."""

# Along the last axis, not element by element.
_ALONG_LAST = ("SOFTMAX", "LOG_SOFTMAX")


def sink_transposes(draft: Draft) -> int:
    """Every TRANSPOSE moves behind the operators that take it, as far as they allow; two in a row become one."""
    count = 0
    listed = draft.ordered() if draft.has("TRANSPOSE") else ()
    for op_id in [op.id for op in listed if op.id not in draft.opaque]:
        op = draft.ops[op_id]
        count += _merge(draft, op) if op.type == "TRANSPOSE" else _sink(draft, op)
    return count


def merge_transposes(draft: Draft) -> int:
    """``TRANSPOSE(TRANSPOSE(x, p), q)`` becomes ``TRANSPOSE(x, p[q])``; one that moves no axis goes."""
    return sum(_merge(draft, op) for op in draft.of_type("TRANSPOSE"))


def _merge(draft: Draft, op: Op) -> int:
    """One that stands behind another becomes one with it, and one that moves no axis goes."""
    perm = _perm(op)
    before = draft.producer(op.inputs[0])
    if _is_transpose(draft, before) and before is not None:
        inner = _perm(before)
        perm = tuple(inner[axis] for axis in perm)
        op = op.evolve(inputs=before.inputs, attributes={"perm": perm}, origins=merged_origins(op, before))
        draft.replace(op)
    elif perm != tuple(range(len(perm))):
        return 0
    if perm == tuple(range(len(perm))) and op.inputs[0] is not None:
        draft.remove(op.id)
        draft.redirect(op.outputs[0], op.inputs[0])
    return 1


def _is_transpose(draft: Draft, op: Op | None) -> bool:
    return op is not None and op.type == "TRANSPOSE" and op.id not in draft.opaque


def _perm(op: Op) -> Perm:
    perm = op.attributes["perm"]
    return tuple(int(axis) % len(perm) for axis in perm)


def _sink(draft: Draft, op: Op) -> int:
    transposes = {
        slot: before
        for slot, value in enumerate(op.inputs)
        if (before := draft.producer(value)) is not None and _is_transpose(draft, before)
    }
    perms = {_perm(before) for before in transposes.values()}
    if len(perms) != 1 or len(op.outputs) != 1:
        return 0
    perm = perms.pop()
    spec, result = ops.by_name(op.type), draft.values[op.outputs[0]]
    if spec is not None and spec.is_elementwise:
        # What has fewer axes than the result is taken for as many, ones in front.
        lead = len(result.shape or ()) - len(perm)
        perm = (*range(lead), *(axis + lead for axis in perm))
    moved = _moved(op, perm)
    if moved is None:
        return 0
    operands = _operands(draft, op, transposes, perm)
    if operands is None:
        return 0
    attributes, after = moved
    shape = tuple(n for _, n in sorted(zip(after, result.shape or (), strict=True)))
    middle = draft.new_value(shape, result.dtype, result.name) if after != tuple(sorted(after)) else op.outputs[0]
    draft.replace(op.evolve(inputs=operands, outputs=(middle,), attributes=attributes))
    if middle != op.outputs[0]:
        sunk = Op(
            _free(draft, f"{op.id}.sunk"),
            "TRANSPOSE",
            (middle,),
            op.outputs,
            {"perm": after},
            op.layer,
            merged_origins(*transposes.values()),
        )
        draft.add(sunk)
    return 1


def _free(draft: Draft, name: str) -> str:
    while name in draft.ops:
        name += "'"
    return name


def _operands(draft: Draft, op: Op, transposes: Mapping[int, Op], perm: Perm) -> tuple[int | None, ...] | None:
    """The operands before the transpose, or None when one of them cannot be had without another transpose."""
    changed = []
    for slot, value in enumerate(op.inputs):
        weight = draft.weight(value)
        if value is None or math.prod(draft.shape(value)) == 1:
            changed.append(value)
        elif slot in transposes:
            changed.append(transposes[slot].inputs[0])
        elif weight is not None:
            changed.append(draft.constant(_moved_weight(weight, perm)))
        else:
            shape = _moved_shape(draft.shape(value), perm)
            if shape is None:
                return None
            flat = draft.new_value(shape, draft.values[value].dtype)
            name = _free(draft, f"{op.id}.operand{slot}")
            draft.add(Op(name, "RESHAPE", (value,), (flat,), {"target_shape": shape}, op.layer, op.origins))
            changed.append(flat)
    return tuple(changed)


def _full(shape: Shape, rank: int) -> Shape:
    return (1,) * (rank - len(shape)) + shape


def _moved_weight(weight: Weight, perm: Perm) -> Weight:
    full = _full(weight.shape, len(perm))
    back = tuple(int(axis) for axis in np.argsort(perm))
    if full != weight.shape:
        weight = RESHAPE(weight, shape=full, target_shape=full)
    return TRANSPOSE(weight, perm=back)


def _moved_shape(shape: Shape, perm: Perm) -> Shape | None:
    """The shape of a broadcast operand before the transpose, when only its axes of size 1 move."""
    full = _full(shape, len(perm))
    back = [int(axis) for axis in np.argsort(perm)]
    wide = [axis for axis in back if full[axis] != 1]
    return tuple(full[axis] for axis in back) if wide == sorted(wide) else None


def _moved(op: Op, perm: Perm) -> Moved | None:
    """What the operator is before the transpose, or None where it does not let one pass."""
    spec = ops.by_name(op.type)
    if spec is None:
        return None
    if op.type in _BY_AXIS:
        return _BY_AXIS[str(op.type)](op.attributes, perm)
    if op.type in _ALONG_LAST or op.type == "AFFINE":
        return (op.attributes, perm) if perm[-1] == len(perm) - 1 else None
    is_elementwise = spec.family in ("unary", "activation") or spec.is_elementwise or op.type == "CAST"
    return (op.attributes, perm) if is_elementwise else None


def _reduced(attributes: Mapping[str, Any], perm: Perm) -> Moved:
    axes = attributes["axis"] if isinstance(attributes["axis"], tuple) else (attributes["axis"],)
    inner = tuple(sorted(perm[axis] for axis in axes))
    given = {**attributes, "axis": inner if isinstance(attributes["axis"], tuple) else inner[0]}
    return given, perm if attributes.get("keepdims") else _without(perm, axes)


def _without(perm: Perm, axes: tuple[int, ...]) -> Perm:
    """The transpose of what is left when axes of the transposed value are gone."""
    kept = [axis for i, axis in enumerate(perm) if i not in axes]
    order = sorted(kept)
    return tuple(order.index(axis) for axis in kept)


def _along(attributes: Mapping[str, Any], perm: Perm) -> Moved:
    axis = attributes["axis"]
    moved = tuple(sorted(perm[a] for a in axis)) if isinstance(axis, tuple) else perm[axis]
    return {**attributes, "axis": moved}, perm


def _padded(attributes: Mapping[str, Any], perm: Perm) -> Moved:
    padding = dict(zip(perm, attributes["padding"], strict=True))
    return {**attributes, "padding": tuple(padding[axis] for axis in range(len(perm)))}, perm


def _sliced(attributes: Mapping[str, Any], perm: Perm) -> Moved | None:
    places = attributes["slices"]
    if any(isinstance(place, str) for place in places):
        return None
    whole = (*places, *(WHOLE,) * (len(perm) - len(places)))
    moved = dict(zip(perm, whole, strict=True))
    listed = [moved[axis] for axis in range(len(perm))]
    dropped = tuple(i for i, place in enumerate(whole) if isinstance(place, int))
    return {**attributes, "slices": named(listed)}, _without(perm, dropped)


_BY_AXIS: dict[str, Callable[[Mapping[str, Any], Perm], Moved | None]] = {
    **dict.fromkeys((spec.name for spec in reduce.SPECS), _reduced),
    **dict.fromkeys(("CONCATENATION", "REVERSE_V2", "CUMSUM", "SOFTMAX_OF_AXES"), _along),
    **dict.fromkeys(("PAD", "MIRROR_PAD"), _padded),
    "STRIDED_SLICE": _sliced,
}
