"""``AFFINE``: ``x * scale + offset`` per channel, the canonical form of batch norms, biases and rescalings.

Either operand may be left out (None): then it is 1 or 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops.elementwise import ADD, MUL, RSQRT, SUB
from tflrecover.ops.spec import Attributes, Lowered, OpSpec, Source
from tflrecover.ops.window import is_channels_first
from tflrecover.weight import Literal


def _shape(shapes: Sequence[Shape], attributes: Attributes) -> Shape:
    return shapes[0]


def _fused_batch_norm(source: Source) -> Lowered | None:
    if source.attributes.get("is_training"):
        return None
    gamma, beta, mean, variance = (source.weight(slot) for slot in range(1, 5))
    if gamma is None or beta is None or mean is None or variance is None:
        return None
    epsilon = Literal.of(np.float32(source.attributes["epsilon"]))
    scale = MUL(RSQRT(ADD(variance, epsilon)), gamma)
    inputs = (source.inputs[0], scale, SUB(beta, MUL(mean, scale)))
    return Lowered("AFFINE", inputs, results=1, channels_first=is_channels_first(source.attributes))


AFFINE = OpSpec(
    "AFFINE",
    tf=dict.fromkeys(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), _fused_batch_norm),
    roles=("input", "scale", "offset"),
    weights=frozenset({"scale", "offset"}),
    infer_shape=_shape,
    family="affine",
)

SPECS = (AFFINE,)
