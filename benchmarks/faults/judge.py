"""Whether a diff names a planted fault, and it alone."""

from __future__ import annotations

from typing import Any

import numpy as np

import tflrecover
from benchmarks.faults.plant import Fault
from tflrecover.ir import Difference

# What the outputs do not show to this part is no fault: a padding that no window reaches, a stride over one position.
_SAME = 1e-5
# What a report says of a change that it made itself to see what is left.
_TRIED = "this was tried, and with it nothing differs"


def is_fault(model: Any, bad: Any) -> bool:
    """Whether the changed model computes something else; one whose weights do not fit any more surely does.

    Raises:
        Exception: it cannot be called, whatever Keras says of its shapes.
    """
    zeros = [np.zeros(_shape(tensor), str(tensor.dtype)) for tensor in bad.inputs]
    bad(zeros if len(zeros) > 1 else zeros[0], training=False)
    weights = {v.path: v for v in model.variables}
    for variable in bad.variables:
        mine = weights.get(variable.path)
        if mine is None or tuple(mine.shape) != tuple(variable.shape):
            return True
        variable.assign(mine)
    if len(bad.variables) != len(weights):
        return True
    if any(tuple(a.shape) != tuple(b.shape) for a, b in zip(model.inputs, bad.inputs, strict=True)):
        return True
    return any(_differ(one, two) for one, two in _outputs(model, bad))


def _shape(tensor: Any) -> tuple[int, ...]:
    return (tensor.shape[0] or 2, *tensor.shape[1:])


def _outputs(model: Any, bad: Any) -> list[tuple[Any, Any]]:
    """What both make of the same random inputs."""
    rng = np.random.default_rng(3)
    shapes = [(_shape(tensor), "int" in str(tensor.dtype)) for tensor in model.inputs]
    inputs = [rng.integers(0, 30, shape) if whole else rng.normal(0, 1, shape) for shape, whole in shapes]
    given = inputs if len(inputs) > 1 else inputs[0]
    one, two = ([np.asarray(y) for y in _listed(m(given, training=False))] for m in (model, bad))
    return list(zip(one, two, strict=True))


def _differ(one: Any, two: Any) -> bool:
    return one.shape != two.shape or bool(np.abs(one - two).max() > _SAME * np.abs(one).max())


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _ports(file: bytes, model: Any, bad: Any) -> bool:
    """Whether other weights make up for the change: then the changed model is the file's network too."""
    return tflrecover.port(file, bad).ok and not any(_differ(*pair) for pair in _outputs(model, bad))


def outcome(file: bytes, fault: Fault, model: Any, bad: Any) -> tuple[str, str]:
    """``("exact", what the diff said)``, or in what way it is not exact."""
    try:
        found = tflrecover.diff(file, bad).differences
    except tflrecover.TFLRecoverError as error:
        return "refused", f"{type(error).__name__}: {str(error)[:200]}"
    told = " | ".join(f"[{d.kind} {d.keras_layer} {d.attribute}] {d.message}" for d in found)
    if not found:
        return ("no fault", "") if _ports(file, model, bad) else ("silent", "")
    if len(found) > 1:
        return f"{len(found)} roots", told
    return ("exact", told) if _names(found[0], fault) else ("other", told)


def _names(difference: Difference, fault: Fault) -> bool:
    """Whether a difference tells a fault: the layer and its argument, or another one that was tried and undoes it.

    A file has a bias where its network had a batch norm: that one is missing is told with the bias.
    """
    is_without = fault.what == "BatchNormalization removed" or fault.what.endswith("from before BatchNormalization")
    if is_without and difference.attribute == "use_bias":
        return "insert the BatchNormalization" in difference.message
    layer = (difference.keras_layer or "").rsplit("/", 1)[-1]
    # What one number scales or shifts may be told as that number, which another layer would have.
    is_neutral = difference.kind == "constant" and difference.keras_value in (0.0, 1.0)
    if fault.moves == "missing" and (difference.kind == "missing" or is_neutral):
        return True
    if fault.layer and fault.layer not in (difference.keras_layer or "").split("/") and layer != fault.layer:
        return False
    return fault.attribute in (None, difference.attribute) or _TRIED in difference.message
