"""Values whose numbers lie otherwise, through reshapes and transposes: where each axis comes from.

RESHAPE, TRANSPOSE, RESHAPE, …  = RESHAPE(TRANSPOSE(RESHAPE(x)))          axes are split, moved, merged
f(A(x), y) = A(f(x, A⁻¹(y)))                                            element by element, for such a row A
MEAN(A(x), a) = A'(MEAN(x, a'))

The groups of a group norm, shuffled channels or pixels, and convolutions of steps so become what they are with the
channels last, whichever axes stood where on the way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from tflrecover import ops
from tflrecover.ir import Op, Shape
from tflrecover.ops.shape import TRANSPOSE, shaped
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.reductions import REDUCTIONS
from tflrecover.rewrite.transposes import merge_transposes
from tflrecover.rewrite.writer import Writer

_MOVES = ("RESHAPE", "TRANSPOSE")
Part = int
"""A part of an axis: its place among all of them in the order of the base."""


@dataclass(frozen=True, slots=True)
class Arrangement:
    """How the numbers of a value lie, seen from another that has the same.

    Attributes:
        base: That other value.
        sizes: Of the parts of its axes, axis by axis; an axis of size 1 has none.
        axes: The parts of each axis of the value.
        length: Operators between the two.
    """

    base: int
    sizes: tuple[tuple[int, ...], ...]
    axes: tuple[tuple[Part, ...], ...]
    length: int = 0

    @property
    def flat(self) -> tuple[int, ...]:
        """Sizes of all parts."""
        return tuple(size for axis in self.sizes for size in axis)

    @property
    def order(self) -> tuple[Part, ...]:
        """The parts as they lie in the value."""
        return tuple(part for axis in self.axes for part in axis)

    def groups(self) -> list[tuple[Part, ...]]:
        """The parts of each axis of the base."""
        ends = accumulate((len(axis) for axis in self.sizes), initial=0)
        return [tuple(range(start, end)) for start, end in pairwise(ends)]

    def transposed(self, perm: Sequence[int]) -> Arrangement:
        """With the axes in another order."""
        return Arrangement(self.base, self.sizes, tuple(self.axes[axis] for axis in perm), self.length + 1)

    def reshaped(self, shape: Shape) -> Arrangement | None:
        """In another shape; None where it cuts across the parts."""
        waiting = [(part, self.flat[part]) for part in reversed(self.order)]
        cuts: dict[Part, list[int]] = {}
        axes: list[list[tuple[Part, int]]] = []
        for wanted in shape:
            axis: list[tuple[Part, int]] = []
            while wanted > 1:
                if not waiting:
                    return None
                part, size = waiting.pop()
                taken = math.gcd(size, wanted)
                if taken not in (size, wanted):
                    return None
                if taken != size:
                    waiting.append((part, size // taken))
                axis.append((part, len(cuts.setdefault(part, []))))
                cuts[part].append(taken)
                wanted //= taken
            axes.append(axis)
        if waiting:
            return None
        sizes = tuple(tuple(size for part in group for size in cuts[part]) for group in self.groups())
        starts = list(accumulate((len(cuts[part]) for part in range(len(self.flat))), initial=0))
        named = tuple(tuple(starts[part] + cut for part, cut in axis) for axis in axes)
        return Arrangement(self.base, sizes, named, self.length + 1)

    def joined(self) -> Arrangement:
        """Fewer parts: what follows each other in an axis of the base and in one of the value is one."""
        follows = {(a, b) for axis in self.axes for a, b in pairwise(axis)}
        runs = [[[part] for part in group[:1]] for group in self.groups()]
        for row, group in zip(runs, self.groups(), strict=True):
            for part in group[1:]:
                if (part - 1, part) in follows:
                    row[-1].append(part)
                else:
                    row.append([part])
        sizes = tuple(tuple(math.prod(self.flat[part] for part in run) for run in row) for row in runs)
        named = {run[0]: i for i, run in enumerate(run for row in runs for run in row)}
        axes = tuple(tuple(named[part] for part in axis if part in named) for axis in self.axes)
        return Arrangement(self.base, sizes, axes, self.length)

    @property
    def in_order(self) -> bool:
        """Whether no part is moved past another."""
        return self.order == tuple(range(len(self.order)))

    @property
    def split(self) -> Shape:
        """The base's shape, with its axes split into their parts."""
        return tuple(size for axis in self.sizes for size in (axis or (1,)))

    @property
    def places(self) -> tuple[int, ...]:
        """Of each part, the axis of :attr:`split` that it is."""
        return tuple(place for place, size in enumerate(self.split) if size != 1)


def arrangement(draft: Draft, value: int) -> Arrangement:
    """How a value lies, seen from the first one from which reshapes and transposes alone lead to it."""
    row: list[Op] = []
    base = value
    while (made := draft.producer(base)) is not None and made.type in _MOVES and made.id not in draft.opaque:
        if made.inputs[0] is None or 0 in draft.shape(made.inputs[0]):
            break
        row.append(made)
        base = made.inputs[0]
    found = _itself(draft, base)
    for op in reversed(row):
        shape = draft.shape(op.outputs[0])
        moved = found.transposed(op.attributes["perm"]) if op.type == "TRANSPOSE" else found.reshaped(shape)
        found = moved or _itself(draft, op.outputs[0])
    return found


