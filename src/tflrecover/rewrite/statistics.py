"""``BATCH_NORM(x, s, o) = x · r · s + (o - m · r · s)`` by the statistics of ``x`` itself, ``r = 1/√(var(x) + ε)``.

tf_keras computes its LayerNormalization that way, on data whose channels are what is normalised; a converter writes it
out.
"""

from __future__ import annotations

from tflrecover.ir import Op
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.writer import Writer
from tflrecover.weight import Literal

_TYPES = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")


def expand_batch_statistics(draft: Draft) -> int:
    """A batch norm in training mode becomes the arithmetic that it is, if nobody takes the statistics."""
    found = [op for op in draft.ops.values() if op.type in _TYPES and op.attributes.get("is_training")]
    count = 0
    for op in found:
        is_alone = not any(draft.consumers(value) or value in draft.outputs for value in op.outputs[1:])
        scale, offset = op.inputs[1], op.inputs[2]
        if is_alone and len(draft.shape(op.inputs[0])) == 4 and None not in (scale, offset):
            _expand(draft, op)
            count += 1
    return count


def _expand(draft: Draft, op: Op) -> None:
    writer = Writer(draft, op)
    x, scale, offset = op.inputs[:3]
    is_channels_first = op.attributes.get("data_format") == "NCHW"
    if is_channels_first:
        x = writer.transposed(x, (0, 2, 3, 1))
    shape = draft.shape(x)
    channels = shape[-1:]
    mean = writer.add("MEAN", (x,), channels, axis=(0, 1, 2), keepdims=False)
    square = writer.add("SQUARED_DIFFERENCE", (x, mean), shape)
    variance = writer.add("MEAN", (square,), channels, axis=(0, 1, 2), keepdims=False)
    epsilon = draft.constant(Literal.of(op.attributes["epsilon"], "float32"))
    root = writer.add("RSQRT", (writer.add("ADD", (variance, epsilon), channels),), channels)
    factor = writer.add("MUL", (scale, root), channels)
    scaled = writer.add("MUL", (x, factor), shape)
    rest = writer.add("SUB", (offset, writer.add("MUL", (mean, factor), channels)), channels)
    result = writer.add("ADD", (scaled, rest), shape)
    writer.finish(writer.transposed(result, (0, 3, 1, 2)) if is_channels_first else result)
