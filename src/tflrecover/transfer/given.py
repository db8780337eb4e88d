"""Single variables that the mapping fills: from which tensors, joined how, in which layout."""

from __future__ import annotations

from collections.abc import Mapping

import einops
import numpy as np

from tflrecover.ir import Op, short_name
from tflrecover.mapping import ResolvedWeight
from tflrecover.mapping.loader import nearest
from tflrecover.rewrite.contents import Contents
from tflrecover.rewrite.lower import source_weight
from tflrecover.tflite import TFLiteModel
from tflrecover.transfer.plan import Variable
from tflrecover.weight import Array, Key, evaluate


def given_values(
    rules: Mapping[str, ResolvedWeight], file: TFLiteModel, variables: Mapping[str, Variable]
) -> dict[str, tuple[Array, str, frozenset[Key]]]:
    """Variable path to ``(value, recipe, tensors used)`` for every ``weights`` entry of the mapping.

    Raises:
        StaleMapping: a tensor that is not there, or has no contents; or the result does not have the variable's shape.
    """
    found: dict[str, tuple[Array, str, frozenset[Key]]] = {}
    for path, given in rules.items():
        rule = given.rule
        sources = [_constant_tensor(file, name, given) for name in rule.sources]
        arrays = [_real(file, index) for index in sources]
        text = " + ".join(rule.sources)
        try:
            value = np.concatenate(arrays, axis=rule.concat) if rule.concat is not None else arrays[0]
            if rule.layout:
                value = einops.rearrange(value, rule.layout)
                text = f"{text}: {rule.layout}"
        except (ValueError, einops.EinopsError) as error:
            shapes = ", ".join(str(array.shape) for array in arrays)
            raise given.error(f"tensors of shape {shapes} cannot be arranged so: {str(error).strip()}") from error
        shape = variables[path].shape
        if value.shape != shape:
            advice = "" if rule.layout else '; say how its axes go, e.g. `layout: "o i -> i o"`'
            raise given.error(f"gives shape {value.shape}, the variable has {shape}{advice}")
        found[path] = (value, text, frozenset(sources))
    return found


def _constant_tensor(file: TFLiteModel, name: str, given: ResolvedWeight) -> int:
    """Index of the constant tensor of that name, or of the kernel of the operator that makes it or has that number.

    A name may be whole or as reports show it, and ``tensor 6`` is what they call one that has none.
    """
    values = file.graph.values
    constants = {i: value.name for i, value in values.items() if value.data is not None}
    found = [i for i, other in constants.items() if name in (other, f"tensor {i}")]
    if not found:
        named = {op: (f"#{op.id}", values[op.outputs[0]].name) for op in file.graph.ops() if op.outputs}
        makers = [op for op, names in named.items() if name in (*names, short_name(names[1]))]
        found = [i for op in makers if (i := _kernel(op)) in constants and i is not None]
    found = found or [i for i, other in constants.items() if short_name(other) == name]
    if not found:
        takers = (short_name(values[op.outputs[0]].name) for op in file.graph.ops() if _kernel(op) in constants)
        hint = nearest(name, (*constants.values(), *takers))
        how = "; `tflrecover inspect --full FILE` lists the file's constants"
        raise given.error(f"{name!r} is no constant tensor of the file{hint or how}")
    if len(found) > 1:
        told = f"{name!r} stands for {len(found)} tensors of the file"
        raise given.error(f'{told}; name one by its number, e.g. "tensor {found[0]}"')
    return found[0]


def _kernel(op: Op) -> int | None:
    """Where an operator has its kernel, if it has one."""
    return op.inputs[1] if len(op.inputs) > 1 else None


def _real(file: TFLiteModel, index: int) -> Array:
    weight = source_weight(index, file.graph.values)
    contents = Contents(file.graph)
    return contents[index] if weight is None else np.asarray(evaluate(weight, contents))
