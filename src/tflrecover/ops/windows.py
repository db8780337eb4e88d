"""Windows over any axes: reducing what is in them, and spreading an axis out; as StableHLO has them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops.readers import operand, with_constants
from tflrecover.ops.spec import Attributes, Builder, Calls, Lowered, OpSpec, Part, Source
from tflrecover.ops.window import output_size
from tflrecover.weight import Array

# What is in a window becomes one number: in numpy, and by a function of keras.ops of the same name.
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "ADD": np.add,
    "MUL": np.multiply,
    "MINIMUM": np.minimum,
    "MAXIMUM": np.maximum,
    "ALL": np.logical_and,
    "ANY": np.logical_or,
}
_DECLARED = ("function", "window", "strides", "dilations")


def _numbers(source: Source, found: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(int(n) for n in np.ravel(value)) for name, value in found.items()}


_sizes = with_constants("REDUCE_WINDOW", {2: "window", 3: "strides", 4: "dilations"}, _numbers)


def _reduce_window(source: Source) -> Lowered | None:
    lowered, function = _sizes(source), source.attributes.get("reduce_function")
    if lowered is None or function not in _FUNCTIONS:
        return None
    return Lowered("REDUCE_WINDOW", lowered.inputs, {"function": function, **lowered.attributes})


def _window_shape(shapes: Sequence[Shape], a: Attributes) -> Shape:
    sizes = zip(shapes[0], a["window"], a["strides"], a["dilations"], strict=True)
    return tuple(output_size(n, window, stride, dilation, "valid") for n, window, stride, dilation in sizes)


def _reduced(
    x: Any, start: Any, shape: Shape, a: Attributes, part: Callable[[Any, Any], Any], pair: Callable[[Any, Any], Any]
) -> Any:
    """Axis by axis: every function of the schema takes its operands in any order."""
    for axis, (positions, window, stride, dilation) in enumerate(
        zip(_window_shape([shape], a), a["window"], a["strides"], a["dilations"], strict=True)
    ):
        if window == stride == 1:
            continue
        reach = (positions - 1) * stride + 1
        starts = range(0, window * dilation, dilation)
        whole = (slice(None),) * axis
        x = functools.reduce(pair, [part(x, (*whole, slice(at, at + reach, stride))) for at in starts])
    return pair(x, start)


def _evaluate_window(args: Sequence[Array], a: Attributes) -> list[Array]:
    function = _FUNCTIONS[a["function"]]
    return [_reduced(args[0], args[1], args[0].shape, a, lambda x, index: x[index], function)]


def _written(calls: Calls, args: Sequence[Any], a: Attributes) -> Any:
    pair = functools.partial(calls.ops, _FUNCTIONS[a["function"]].__name__)
    return _reduced(args[0], args[1], args[0].shape, a, calls.sliced, pair)


def _keras_window(builder: Builder, part: Part) -> Any:
    name = _FUNCTIONS[part.attributes["function"]].__name__
    pair = functools.partial(builder.ops, name)
    return _reduced(part.args[0], part.args[1], part.shape(0), part.attributes, builder.sliced, pair)


REDUCE_WINDOW = OpSpec(
    "REDUCE_WINDOW",
    keras=_keras_window,
    evaluate=_evaluate_window,
    tflite=_reduce_window,
    roles=("input", "start"),
    infer_shape=_window_shape,
    declared=_DECLARED,
    formula=_written,
)


def _spread_numbers(source: Source, found: dict[str, Any]) -> dict[str, Any]:
    return {"dilations": tuple(int(n) for n in np.ravel(found["dilations"]))}


_dilate = with_constants("DILATE", {1: "dilations"}, _spread_numbers)


def _spread_shape(shapes: Sequence[Shape], a: Attributes) -> Shape:
    return tuple(max((n - 1) * step + 1, 0) for n, step in zip(shapes[0], a["dilations"], strict=True))


def _spread(args: Sequence[Array], a: Attributes) -> list[Array]:
    whole = np.full(_spread_shape([args[0].shape], a), args[1], args[0].dtype)
    whole[tuple(slice(None, None, step) for step in a["dilations"])] = args[0]
    return [whole]


def _keras_spread(builder: Builder, part: Part) -> Any:
    """Axis by axis: each number gets an axis of its own, filled up behind it; the last one's filling is cut off."""
    x, value = part.args
    shape = part.shape(0)
    for axis, step in enumerate(part.attributes["dilations"]):
        if step == 1:
            continue
        n = shape[axis]
        padding = [(0, 0)] * (len(shape) + 1)
        padding[axis + 1] = (0, step - 1)
        apart = (*shape[: axis + 1], step, *shape[axis + 1 :])
        shape = (*shape[:axis], n * step, *shape[axis + 1 :])
        x = builder.ops("pad", builder.ops("expand_dims", x, axis + 1), padding, constant_values=value)
        x = builder.reshaped(x, apart, shape)
        x = builder.sliced(x, (*[slice(None)] * axis, slice(0, (n - 1) * step + 1)))
        shape = (*shape[:axis], (n - 1) * step + 1, *shape[axis + 1 :])
    return x


DILATE = OpSpec(
    "DILATE",
    keras=_keras_spread,
    evaluate=_spread,
    tflite=_dilate,
    roles=("input", "value"),
    infer_shape=_spread_shape,
    declared=("dilations",),
)


def _started(args: Sequence[Array], attributes: Attributes) -> list[Array]:
    """Where the part would reach beyond the end, it begins earlier."""
    whole, part, start = args
    ends = zip(np.ravel(start), whole.shape, part.shape, strict=True)
    first = [min(max(int(at), 0), size - n) for at, size, n in ends]
    made = np.array(whole)
    made[tuple(slice(at, at + n) for at, n in zip(first, part.shape, strict=True))] = part
    return [made]


def _update(source: Source) -> Lowered:
    return Lowered("DYNAMIC_UPDATE_SLICE", tuple(operand(source, slot) for slot in range(3)))


def _keras_update(builder: Builder, part: Part) -> Any:
    whole, update, start = part.args
    return builder.ops("slice_update", whole, start, update)


DYNAMIC_UPDATE_SLICE = OpSpec(
    "DYNAMIC_UPDATE_SLICE",
    keras=_keras_update,
    evaluate=_started,
    tflite=_update,
    tf={"XlaDynamicUpdateSlice": _update},
    roles=("input", "update", "start"),
    infer_shape=lambda shapes, a: shapes[0],
)

SPECS = (REDUCE_WINDOW, DILATE, DYNAMIC_UPDATE_SLICE)