def _itself(draft: Draft, value: int) -> Arrangement:
    sizes = tuple((n,) if n != 1 else () for n in draft.shape(value))
    count = iter(range(len(sizes)))
    return Arrangement(value, sizes, tuple(tuple(next(count) for _ in axis) for axis in sizes))


def arrange(draft: Draft) -> int:
    """Rows of reshapes and transposes get one form, behind what works element by element or sums along axes."""
    count = 0
    if not draft.has(*_MOVES):
        return 0
    for op_id in [op.id for op in draft.ordered() if op.id not in draft.opaque]:
        op = draft.ops[op_id]
        spec = ops.by_name(op.type)
        if spec is None or len(op.outputs) != 1 or 0 in draft.shape(op.outputs[0]):
            continue
        if op.type in _MOVES:
            users = [user.type for user, _ in draft.consumers(op.outputs[0])]
            if op.outputs[0] in draft.outputs or any(kind not in _MOVES for kind in users):
                count += _tidied(draft, op)
        elif op.type in REDUCTIONS:
            count += _reduced(draft, op)
        elif spec.is_elementwise or spec.is_of_single_numbers:
            count += _elementwise(draft, op)
    return count


def _tidied(draft: Draft, op: Op) -> bool:
    """Axes are split, then moved, then merged."""
    found = arrangement(draft, op.outputs[0])
    if found.length < 2:
        return False
    writer = Writer(draft, op)
    writer.finish(_arranged(writer, found, found.base, draft.shape(op.outputs[0])))
    return True


def _arranged(writer: Writer, found: Arrangement, value: int | None, shape: Shape) -> int | None:
    """What has the numbers of a value, which lie as in the base of an arrangement, as the arrangement has them."""
    found = found.joined()
    if found.in_order:
        return writer.reshaped(value, shape)
    if any(len(axis) > 1 for axis in found.axes):
        return writer.reshaped(writer.transposed(writer.reshaped(value, found.flat), found.order), shape)
    units = sum(not axis for axis in found.axes)
    ones = iter(range(units))
    perm = tuple(units + axis[0] if axis else next(ones) for axis in found.axes)
    return writer.transposed(writer.reshaped(value, (1,) * units + found.flat), perm)


def _reduced(draft: Draft, op: Op) -> bool:
    """The reduction of what has the numbers, along the parts of its axes."""
    value = op.inputs[0]
    found = None if value is None else arrangement(draft, value)
    if found is None or not found.length:
        return False
    gone = {part for axis in op.attributes["axis"] for part in found.axes[axis]}
    if not gone:
        return False
    kept = tuple(tuple(part for part in axis if part not in gone) for axis in found.axes)
    # In which order they are summed does not matter.
    found = replace(found, axes=(*kept, tuple(sorted(gone)))).joined()
    *axes, along = found.axes
    writer = Writer(draft, op)
    attributes = {**op.attributes, "axis": tuple(found.places[part] for part in along), "keepdims": True}
    made = writer.add(str(op.type), (writer.reshaped(found.base, found.split),), **attributes)
    left = _itself(draft, made)
    names = {place: part for part, place in enumerate(left.places)}
    left = replace(left, axes=tuple(tuple(names[found.places[part]] for part in axis) for axis in axes))
    writer.finish(_arranged(writer, left, made, draft.shape(op.outputs[0])))
    return True


def _elementwise(draft: Draft, op: Op) -> bool:
    """The operator on what has the numbers of its operands, and the arrangement behind it."""
    result = draft.shape(op.outputs[0])
    activations = [value for value in op.inputs if value is not None and draft.weight(value) is None]
    whole = [value for value in activations if draft.shape(value) == result]
    spread = [_spread(draft.shape(value), result) for value in op.inputs if value is not None]
    if None in spread:
        return False
    wide = [axes for axes in spread if axes is not None]
    narrow = (
        [] if whole else [found for value in activations if (found := _along_last(draft, value, result)) is not None]
    )
    if not whole and not narrow:
        return _squeezed(draft, op, wide) if len(op.inputs) > 1 else False
    found = next((found for found in (*(arrangement(draft, value) for value in whole), *narrow) if found.length), None)
    if found is None:
        return False
    frame = _frame(found, wide)
    if (frame == result and found.in_order) or not all(_lies_so(draft, found, value) for value in whole):
        return False
    writer = Writer(draft, op)
    inputs = tuple(None if value is None else _before(writer, draft, found, value, frame) for value in op.inputs)
    made = writer.add(str(op.type), inputs, frame, draft.values[op.outputs[0]].dtype, **op.attributes)
    writer.finish(_arranged(writer, found, made, result))
    return True


