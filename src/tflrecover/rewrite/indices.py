"""Which rows are taken, in one form.

GATHER(t, SELECT(i < 0, i + n, i)) = GATHER(t, i)     Keras counts negative indices from the end; others know none
ONE_HOT(CAST(i)) = ONE_HOT(i)                         to wider integers, as Keras takes them
x + c = x + c[0]                                      where a constant has the same for each example
"""

from __future__ import annotations

import numpy as np

from tflrecover.ops.quantize import real_dtype
from tflrecover.ops.slicing import STRIDED_SLICE
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.match import elementwise, maker
from tflrecover.rewrite.scalars import known_array, scalar
from tflrecover.weight import Apply, Literal, Weight

_INTEGERS = ("int8", "int16", "int32", "int64")
_WIDER = frozenset((one, other) for i, one in enumerate(_INTEGERS) for other in _INTEGERS[i + 1 :]) | {
    ("uint8", other) for other in _INTEGERS[1:]
}


def drop_wraps(draft: Draft) -> int:
    """Indices that are counted from the end where they are negative, go as they are."""
    count = 0
    for op in draft.of_type("GATHER"):
        if op.attributes["batch_dims"]:
            continue
        x = _unwrapped(draft, op.inputs[1], draft.shape(op.inputs[0])[op.attributes["axis"]])
        if x is not None:
            draft.replace(op.evolve(inputs=(op.inputs[0], x)))
            count += 1
    return count


def drop_casts(draft: Draft) -> int:
    """Places of ones are the same numbers in wider integers."""
    count = 0
    for op in draft.of_type("ONE_HOT"):
        cast = maker(draft, op.inputs[0], "CAST")
        ends = () if cast is None else (*cast.inputs, *cast.outputs)
        types = [real_dtype(draft.values[v]) for v in ends if v is not None]
        if cast is not None and tuple(types) in _WIDER:
            draft.replace(op.evolve(inputs=(cast.inputs[0], *op.inputs[1:])))
            count += 1
    return count


def _unwrapped(draft: Draft, value: int | None, size: int) -> int | None:
    """``i`` of ``SELECT(i < 0, i + size, i)``."""
    select = maker(draft, value, "SELECT_V2")
    less = None if select is None else maker(draft, select.inputs[0], "LESS")
    behind = None if select is None else maker(draft, select.inputs[1], "ADD", "AFFINE")
    if select is None or less is None or behind is None or scalar(draft, less.inputs[1], np.nan) != 0:
        return None
    i = less.inputs[0]
    if behind.type == "AFFINE":
        x, factor, shift = behind.inputs
        is_shift = x == i and scalar(draft, factor, 1.0) == 1
    else:
        shift = next((other for other in behind.inputs if other != i), None)
        is_shift = i in behind.inputs and shift is not None
    is_so = is_shift and scalar(draft, shift, 0.0) == size and select.inputs[2] == i
    return i if is_so else None


def drop_repeats(draft: Draft) -> int:
    """What a constant has once for each example, always the same, is there once: broadcasting repeats it by itself.

    Where the code looks the same rows of a table up for each example, the file has them folded, each time.
    """
    count = 0
    for op in elementwise(draft):
        for slot, value in enumerate(op.inputs):
            weight = draft.weight(value)
            is_whole = weight is not None and len(weight.shape) > 1 and weight.shape == draft.shape(op.outputs[0])
            single = _single(draft, weight) if weight is not None and is_whole else None
            shapes = [single.shape if i == slot and single else draft.shape(v) for i, v in enumerate(op.inputs)]
            if single is not None and np.broadcast_shapes(*shapes) == draft.shape(op.outputs[0]):
                inputs = (*op.inputs[:slot], draft.constant(single), *op.inputs[slot + 1 :])
                draft.replace(op.evolve(inputs=inputs))
                count += 1
                break
    return count


def _single(draft: Draft, weight: Weight) -> Weight | None:
    """What a constant has for the first example, where it is the same for all others."""
    known = known_array(draft, weight)
    if known is not None and len(known) > 1 and (known == known[:1]).all():
        return STRIDED_SLICE(weight, slices=(0,))
    if not isinstance(weight, Apply) or weight.function.name != "GATHER":
        return None
    table, indices = weight.args
    places = None if weight.attributes["axis"] or weight.attributes["batch_dims"] else known_array(draft, indices)
    if places is None or places.ndim < 2 or places.shape[0] == 1 or not (places == places[:1]).all():
        return None
    draft.mark_structural(indices)
    return Apply(weight.shape[1:], weight.dtype, weight.function, (table, Literal.of(places[0])), weight.attributes)
