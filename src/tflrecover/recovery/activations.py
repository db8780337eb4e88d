"""Operators that Keras has as an activation."""

from __future__ import annotations

from collections.abc import Mapping

from tflrecover.ir import Op

ACTIVATIONS: Mapping[str | int, str] = {
    "RELU": "relu",
    "RELU6": "relu6",
    "LOGISTIC": "sigmoid",
    "TANH": "tanh",
    "ELU": "elu",
    "SELU": "selu",
    "SILU": "silu",
    "SOFTPLUS": "softplus",
    "SOFTSIGN": "softsign",
    "HARD_SWISH": "hard_silu",
    "SOFTMAX": "softmax",
    "LOG_SOFTMAX": "log_softmax",
    "GELU": "gelu",
}
"""Type to Keras's name."""


def is_plain(op: Op) -> bool:
    """Whether the name alone says what the operator computes."""
    return not op.attributes.get("approximate") and op.attributes.get("beta", 1.0) in (1.0, None)
