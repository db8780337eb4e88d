"""What two linear operators in a row share: ``B(A(x))`` is the same when A's result is ``(y - c) · a`` and B undoes it.

A converter moves a bias or a scaling of A into B when it likes. Where no variable is used elsewhere that shows nowhere:
the solver finds other weights for the same function. Where one is, ``a`` and ``c`` are unknowns besides the variables.
"""

from __future__ import annotations

from collections import defaultdict

from tflrecover.align import Alignment
from tflrecover.align.links import Link
from tflrecover.align.view import shape_of
from tflrecover.ir import Op
from tflrecover.ops.elementwise import RECIPROCAL, SUB
from tflrecover.rewrite.affine import Pair, absorb
from tflrecover.rewrite.forward import fits
from tflrecover.weight import Leaf, Weight


def gauges(alignment: Alignment) -> dict[int, Pair]:
    """Per Keras node, ``(a, c)`` of linear operators whose scaling is not fixed by what follows them."""
    behind: dict[int, list[Link]] = defaultdict(list)
    for one in alignment.links:
        behind[one.source].append(one)
    keras, sure = alignment.keras, {match.keras for match in alignment.matches}
    found: dict[int, Pair] = {}
    for k, links in behind.items():
        op = keras.ops[k] if k >= 0 else None
        if op is None or op.id not in sure or not fits(keras.graph.values, op, (None, None)):
            continue
        # All uses must be known, and one at least must leave the scaling open.
        if len(links) < len(set(keras.consumers[k])) or not any(one.is_linear or one.is_odd for one in links):
            continue
        shape = shape_of(keras.graph, op.inputs[2])
        offset = None if any(one.is_padded for one in links) else Leaf(shape, "float32", f"{op.id}: offset")
        found[k] = (Leaf(shape, "float32", f"{op.id}: scale"), offset)
    return found


def given_out(op: Op, kernel: Weight, bias: Weight, gauge: Pair) -> tuple[Weight, Weight]:
    """Kernel and bias of the operator that gives ``(y - c) · a``."""
    scale, offset = gauge
    return absorb(op.type, kernel, bias if offset is None else SUB(bias, offset), (scale, None))


def taken_back(gauge: Pair) -> Pair:
    """What turns ``(y - c) · a`` into ``y``."""
    scale, offset = gauge
    return (None if scale is None else RECIPROCAL(scale)), offset
