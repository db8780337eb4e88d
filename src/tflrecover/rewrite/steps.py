"""Steps of a loop that was written out: one projection of all steps is one of each, whichever way they are joined.

STRIDED_SLICE(FULLY_CONNECTED(x, k, b), i) = FULLY_CONNECTED(STRIDED_SLICE(x, i), k, b)      along a front axis
STRIDED_SLICE(x, i:i+1) = RESHAPE(STRIDED_SLICE(x, i))
CONCATENATION(a, b, …) = PACK(RESHAPE(a), RESHAPE(b), …)                    of what has one place along its axis
REVERSE_V2(PACK(a, b, …)) = PACK(…, b, a)
FULLY_CONNECTED(x, k, b) + FULLY_CONNECTED(h, l, c) = FULLY_CONNECTED(x, k) + FULLY_CONNECTED(h, l) + (b + c)
(a - b) · t + b = t · a + (1 - t) · b

PyTorch's recurrent layers come as that: the products of all steps in one, and a bias for the states, too.
"""

from __future__ import annotations

from tflrecover.ir import Op, Shape
from tflrecover.ops.conv import is_no_bias, no_bias
from tflrecover.ops.elementwise import ADD
from tflrecover.ops.slicing import WHOLE
from tflrecover.rewrite.affine import absorb_affines
from tflrecover.rewrite.common import merge_common
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.match import array, bare, maker
from tflrecover.rewrite.reshape import merge_reshapes
from tflrecover.rewrite.sink import sink_reshapes
from tflrecover.rewrite.slices import take_apart
from tflrecover.rewrite.writer import Writer
from tflrecover.weight import Literal


def pack_steps(draft: Draft) -> int:
    """What is joined of single places is packed, in the order in which it lies; the axis is the first that may be."""
    count = 0
    for op in draft.of_type("CONCATENATION"):
        axis = op.attributes["axis"] % len(draft.shape(op.outputs[0]))
        if all(draft.shape(value)[axis] == 1 for value in op.inputs) and len(op.inputs) > 1:
            write = Writer(draft, op)
            rows = tuple(write.reshaped(value, _without(draft.shape(value), axis)) for value in op.inputs)
            write.finish(write.add("PACK", rows, draft.shape(op.outputs[0]), axis=axis))
            count += 1
    for op in draft.of_type("REVERSE_V2"):
        packed = maker(draft, op.inputs[0], "PACK")
        if packed is not None and op.attributes["axis"] == (packed.attributes["axis"],):
            draft.replace(packed.evolve(id=op.id, inputs=packed.inputs[::-1], outputs=op.outputs))
            count += 1
    for op in draft.of_type("PACK"):
        axis, (first, *_) = op.attributes["axis"], op.inputs
        shape = draft.shape(first)
        if axis and set(shape[:axis]) == {1}:
            write = Writer(draft, op)
            made = write.add("PACK", op.inputs, (len(op.inputs), *shape), axis=0)
            write.finish(write.reshaped(made, draft.shape(op.outputs[0])))
            count += 1
    return count


def _without(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], *shape[axis + 1 :])


def take_steps(draft: Draft) -> int:
    """A range of one place is that place, and an axis for it."""
    return sum(_single(draft, op) for op in draft.of_type("STRIDED_SLICE"))


def _single(draft: Draft, op: Op) -> bool:
    places, shape = op.attributes["slices"], draft.shape(op.inputs[0])
    if "new" in places or any(isinstance(place, int) for place in places):
        return False
    ranges = [range(*slice(*place).indices(n)) for place, n in zip(places, shape, strict=False)]
    cut = [axis for axis, taken in enumerate(ranges) if len(taken) != shape[axis]]
    if len(cut) != 1 or len(ranges[cut[0]]) != 1:
        return False
    (axis,) = cut
    write = Writer(draft, op)
    made = write.add("STRIDED_SLICE", op.inputs, _without(shape, axis), slices=(*[WHOLE] * axis, ranges[axis][0]))
    write.finish(write.reshaped(made, draft.shape(op.outputs[0])))
    return True


def project_steps(draft: Draft) -> int:
    """A step of a projection of all is the projection of that step."""
    listed = [op.id for op in draft.ordered("STRIDED_SLICE") if op.id not in draft.opaque]
    count = sum(_projected(draft, draft.ops[op_id]) for op_id in listed)
    for rule in (merge_reshapes, take_apart, sink_reshapes, absorb_affines, merge_common) if count else ():
        draft.prune()
        count += rule(draft)
    return count


