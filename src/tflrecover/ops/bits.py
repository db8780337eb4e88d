"""Operators on the bits of whole numbers, and bits read as another type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tflrecover.ops.elementwise import broadcast
from tflrecover.ops.keras import function
from tflrecover.ops.readers import operands, plain
from tflrecover.ops.spec import Attributes, Builder, Lowered, OpSpec, Part, Source
from tflrecover.weight import Array


def _spec(name: str, compute: Callable[[Array, Array], Array], tf: str, *, commutative: bool = False) -> OpSpec:
    return OpSpec(
        name,
        keras=function(name.lower()),
        evaluate=lambda args, _: [compute(args[0], args[1])],
        tflite=plain(name),
        tf={tf: plain(name)},
        roles=("x", "y"),
        commutative=commutative,
        infer_shape=broadcast,
        family="merge",
    )


def _bitcast(source: Source) -> Lowered:
    # TFLite has no option for it: the type of the result says it all.
    return Lowered("BITCAST", operands(source), {"dtype": str(source.output_dtype())})


def _viewed(args: Sequence[Array], attributes: Attributes) -> list[Array]:
    """A wider type takes the last axis together, a narrower one adds an axis."""
    x, dtype = np.ascontiguousarray(args[0]), np.dtype(attributes["dtype"])
    if dtype.itemsize < x.dtype.itemsize:
        return [x[..., None].view(dtype)]
    return [x.view(dtype)[..., 0] if dtype.itemsize > x.dtype.itemsize else x.view(dtype)]


def _keras_bitcast(builder: Builder, part: Part) -> Any:
    return builder.tensorflow("bitcast", part.args[0], type=part.attributes["dtype"])


BITCAST = OpSpec(
    "BITCAST",
    keras=_keras_bitcast,
    evaluate=_viewed,
    tflite=_bitcast,
    tf={"Bitcast": _bitcast},
    roles=("input",),
    declared=("dtype",),
)

SPECS = (
    _spec("BITWISE_XOR", np.bitwise_xor, "BitwiseXor", commutative=True),
    _spec("RIGHT_SHIFT", np.right_shift, "RightShift"),
    BITCAST,
)
