"""Operators that LiteRT leaves to TensorFlow (Flex): the same operator, called with the attributes of its NodeDef."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from tflrecover.ops.spec import Builder, Unsupported
from tflrecover.tflite import nodedef


def called(builder: Builder, kind: str, args: Sequence[Any], options: bytes) -> Any:
    """Calls an operator of TensorFlow.

    Args:
        builder: Of the model.
        kind: Its type in TensorFlow.
        args: Its operands in order, lists of operands one after the other.
        options: The NodeDef as the file has it.

    Raises:
        Unsupported: TensorFlow by itself has no such operator, or its attributes are not in the file.
    """
    definition, function = op_def_registry.get(kind), getattr(tf.raw_ops, kind, None)
    if definition is None or function is None:
        raise Unsupported("TensorFlow itself has no operator of that name; it is of a package of its own")
    attributes = nodedef.attributes(options)
    # Types of operands are no arguments: the operands have them.
    wanted = inspect.signature(function).parameters.keys() & {attr.name for attr in definition.attr}
    required = {attr.name for attr in definition.attr if not attr.HasField("default_value")} & wanted
    if missing := required - attributes.keys():
        raise Unsupported(f"the file does not tell its {', '.join(sorted(missing))}")
    given = {name: attributes[name] for name in wanted & attributes.keys() if attributes[name] is not None}
    return builder.tensorflow(f"raw_ops.{kind}", **dict(_operands(definition, attributes, args)), **given)


def _operands(definition: Any, attributes: dict[str, Any], args: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """``(name, operand)``, or a list of operands where the definition has one."""
    rest = list(args)
    for arg in definition.input_arg:
        if not arg.number_attr and not arg.type_list_attr:
            yield arg.name, rest.pop(0)
            continue
        length = attributes[arg.number_attr] if arg.number_attr else len(attributes[arg.type_list_attr])
        taken, rest = rest[:length], rest[length:]
        yield arg.name, taken
