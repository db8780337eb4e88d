"""Operators of TensorFlow's in a file: Flex ones, and those that a converter wrote as custom ones under their names."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from tflrecover.ir import Op
from tflrecover.ops.spec import Builder, Unsupported
from tflrecover.recovery.layers import tensorflow_function
from tflrecover.tflite import nodedef


def is_known(op: Op) -> bool:
    """Whether a custom operator is one of TensorFlow's, by its name and by what its options are called."""
    if str(op.origins[0].type).startswith(nodedef.PREFIX):
        return True
    definition = op_def_registry.get(str(op.type))
    return definition is not None and op.attributes.keys() <= {attr.name for attr in definition.attr}


def called(builder: Builder, op: Op, args: Sequence[Any]) -> Any:
    """Calls an operator of TensorFlow.

    Args:
        builder: Of the model.
        op: The operator.
        args: Its operands in order, lists of operands one after the other.

    Raises:
        Unsupported: TensorFlow by itself has no such operator, or its attributes are not in the file.
    """
    kind = str(op.type)
    definition, function = op_def_registry.get(kind), getattr(tf.raw_ops, kind, None)
    if definition is None or function is None:
        raise Unsupported("TensorFlow itself has no operator of that name; it is of a package of its own")
    try:
        tensorflow_function(f"raw_ops.{kind}")
    except ValueError as error:
        raise Unsupported("it does more than compute, and the file may be anybody's") from error
    is_flex = str(op.origins[0].type).startswith(nodedef.PREFIX)
    attributes = nodedef.attributes(op.custom_options) if is_flex else dict(op.attributes)
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
