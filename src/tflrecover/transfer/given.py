"""Single variables that the mapping fills: from which tensors, joined how, in which layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import einops
import numpy as np

from tflrecover.errors import MappingError, StaleMapping
from tflrecover.rewrite.contents import Contents
from tflrecover.rewrite.lower import source_weight
from tflrecover.tflite import TFLiteModel
from tflrecover.transfer.plan import Variable
from tflrecover.weight import Array, Key, evaluate


def given_values(
    rules: Mapping[str, Any], file: TFLiteModel, variables: Mapping[str, Variable]
) -> dict[str, tuple[Array, str, frozenset[Key]]]:
    """Variable path to ``(value, recipe, tensors used)`` for every ``weights`` entry of the mapping.

    Raises:
        StaleMapping: a tensor that is not there, or has no contents.
        MappingError: the result does not have the variable's shape.
    """
    found: dict[str, tuple[Array, str, frozenset[Key]]] = {}
    for path, rule in rules.items():
        sources = [_constant_tensor(file, name, path) for name in rule.sources]
        arrays = [_real(file, index) for index in sources]
        value = np.concatenate(arrays, axis=rule.concat) if rule.concat is not None else arrays[0]
        text = " + ".join(rule.sources)
        if rule.layout:
            value = einops.rearrange(value, rule.layout)
            text = f"{text}: {rule.layout}"
        shape = variables[path].shape
        if value.shape != shape:
            raise MappingError(f"gives shape {value.shape}, the variable has {shape}", key=f"weights.{path}")
        found[path] = (value, text, frozenset(sources))
    return found


def _constant_tensor(file: TFLiteModel, name: str, path: str) -> int:
    """Index of the constant tensor of that name, or of the kernel of the operator whose output has it."""
    values = file.graph.values
    direct = [i for i, value in values.items() if value.data is not None and value.name == name]
    if not direct:
        makers = [op for op in file.graph.ops() if op.outputs and values[op.outputs[0]].name == name]
        direct = [i for op in makers for i in op.inputs[1:2] if i is not None and values[i].data is not None]
    if len(direct) != 1:
        what = "is no constant tensor of the file" if not direct else f"names {len(direct)} tensors"
        raise StaleMapping(f"{name!r} {what}", key=f"weights.{path}")
    return direct[0]


def _real(file: TFLiteModel, index: int) -> Array:
    weight = source_weight(index, file.graph.values)
    contents = Contents(file.graph)
    return contents[index] if weight is None else np.asarray(evaluate(weight, contents))
