"""A recurrent layer as Keras has it; :mod:`tflrecover.recovery.recurrent` makes one of a loop that is one.

``RECURRENT(x, kernel, recurrent kernel, bias, mask, states)`` gives the layer's output, then its states where they are
asked for. Sequences have the batch first; the kernels' columns are the gates in Keras's order. ``BIDIRECTIONAL`` is two
of them on one sequence, the second from its end.
"""

from __future__ import annotations

from typing import Any

from tflrecover.ops.spec import Attributes, Builder, OpSpec, Part

OPERANDS = ("input", "kernel", "recurrent_kernel", "bias", "mask")
_NO_ARGUMENT = frozenset({"cell", "merge_mode"})


def _arguments(attributes: Attributes, bias: Any) -> dict[str, Any]:
    """Of the layer's constructor; what is off is left to the defaults."""
    given = {name: value for name, value in attributes.items() if name not in _NO_ARGUMENT and value is not False}
    if attributes["cell"] == "GRU":
        given["reset_after"] = attributes["reset_after"]
    return given if bias is not None else {**given, "use_bias": False}


def _weights(arrays: Any) -> tuple[Any, ...]:
    return tuple(array for array in arrays if array is not None)


def _layer(builder: Builder, part: Part) -> Any:
    x, *weights, mask = part.args[: len(OPERANDS)]
    states = part.args[len(OPERANDS) :]
    arguments = _arguments(part.attributes, weights[-1])
    call = {} if mask is None else {"mask": mask}
    call |= {"initial_state": list(states)} if states else {}
    return builder.layer(part.attributes["cell"], x, weights=_weights(weights), call=call, **arguments)


def _bidirectional(builder: Builder, part: Part) -> Any:
    x, mask, *weights = part.args
    cell = builder.unbuilt(part.attributes["cell"], **_arguments(part.attributes, weights[2]))
    call = {} if mask is None else {"mask": mask}
    mode = part.attributes["merge_mode"]
    return builder.layer("Bidirectional", x, weights=_weights(weights), call=call, layer=cell, merge_mode=mode)


RECURRENT = OpSpec(
    "RECURRENT",
    keras=_layer,
    roles=(*OPERANDS, "*states"),
    weights=frozenset(OPERANDS[1:4]),
    declared=("cell", "units"),
)
BIDIRECTIONAL = OpSpec(
    "BIDIRECTIONAL",
    keras=_bidirectional,
    roles=("input", "mask", *OPERANDS[1:4], "backward_kernel", "backward_recurrent_kernel", "backward_bias"),
    weights=frozenset((*OPERANDS[1:4], "backward_kernel", "backward_recurrent_kernel", "backward_bias")),
    declared=("cell", "units"),
)

SPECS = (RECURRENT, BIDIRECTIONAL)
