"""A Keras model from the file alone."""

from __future__ import annotations

from typing import Any, Literal

from tflrecover.recovery.model import Recovered, recovered
from tflrecover.tflite import read

__all__ = ["Recovered", "has_own_layers", "recover", "recovered"]


def has_own_layers(model: Any) -> bool:
    """Whether a model needs this package to be loaded: ``import tflrecover.recovery`` then comes first."""
    return any(type(layer).__module__.startswith(__name__) for layer in model._flatten_layers(include_self=False))


def recover(path: Any, *, quantized: Literal["float", "simulate"] = "float") -> Any:
    """Rebuilds a file as a Keras model that can be trained, edited and saved.

    Layers are Keras's own, named after the file's tensors where these say something; functions of ``keras.ops`` stand
    where Keras has no layer, and functions of TensorFlow, as layers of one registered class, where it has neither.
    Weights are float32, whatever the file stores; quantized operators become those that they stand for. The batch is
    free where examples do not depend on each other.

    Args:
        path: A path, the file's bytes, or what :func:`tflrecover.read` gave.
        quantized: ``"float"``: a quantized file becomes the float network that it stands for. ``"simulate"``: what it
            stores as integers is rounded to the same real numbers, by layers whose gradient goes through.

    Returns:
        A functional ``keras.Model`` with the file's inputs and outputs, in their order and under their names.

    Raises:
        UnsupportedOperators: the file has operators that cannot be expressed; the error lists all of them.
        WeightlessFile: its weights live in variables that nothing fills.
        InvalidFile: it cannot be read.

    Example:
        >>> model = tflrecover.recover("palm_detection_full.tflite")
        >>> model.save("palm_detection.keras")
    """
    return recovered(read(path), quantized=quantized).model
