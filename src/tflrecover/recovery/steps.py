"""Layers over steps: TFLite has them over images with an axis of size 1.

RESHAPE(CONV_2D(RESHAPE(x, (b, 1, t, c)), k), (b, t', f)) = CONV_1D(x, k)

Operators between such reshapes lose the axis together: the type stays, its windows have one number. What looks at the
axis, or makes it an output of the network, keeps all that are connected with it as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from tflrecover import ops
from tflrecover.ir import Op, Shape
from tflrecover.ops.shape import shaped
from tflrecover.recovery.rows import drop_reshapes
from tflrecover.rewrite.draft import Draft, OpId

_RANK = 4
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV")
_WINDOWED = (*_CONVOLUTIONS, "MAX_POOL_2D", "AVERAGE_POOL_2D")
_WINDOWS = ("kernel_size", "pool_size", "strides", "dilation_rate", "padding", "output_padding")
# Where a window has size 1, and what it makes of an axis too, its steps are none.
_DECISIVE = ("kernel_size", "pool_size", "padding", "output_padding")
_ALONG_LAST = ("FULLY_CONNECTED", "SOFTMAX", "LOG_SOFTMAX", "AFFINE", "SILU", "PRELU")


def drop_unit_axes(draft: Draft) -> int:
    """Layers over images of one row, or one column, between reshapes become layers over steps."""
    count = 0
    for unit in (1, 2):
        region = _region(draft, unit)
        for op_id in region:
            _drop(draft, draft.ops[op_id], unit)
        if region:
            count += len(region) + drop_reshapes(draft)
    return count


def _region(draft: Draft, unit: int) -> set[OpId]:
    """Operators that can do without the axis, and are connected with a window by others that can."""
    found = {op.id for op in draft.ops.values() if op.id not in draft.opaque and _can_do_without(draft, op, unit)}
    waiting = list(found)
    while waiting:
        op_id = waiting.pop()
        if op_id in found and not all(_is_inside(draft, value, found) for value in _tensors(draft, draft.ops[op_id])):
            found.remove(op_id)
            waiting.extend(near for near in _neighbours(draft, draft.ops[op_id]) if near in found)
    kept: set[OpId] = set()
    waiting = [op_id for op_id in found if draft.ops[op_id].type in _WINDOWED]
    while waiting:
        op_id = waiting.pop()
        if op_id not in kept:
            kept.add(op_id)
            waiting.extend(near for near in _neighbours(draft, draft.ops[op_id]) if near in found)
    return kept


def _tensors(draft: Draft, op: Op) -> list[int]:
    return [value for value in (*op.inputs, *op.outputs) if value is not None and draft.weight(value) is None]


def _neighbours(draft: Draft, op: Op) -> Iterator[OpId]:
    for value in _tensors(draft, op):
        made = draft.producer(value)
        if made is not None:
            yield made.id
        yield from (user.id for user, _ in draft.consumers(value))


def _is_inside(draft: Draft, value: int, found: Collection[OpId]) -> bool:
    """Whether only reshapes and operators of the region make and take a value."""
    made = draft.producer(value)
    near = [made, *(user for user, _ in draft.consumers(value))]
    return value not in draft.outputs and all(
        op is not None and (op.type == "RESHAPE" or op.id in found) for op in near
    )


def _can_do_without(draft: Draft, op: Op, unit: int) -> bool:
    tensors = _tensors(draft, op)
    has_unit = all(len(draft.shape(value)) == _RANK and draft.shape(value)[unit] == 1 for value in tensors)
    if len(op.outputs) != 1 or len(tensors) < 2 or not has_unit:
        return False
    if op.type in _WINDOWED:
        return all(_stays(op.attributes.get(name), unit - 1) for name in _DECISIVE)
    if op.type == "PAD":
        return tuple(op.attributes["padding"][unit]) == (0, 0)
    if op.type == "CONCATENATION":
        return int(op.attributes["axis"]) % _RANK != unit
    if op.type == "UPSAMPLING":
        return bool(op.attributes["size"][unit - 1] == 1)
    spec = ops.by_name(op.type)
    is_by_number = spec is not None and (spec.is_elementwise or spec.is_of_single_numbers or op.type in _ALONG_LAST)
    # Of matrices, any axis but the last two is one of a stack.
    is_by_number |= op.type == "BATCH_MATMUL" and unit < _RANK - 2
    constants = [] if op.type == "FULLY_CONNECTED" else map(draft.weight, op.inputs)
    return bool(is_by_number) and all(
        weight is None or _without(weight.shape, unit) is not None for weight in constants
    )


def _stays(window: Any, axis: int) -> bool:
    """Whether a window does nothing along an axis."""
    return window is None or isinstance(window, str) or bool(window[axis] in (0, 1, (0, 0)))


def _without(shape: Shape, unit: int) -> Shape | None:
    """The shape of a constant operand; it may have fewer axes, from the last. None where it needs the axis."""
    axis = len(shape) - (_RANK - unit)
    if axis < 0:
        return shape
    return (*shape[:axis], *shape[axis + 1 :]) if shape[axis] == 1 else None


def _drop(draft: Draft, op: Op, unit: int) -> None:
    for value in _tensors(draft, op):
        _drop_of_value(draft, value, unit)
    attributes = dict(op.attributes)
    if op.type == "CONCATENATION":
        axis = attributes["axis"] % _RANK
        attributes["axis"] = axis - (axis > unit)
    elif op.type == "PAD":
        attributes["padding"] = _shorter(attributes["padding"], unit)
    elif op.type == "UPSAMPLING":
        attributes["size"] = _shorter(attributes["size"], unit - 1)
    elif op.type in _WINDOWED:
        windows = {name: attributes[name] for name in _WINDOWS if isinstance(attributes.get(name), tuple)}
        attributes |= {name: _shorter(window, unit - 1) for name, window in windows.items()}
    inputs = list(op.inputs)
    for slot, operand in enumerate(op.inputs):
        weight = draft.weight(operand)
        if weight is None or op.type == "FULLY_CONNECTED":
            continue
        if op.type not in _WINDOWED:
            inputs[slot] = draft.constant(shaped(weight, _without(weight.shape, unit) or ()))
        elif slot == 1:
            inputs[slot] = draft.constant(shaped(weight, _shorter(weight.shape, unit - 1)))
    draft.replace(op.evolve(inputs=tuple(inputs), attributes=attributes))


def _drop_of_value(draft: Draft, value: int, unit: int) -> None:
    shape = draft.shape(value)
    if len(shape) != _RANK:
        return  # Another operator of the region has it, too.
    known = draft.values[value]
    signature = known.shape_signature
    draft.values[value] = replace(
        known, shape=_shorter(shape, unit), shape_signature=signature and _shorter(signature, unit)
    )
    made = draft.producer(value)
    if made is not None and made.type == "RESHAPE":
        draft.replace(made.evolve(attributes={**made.attributes, "target_shape": _shorter(shape, unit)}))


def _shorter(sizes: tuple[Any, ...], axis: int) -> tuple[Any, ...]:
    return (*sizes[:axis], *sizes[axis + 1 :])


def fuse_causal(draft: Draft) -> int:
    """Zeros before the first step, as many as a window reaches back, are the padding of Keras's layer."""
    count = 0
    for op in draft.of_type("CONV_2D"):
        a, pad = op.attributes, draft.producer(op.inputs[0])
        if len(a["kernel_size"]) != 1 or a["padding"] != "valid" or pad is None or pad.type != "PAD":
            continue
        (steps,), (rate,), (stride,) = a["kernel_size"], a["dilation_rate"], a["strides"]
        if pad.attributes != {"padding": ((0, 0), (rate * (steps - 1), 0), (0, 0)), "value": 0.0}:
            continue
        if 1 not in (rate, stride):
            continue
        draft.replace(op.evolve(inputs=(pad.inputs[0], *op.inputs[1:]), attributes={**a, "padding": "causal"}))
        count += 1
    return count