def _along_last(draft: Draft, value: int, result: Shape) -> Arrangement | None:
    """How a result lies of which a value is one number for each row, as the value's base has one."""
    found = arrangement(draft, value)
    base = draft.shape(found.base)
    if not found.length or draft.shape(value) != (*result[:-1], 1) or base[-1:] != (1,):
        return None
    rows = len(found.flat)
    return replace(found, sizes=(*found.sizes[:-1], result[-1:]), axes=(*found.axes[:-1], (rows,)))


def _spread(shape: Shape, result: Shape) -> frozenset[int] | None:
    """Axes of a result along which an operand is not broadcast; None where it has others."""
    lead = len(result) - len(shape)
    if lead < 0 or any(n not in (1, result[lead + i]) for i, n in enumerate(shape)):
        return None
    return frozenset(lead + i for i, n in enumerate(shape) if n != 1)


def _frame(found: Arrangement, wide: Sequence[frozenset[int]]) -> Shape:
    """The base's shape, with those axes split of which an operand is broadcast along a part."""
    where = {part: axis for axis, parts in enumerate(found.axes) for part in parts}
    shape: list[int] = []
    for group in found.groups():
        sizes = [found.flat[part] for part in group]
        is_one = len({tuple(where[part] in axes for axes in wide) for part in group}) <= 1
        shape += [math.prod(sizes)] if is_one else sizes
    return tuple(shape)


def _lies_so(draft: Draft, found: Arrangement, value: int) -> bool:
    """Whether an operand lies as another does, or at least none of its axes has to be moved to."""
    other = arrangement(draft, value)
    return found.in_order or (other.axes, other.sizes) == (found.axes, found.sizes)


def _before(writer: Writer, draft: Draft, found: Arrangement, value: int, frame: Shape) -> int | None:
    """An operand as it lies before the arrangement, broadcast as it was."""
    shape = draft.shape(value)
    full = (1,) * (len(found.axes) - len(shape)) + shape
    along = zip(found.axes, full, strict=True)
    sizes = tuple(found.flat[part] if n != 1 else 1 for parts, n in along for part in parts)
    back = tuple(found.order.index(part) for part in range(len(found.order)))
    # Of each axis of the frame, the parts that it has.
    left = iter(zip(found.flat, (sizes[i] for i in back), strict=True))
    target = []
    for n in frame:
        size = whole = 1
        while whole < n:
            part, mine = next(left)
            whole, size = whole * part, size * mine
        target.append(size)
    weight = draft.weight(value)
    if weight is not None:
        moved = shaped(weight, sizes)
        moved = moved if back == tuple(range(len(back))) else TRANSPOSE(moved, perm=back)
        return draft.constant(shaped(moved, tuple(target)))
    made = writer.reshaped(writer.transposed(writer.reshaped(value, sizes), back), tuple(target))
    if made is None:
        return None
    known = arrangement(draft, made)
    return _arranged(writer, known, known.base, tuple(target))


def _squeezed(draft: Draft, op: Op, wide: Sequence[frozenset[int]]) -> bool:
    """What repeats its operands along each other works without the axes of size 1, if it has others than the batch."""
    result = draft.shape(op.outputs[0])
    kept = [axis for axis, n in enumerate(result) if n != 1]
    if not kept or kept == list(range(min(kept[0], 1), len(result))):
        return False
    writer = Writer(draft, op)
    inputs: list[int | None] = []
    for value, axes in zip((value for value in op.inputs if value is not None), wide, strict=True):
        first = min(axes, default=len(result))
        shape = tuple(result[axis] if axis in axes else 1 for axis in kept if axis >= first)
        weight = draft.weight(value)
        inputs.append(writer.reshaped(value, shape) if weight is None else draft.constant(shaped(weight, shape)))
    shape = tuple(result[axis] for axis in kept)
    made = writer.add(str(op.type), tuple(inputs), shape, draft.values[op.outputs[0]].dtype, **op.attributes)
    writer.finish(writer.reshaped(made, result))
    return True


def channels_last(draft: Draft) -> int:
    """A scaling, or a shift, along one axis that is not the last works with that axis behind the others."""
    count = 0
    for op_id in [op.id for op in draft.ordered("ADD", "SUB", "MUL", "DIV") if op.id not in draft.opaque]:
        count += _channels_last(draft, draft.ops[op_id])
    return count + (merge_transposes(draft) if count else 0)


def _channels_last(draft: Draft, op: Op) -> bool:
    result = draft.shape(op.outputs[0])
    weights = [weight for value in op.inputs if (weight := draft.weight(value)) is not None]
    wide = _spread(weights[0].shape, result) if len(weights) == 1 else None
    if wide is None or len(wide) != 1 or len(result) - 1 in wide:
        return False
    (axis,) = wide
    perm = (*(a for a in range(len(result)) if a != axis), axis)
    writer = Writer(draft, op)
    inputs: list[int | None] = []
    for value in op.inputs:
        weight = draft.weight(value)
        last = None if weight is None else draft.constant(shaped(weight, (result[axis],)))
        inputs.append(writer.transposed(value, perm) if last is None else last)
    made = writer.add(str(op.type), tuple(inputs))
    writer.finish(writer.transposed(made, tuple(perm.index(a) for a in range(len(perm)))))
    return True