def _projected(draft: Draft, op: Op) -> bool:
    dense = maker(draft, op.inputs[0], "FULLY_CONNECTED")
    *front, last = op.attributes["slices"] or (None,)
    if dense is None or not isinstance(last, int) or any(place != WHOLE for place in front):
        return False
    shape = draft.shape(dense.inputs[0])
    if len(front) >= len(shape) - 1 or draft.weight(dense.inputs[1]) is None:
        return False
    write, x, places = Writer(draft, op), dense.inputs[0], op.attributes["slices"]
    if len(shape) == 2:
        # What has become rows, for the product, is steps of one example.
        x, places = write.reshaped(x, (1, *shape)), (WHOLE, *places)
    taken = write.add("STRIDED_SLICE", (x,), slices=places)
    made = write.add("FULLY_CONNECTED", (taken, *dense.inputs[1:]), **dense.attributes)
    write.finish(write.reshaped(made, draft.shape(op.outputs[0])))
    return True


def add_biases(draft: Draft) -> int:
    """Biases of two dense layers that are added come behind the sum."""
    return _behind_sums(draft, (1, 2))


def lift_lone_biases(draft: Draft) -> int:
    """So does the bias that one of them alone has, where parts of both were taken before."""
    return _behind_sums(draft, (1,))


def _behind_sums(draft: Draft, counts: tuple[int, ...]) -> int:
    """Where as many of both have a bias."""
    count = 0
    for op in draft.of_type("ADD"):
        # An axis of size 1 may have gone between a layer and the sum.
        layers = [(maker(draft, bare(draft, value), "FULLY_CONNECTED"), value) for value in op.inputs]
        found = [
            layer
            for layer, value in layers
            if layer is not None
            and all(draft.only_consumer(v) is not None for v in (layer.outputs[0], value) if v is not None)
        ]
        biases = [draft.weight(layer.inputs[2]) for layer in found if len(layer.inputs) > 2]
        known = [bias for bias in biases if bias is not None]
        of_a_layer = sum(not is_no_bias(bias) for bias in known)
        if len(known) != 2 or known[0].shape != known[1].shape or of_a_layer not in counts:
            continue
        write = Writer(draft, op)
        parts = []
        for layer, value in zip(found, op.inputs, strict=True):
            none = draft.constant(no_bias(layer.attributes["units"]))
            shape = draft.shape(layer.outputs[0])
            made = write.add("FULLY_CONNECTED", (*layer.inputs[:2], none), shape, **layer.attributes)
            parts.append(write.reshaped(made, draft.shape(value)))
        total = write.add("ADD", tuple(parts), draft.shape(op.outputs[0]))
        write.finish(write.add("AFFINE", (total, None, draft.constant(ADD(*known))), draft.shape(op.outputs[0])))
        count += 1
    return count


def blend(draft: Draft) -> int:
    """What goes from one value to another by a difference is the sum of a part of each."""
    count = 0
    for op in draft.of_type("ADD"):
        for first, b in (op.inputs, op.inputs[::-1]):
            product = maker(draft, first, "MUL")
            found = None if product is None else _difference(draft, product, b)
            if found is None:
                continue
            a, t = found
            write = Writer(draft, op)
            shape = draft.shape(op.outputs[0])
            minus, one = (draft.constant(Literal.of(number, "float32")) for number in (-1.0, 1.0))
            rest = write.add("MUL", (write.add("AFFINE", (t, minus, one), draft.shape(t)), b), shape)
            part = rest if a is None else write.add("ADD", (write.add("MUL", (t, a), shape), rest), shape)
            write.finish(part)
            count += 1
            break
    return count


def _difference(draft: Draft, product: Op, b: int | None) -> tuple[int | None, int | None] | None:
    """``(a, t)`` of ``(a - b) · t``; ``a`` is None where it is 0."""
    for value, t in (product.inputs, product.inputs[::-1]):
        made = maker(draft, value, "SUB", "AFFINE")
        if made is not None and made.type == "SUB" and made.inputs[1] == b:
            return made.inputs[0], t
        if made is not None and made.type == "AFFINE" and made.inputs[0] == b:
            factor, offset = made.inputs[1:]
            return (None, t) if _is_all(draft, factor, -1) and (offset is None or _is_all(draft, offset, 0)) else None
    return None


def _is_all(draft: Draft, value: int | None, number: int) -> bool:
    known = array(draft, value)
    return known is not None and bool((known == number).all())
