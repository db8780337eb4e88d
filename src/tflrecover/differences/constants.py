"""A constant that cannot be what the file has, told by what a user can change."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from tflrecover.align import Alignment
from tflrecover.differences import describe
from tflrecover.differences.layers import Layers, around, bias_argument
from tflrecover.ir import Difference, Op, Origin
from tflrecover.ops.conv import is_no_bias
from tflrecover.transfer.state import Failure
from tflrecover.weight import Array, Literal

_SHOWN = 4
# Operators of TensorFlow that divide.
_DIVISIONS = ("RealDiv", "Div")


def describe_failure(alignment: Alignment, failure: Failure, layers: Layers) -> Difference:
    """An equation that does not hold, as a difference."""
    equation = failure.equation
    if equation.file_op is None or equation.keras_op is None:
        told = f"a constant that the model returns cannot become the file's: {failure.reason}"
        return Difference("constant", told, attribute=equation.role)
    f, k = alignment.file.graph.op(equation.file_op), alignment.keras.graph.op(equation.keras_op)
    role, maker = equation.role, k.attribute_origins.get(equation.role)
    if maker is not None:
        k = k.evolve(layer=maker.layer)
    if equation.role == "bias" and is_no_bias(equation.keras):
        name, wanted, got = bias_argument(layers, describe.layer_of(k))
        advice = ""
        if name == "use_bias":
            # Who leaves it out mostly has a batch norm behind, which a converter folds away.
            place = describe.in_keras(k)
            advice = f"set `use_bias=True` on {place}, or insert the BatchNormalization that was folded into it"
        return describe.attribute(alignment.file, f, k, name, wanted, got, advice=advice)
    is_shape = equation.keras.shape != equation.file.shape
    mine = equation.file.shape if is_shape else shown(failure.file_value)
    theirs = equation.keras.shape if is_shape else shown(failure.keras_value)
    values = "" if is_shape or mine is None or theirs is None else f" ({mine} in the file, {theirs} in the model)"
    where = describe.in_file(alignment.file, f)
    layer = describe.layer_of(k)
    told = f"the {equation.role} of {describe.in_keras(k)} cannot become that of {where}: {failure.reason}{values}"
    if not values and not is_shape and not equation.keras.leaves:
        told = f"{told}; in the model this is a constant, computed when it was built, and no variable to write to"
    if not is_shape and not isinstance(equation.keras, Literal) and (calls := calls_of(alignment, k)) > 1:
        outer = shared_around(alignment, layers, layer)
        what = "model" if hasattr(layers.get(outer or ""), "compile") else "layer"
        whose = describe.in_keras(k) if outer is None else f"{what} {outer!r}"
        layer = outer if outer is not None and what == "layer" else layer
        told = (
            f"call a {what} of its own in the place of one of the {calls} calls of {whose}: the weights are others at "
            f"{where} ({equation.role}: {failure.reason})"
        )
    if values and isinstance(equation.keras, Literal):
        # A number in the model's code, which a user can change.
        if role == "scale" and _is_division(k, maker):
            role, mine, theirs = "divisor", _inverted(failure.file_value), _inverted(failure.keras_value)
        asked = f"use {describe.show(mine)} instead of {describe.show(theirs)} as the {role} of"
        if equation.is_absent:
            asked = f"{'multiply by' if role == 'scale' else 'add'} {describe.show(mine)} at"
        told = f"{asked} {describe.in_keras(k)}: the file has it at {where}"
    return Difference(
        "shape" if is_shape else "constant",
        told,
        describe.file_index(f),
        describe.file_type(f),
        describe.file_name(alignment.file, f),
        layer,
        role,
        mine,
        theirs,
    )


def _is_division(k: Op, maker: Origin | None) -> bool:
    """Whether a factor is written as what is divided by."""
    made = [maker] if maker is not None else k.origins
    return bool(made) and made[0].type in _DIVISIONS


def _inverted(value: Array | None) -> Any:
    return None if value is None else shown(np.reciprocal(value))


def calls_of(alignment: Alignment, op: Op) -> int:
    """How often the model calls the layer of an operator; 0 where it belongs to none."""
    layer = describe.layer_of(op)
    listed = (other for other in alignment.keras.ops if other.type == op.type)
    return 0 if layer is None else sum(describe.layer_of(other) == layer for other in listed)


def shared_around(alignment: Alignment, layers: Layers, path: str | None) -> str | None:
    """The outermost model or layer around a layer that is called as often as the layer: with all that is in it."""
    counts = Counter(describe.layer_of(op) for op in alignment.keras.ops if not describe.is_weightless([op]))
    for outer in around(layers, path or ""):
        inside = [name for name in counts if name is not None and outer in around(layers, name)]
        if len(inside) > 1 and counts[path] > 1 and all(counts[name] == counts[path] for name in inside):
            return outer
    return None


def shown(value: Array | None) -> Any:
    """A small constant as plain numbers, to the digits that float32 has, or as texts; None for a large one."""
    if value is None or value.size > _SHOWN:
        return None
    listed = tuple(
        one.decode("utf-8", "replace") if isinstance(one, bytes) else float(f"{one:.7g}") for one in np.ravel(value)
    )
    return listed[0] if len(listed) == 1 else listed
