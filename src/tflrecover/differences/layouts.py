"""Inputs and outputs whose channels are first on one side, last on the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from tflrecover.align import Alignment
from tflrecover.ir import Difference
from tflrecover.rewrite.turned import End, Turned

_ATTRIBUTES: Mapping[End, str] = {"input": "input layout", "output": "output layout"}
LAYOUTS: Mapping[str, End] = {attribute: end for end, attribute in _ATTRIBUTES.items()}
"""The end that such a difference is about, by its attribute."""


def turned(alignment: Alignment, end: End) -> tuple[Difference, ...]:
    """One difference per input, or output, of the file that was given the model's layout to align them."""
    ends: tuple[Turned, ...] = alignment.file.graph.graph.get("turned", ())
    return tuple(_told(alignment, one) for one in ends if one.end == end)


def _told(alignment: Alignment, one: Turned) -> Difference:
    graph = alignment.file.graph
    if one.end == "input":
        name = graph.values[graph.inputs[one.number]].name
        fix = f"put `{_permute(one.perm)}` behind `keras.Input({one.mine[1:]})`: the file takes {name!r} as {one.mine}"
    else:
        name = graph.values[graph.outputs[one.number]].name
        fix = f"put `{_permute(np.argsort(one.perm))}` before the output {name!r}: the file gives it as {one.mine}"
    return Difference(
        "shape",
        f"{fix}, the model as {one.theirs}. To keep the model as it is, port into a model around it, which has the "
        "same variables",
        tflite_name=name,
        attribute=_ATTRIBUTES[one.end],
        tflite_value=one.mine,
        keras_value=one.theirs,
    )


def _permute(perm: Iterable[int]) -> str:
    """The layer; it counts axes behind the batch."""
    return f"keras.layers.Permute({tuple(int(axis) for axis in perm)[1:]})"
