"""``AFFINE``: ``x * scale + offset`` per channel, the canonical form of batch norms, biases and rescalings.

Either operand may be left out (None): then it is 1 or 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase
from typing import Any

import numpy as np

from tflrecover.ir import Shape
from tflrecover.ops.elementwise import ADD, MUL, RSQRT, SUB
from tflrecover.ops.spec import Attributes, Builder, Lowered, OpSpec, Part, Source
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


# What is as large hides scores.
_MASK = 1e4
# Channels of which the numbers can be read where a layer is made.
_FEW = 16
# What stands between batch and channels, by rank, as einsums are mostly written.
_AXES = {2: "", 3: "t", 4: "hw", 5: "dhw"}


def _keras(builder: Builder, part: Part) -> Any:
    """One number for all channels is a setting; one per channel was learned, if nothing else is known of it."""
    x, scale, offset = part.args
    if not part.dtype.startswith("float"):
        x = x if scale is None else builder.ops("multiply", x, scale.astype(part.dtype))
        return x if offset is None else builder.ops("add", x, offset.astype(part.dtype))
    if all(given is None or given.size == 1 for given in (scale, offset)):
        factor = 1.0 if scale is None else scale.item()
        if scale is None and offset is not None:
            return builder.ops("add", x, offset.item())
        if offset is None and factor == -1:
            return builder.ops("negative", x)
        if offset is not None and -offset.item() == factor >= _MASK:
            # Of x·1e9 - 1e9, a converter adds the offset to what is added behind it, of which float32 keeps nothing.
            return builder.layer("Rescaling", builder.ops("subtract", 1.0, x), scale=-factor)
        return builder.layer("Rescaling", x, scale=factor, offset=None if offset is None else offset.item())
    channels = part.shape(0)[-1]
    scale, offset = (
        None if given is None else np.broadcast_to(given.reshape(-1), channels) for given in (scale, offset)
    )
    if scale is None:
        return builder.ops("add", x, offset)
    is_learned = part.attributes.get("is_learned", True)
    if not is_learned and offset is not None and channels <= _FEW:
        return builder.layer("Rescaling", x, scale=scale.tolist(), offset=offset.tolist())
    if not is_learned or len(part.shape(0)) < 2:
        # A layer that learns takes examples.
        x = builder.ops("multiply", x, scale)
        return x if offset is None else builder.ops("add", x, offset)
    arguments: dict[str, Any] = (
        {"weights": (scale,)} if offset is None else {"weights": (scale, offset), "bias_axes": "c"}
    )
    # Not with an ellipsis: of that, Keras infers axes in another order.
    axes = f"b{_AXES.get(len(x.shape), ascii_lowercase[3 : len(x.shape) + 1])}c"
    return builder.layer("EinsumDense", x, equation=f"{axes},c->{axes}", output_shape=tuple(x.shape[1:]), **arguments)


AFFINE = OpSpec(
    "AFFINE",
    keras=_keras,
    tf=dict.fromkeys(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), _fused_batch_norm),
    roles=("input", "scale", "offset"),
    weights=frozenset({"scale", "offset"}),
    infer_shape=_shape,
    family="affine",
)

SPECS = (AFFINE,)
