"""Suppression of boxes that overlap a better one."""

from __future__ import annotations

from typing import Any

from tflrecover.ops.keras import is_constant
from tflrecover.ops.readers import operands
from tflrecover.ops.spec import Builder, Lowered, OpSpec, Part, Reader, Source, Unsupported

_OPERANDS = ("boxes", "scores", "max_output_size", "iou_threshold", "score_threshold", "soft_nms_sigma")


def _reader(name: str) -> Reader:
    def read(source: Source) -> Lowered:
        count = source.constant(2)
        return Lowered(name, operands(source), shape=None if count is None else (int(count.reshape(-1)[0]),))

    return read


def _keras(builder: Builder, part: Part) -> Any:
    """TFLite fills up with zeros to the number of boxes that is asked for."""
    version, sigma = part.type[-1], part.args[5] if len(part.args) > 5 else None
    if sigma is not None and (not is_constant(sigma) or sigma > 0):
        # TensorFlow then only lowers the scores of boxes that LiteRT leaves out.
        raise Unsupported("it suppresses softly, which TensorFlow does otherwise")
    given = dict(zip(_OPERANDS, part.args, strict=False))
    return builder.tensorflow(f"raw_ops.NonMaxSuppressionV{version}", **given, pad_to_max_output_size=True)


def _spec(version: int, operand_count: int) -> OpSpec:
    name = f"NON_MAX_SUPPRESSION_V{version}"
    reader = _reader(name)
    tf = {f"NonMaxSuppressionV{version}": reader}
    return OpSpec(name, keras=_keras, tflite=reader, tf=tf, roles=_OPERANDS[:operand_count])


SPECS = (_spec(4, 5), _spec(5, 6))
