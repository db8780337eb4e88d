"""What an operator of constants alone makes, where no expression can say it: computed by TensorFlow itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tflrecover.weight import Array

# What every library rounds in its own way; a sum, a product, a quotient and a root have one float32 that is nearest.
_ROUNDED = frozenset(
    {"Cos", "Erf", "Exp", "Expm1", "LinSpace", "Log", "Log1p", "MatMul", "Mean", "Pow"}
    | {"Rsqrt", "Sigmoid", "Sin", "Softmax", "Softplus", "Sum", "Tan", "Tanh"}
)
_FEW_DIGITS = (tf.float16, tf.bfloat16)


def computed(operation: Any, literal_of: Callable[[Any], Array | None]) -> list[Array]:
    """The results of an operator.

    Args:
        operation: An operation of TensorFlow; all that leads to it is stateless.
        literal_of: The contents of a tensor where they are known, None elsewhere.

    Returns:
        One array per result.

    Raises:
        tf.errors.OpError: TensorFlow has no kernel for one of the operators here.
    """
    definition = tf.compat.v1.GraphDef()
    definition.versions.producer = tf.version.GRAPH_DEF_VERSION
    known: dict[str, Array] = {}
    waiting, seen = [operation], {operation.name}
    while waiting:
        one = waiting.pop()
        node = definition.node.add()
        node.CopyFrom(one.node_def)
        del node.input[len(one.inputs) :]
        for tensor in one.inputs:
            if (array := literal_of(tensor)) is not None:
                known[tensor.name] = array
            elif tensor.op.name not in seen:
                seen.add(tensor.op.name)
                waiting.append(tensor.op)
    with tf.Graph().as_default() as graph:
        given = {name: tf.constant(array) for name, array in known.items()}
        names = [tensor.name for tensor in operation.outputs]
        wanted = tf.import_graph_def(definition, input_map=given, return_elements=names, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            return list(session.run(wanted))


def is_rounded(tensor: Any, literal_of: Callable[[Any], Array | None]) -> bool:
    """Whether a table of real numbers is another one when another library computes it, all in full precision.

    A filter bank on the mel scale is of differences of logarithms, which leave few of the digits that all agree on.
    """
    if not tensor.dtype.is_floating or not tensor.shape.rank:
        return False
    waiting, seen, found = [tensor], {id(tensor)}, False
    while waiting:
        one = waiting.pop()
        if one.dtype in _FEW_DIGITS:
            return False
        if literal_of(one) is None:
            found = found or one.op.type in _ROUNDED
            waiting += [before for before in one.op.inputs if id(before) not in seen]
            seen.update(map(id, one.op.inputs))
    return found
