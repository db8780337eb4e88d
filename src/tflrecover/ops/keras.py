"""Small builders that many operators share (:data:`~tflrecover.ops.spec.KerasBuilder`)."""

from __future__ import annotations

from typing import Any

from tflrecover.ops.spec import Builder, KerasBuilder, Part


def function(name: str, *attributes: str, **fixed: Any) -> KerasBuilder:
    """A function of ``keras.ops`` on all operands; ``attributes`` are handed on under their own names."""

    def build(builder: Builder, part: Part) -> Any:
        return builder.ops(name, *part.args, **{key: part.attributes[key] for key in attributes}, **fixed)

    return build


def layer(kind: str, *attributes: str, **fixed: Any) -> KerasBuilder:
    """A layer on the first operand; ``attributes`` are handed on under their own names."""

    def build(builder: Builder, part: Part) -> Any:
        return builder.layer(kind, part.args[0], **{key: part.attributes[key] for key in attributes}, **fixed)

    return build


def tensorflow(name: str, *attributes: str, **fixed: Any) -> KerasBuilder:
    """A function of TensorFlow on all operands, for what Keras has no name for."""

    def build(builder: Builder, part: Part) -> Any:
        return builder.tensorflow(name, *part.args, **{key: part.attributes[key] for key in attributes}, **fixed)

    return build


def merging(kind: str, name: str) -> KerasBuilder:
    """A layer that merges activations; with a constant, which is no input of a layer, the function."""

    def build(builder: Builder, part: Part) -> Any:
        shapes = [part.shape(slot) for slot in range(len(part.args))]
        if any(is_constant(arg) for arg in part.args) or len({len(shape) for shape in shapes}) != 1:
            return builder.ops(name, *part.args)
        return builder.layer(kind, list(part.args))

    return build


def is_constant(arg: Any) -> bool:
    """Whether an operand is an array, and no tensor of the model."""
    return type(arg).__module__ == "numpy"
