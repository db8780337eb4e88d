"""How far a right model may be from the file at one site, when it is given the file's own values.

Derived from the file alone: what rounds between the site and those before it, and how much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from tflrecover import tolerances
from tflrecover.ir import Graph, Op, Value
from tflrecover.weight import Array

Peak = Callable[[int], float]


def allowance(graph: Graph, tensor: int, ops: Sequence[Op], peak: Peak) -> float:
    """The largest absolute error that rounding explains, but for that of hybrid kernels.

    Args:
        graph: The file's.
        tensor: The site's.
        ops: Operators between it and the sites before it.
        peak: Largest magnitude of a tensor's contents.
    """
    own = peak(tensor)
    relative = tolerances.OUTPUT + weight_rounding(graph, ops)
    kinds = {(op.type, graph.values[op.outputs[0]].dtype) for op in ops if op.outputs}
    relative += sum(error for kind, error in tolerances.TABLE.items() if kind in kinds)
    relative += min(
        on_the_way(graph, {v for op in ops for v in op.outputs} - {tensor}, peak), tolerances.MOST_ON_THE_WAY
    )
    return relative * own + tolerances.STEPS * step_of(graph.values[tensor])


def on_the_way(graph: Graph, made: Iterable[int], peak: Peak) -> float:
    """Relative: what rounding these tensors may change in what is made of them."""
    steps = {value: step for value in made if (step := step_of(graph.values[value]))}
    return sum(tolerances.ON_THE_WAY * tolerances.STEPS * step / (peak(v) or step) for v, step in steps.items())


def weight_rounding(graph: Graph, ops: Sequence[Op]) -> float:
    """Relative: what rounding the constants may have changed in what the operators make."""
    constants = {value for op in ops for value in op.inputs if value is not None and _is_rounded(graph.values[value])}
    half_steps = sum(tolerances.ROUNDING[str(graph.values[value].dtype)] for value in constants)
    return min(tolerances.WEIGHT_HALF_STEPS * half_steps, tolerances.MOST_WEIGHT_ROUNDING)


def _is_rounded(value: Value) -> bool:
    is_scaled = value.dtype == "float16" or value.quantization is not None
    return value.data is not None and is_scaled and value.dtype in tolerances.ROUNDING


def step_of(value: Value) -> float:
    """The difference between two neighbours of what an activation can hold; 0 in float."""
    found = value.quantization
    is_integer = str(value.dtype).lstrip("u").startswith("int")
    return float(found.scale.max()) if found is not None and found.scale.size and is_integer else 0.0


def is_hybrid(graph: Graph, ops: Sequence[Op]) -> bool:
    """Whether an operator computes on float activations with integer weights: LiteRT rounds the activations then."""
    return any(
        str(graph.values[op.outputs[0]].dtype) == "float32"
        and op.type != "DEQUANTIZE"
        and any(value is not None and _is_rounded(graph.values[value]) for value in op.inputs)
        for op in ops
        if op.outputs
    )


def rounded(array: Array) -> Array:
    """Float activations on a grid of 8 bits, as a hybrid kernel sees them."""
    if array.dtype.kind != "f" or not array.size:
        return array
    step = float(np.abs(array).max()) / 127
    return np.asarray(np.round(array / step) * step, array.dtype) if step > 0 else array


def clipped(array: Array, value: Value) -> Array:
    """Real numbers no larger than a tensor of the file can hold: integer kernels saturate."""
    step, found = step_of(value), value.quantization
    if not step or found is None or found.scale.size != 1 or array.dtype.kind != "f":
        return array
    info, zero = np.iinfo(str(value.dtype)), int(found.zero_point[0]) if found.zero_point.size else 0
    return np.clip(array, (info.min - zero) * step, (info.max - zero) * step)
