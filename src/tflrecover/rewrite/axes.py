"""``RESHAPE(EINSUM(RESHAPE(x), RESHAPE(y))) = EINSUM(x, y)`` over more axes, where the reshapes merge and split alike.

A batched product has one axis for each purpose; what sums or keeps several axes is written with reshapes around it.

``EINSUM(x, y) = RESHAPE(EINSUM(RESHAPE(x), RESHAPE(y)))`` with axes as one that stand side by side wherever they are.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping
from string import ascii_letters

from tflrecover.ir import Op, Shape
from tflrecover.ops.einsum import canonical_equation, sides
from tflrecover.rewrite.draft import Draft, merged_origins
from tflrecover.rewrite.writer import Writer

Parts = Mapping[str, Shape]
"""Axis to the sizes of the axes that are merged in it."""


def split_axes(draft: Draft, op: Op) -> int:
    """Merged axes of a product become the axes that they are merged of; 1 where there were any."""
    names = sides(op.attributes["equation"])
    reshapes = (*(draft.producer(value) for value in op.inputs), draft.only_consumer(op.outputs[0]))
    places = {
        i: parts
        for i, (axes, reshape) in enumerate(zip(names, reshapes, strict=True))
        if reshape is not None and (parts := _parts(draft, axes, reshape, is_result=i == 2)) is not None
    }
    while odd := [i for i, parts in places.items() if not _fits(names, places, i)]:
        del places[odd[0]]
    # An axis of size 1 beside another is none of the product's; a RESHAPE says where it is.
    if not any(len(_wide(sizes)) > 1 for parts in places.values() for sizes in parts.values()):
        return 0
    listed = _listed(names, places)
    inputs, outputs, origins = list(op.inputs), op.outputs, [op]
    for i in places:
        reshape = reshapes[i]
        assert reshape is not None
        origins.append(reshape)
        if i == 2:
            outputs = reshape.outputs
            draft.remove(reshape.id)
        else:
            inputs[i] = reshape.inputs[0]
    made = {"attributes": {"equation": canonical_equation(listed[0], listed[1], listed[2])}}
    draft.replace(op.evolve(inputs=tuple(inputs), outputs=outputs, origins=merged_origins(*origins), **made))
    return 1


def take_in_merged(draft: Draft, op: Op) -> int:
    """``EINSUM(RESHAPE(TRANSPOSE(x)), y) = EINSUM(RESHAPE(x), y)`` where axes are merged that x has side by side."""
    *names, out = sides(op.attributes["equation"])
    writer, inputs = Writer(draft, op), list(op.inputs)
    for slot, axes in enumerate(names):
        reshape = draft.producer(inputs[slot])
        before = None if reshape is None else draft.producer(reshape.inputs[0])
        if reshape is None or before is None or before.type != "TRANSPOSE" or before.id in draft.opaque:
            continue
        parts = _parts(draft, axes, reshape, is_result=False)
        groups = None if parts is None else _side_by_side(parts, before.attributes["perm"])
        if groups is not None and parts is not None:
            names[slot] = "".join(groups)
            inputs[slot] = writer.reshaped(before.inputs[0], tuple(math.prod(parts[axis]) for axis in groups))
    if tuple(inputs) == op.inputs:
        return 0
    attributes = {"equation": canonical_equation(names[0], names[1], out)}
    draft.replace(op.evolve(inputs=tuple(inputs), attributes=attributes))
    return 1


def _side_by_side(parts: Parts, perm: Shape) -> list[str] | None:
    """Merged axes in the order in which their parts are before a transpose; None where they are not side by side."""
    places, wide = iter(perm), {}
    for axis, sizes in parts.items():
        taken = [next(places) for _ in sizes]
        wide[axis] = [place for place, n in zip(taken, sizes, strict=True) if n != 1] or taken[:1]
    ordered = sorted(wide, key=lambda axis: wide[axis])
    named = [place for axis in ordered for place in wide[axis]]
    return ordered if named == sorted(named) else None


def join_axes(draft: Draft, op: Op) -> int:
    """Axes of a product that stand side by side in operands and result become one; 1 where there were any."""
    names = sides(op.attributes["equation"])
    taken = {axis for axis in names[0] + names[1] if _has_one_before(names, axis)}
    if not taken:
        return 0
    writer = Writer(draft, op)
    listed = ["".join(axis for axis in axes if axis not in taken) for axes in names]
    inputs = tuple(
        writer.reshaped(value, _together(axes, draft.shape(value), taken))
        for value, axes in zip(op.inputs, names, strict=False)
    )
    product = writer.add("EINSUM", inputs, equation=canonical_equation(listed[0], listed[1], listed[2]))
    writer.finish(writer.reshaped(product, draft.shape(op.outputs[0])))
    return 1


def _has_one_before(names: tuple[str, str, str], axis: str) -> bool:
    """Whether an axis stands behind the same other one everywhere, and that one nowhere without it."""
    before = {axes[max(axes.index(axis) - 1, 0)] for axes in names if axis in axes}
    return before != {axis} and len(before) == 1 and all((axis in axes) == before.issubset(axes) for axes in names)


def _together(axes: str, shape: Shape, taken: Collection[str]) -> Shape:
    found: list[int] = []
    for axis, size in zip(axes, shape, strict=True):
        if axis in taken:
            found[-1] *= size
        else:
            found.append(size)
    return tuple(found)


def _parts(draft: Draft, axes: str, reshape: Op, *, is_result: bool) -> Parts | None:
    """What a RESHAPE merges before an operand, or splits behind the result; None where it does something else."""
    if reshape.type != "RESHAPE" or reshape.id in draft.opaque:
        return None
    shapes = draft.shape(reshape.inputs[0]), draft.shape(reshape.outputs[0])
    fine, coarse = shapes[::-1] if is_result else shapes
    found: dict[str, Shape] = {}
    rest = list(fine)
    for axis, size in zip(axes, coarse, strict=True):
        taken = [rest.pop(0)] if rest else []
        while rest and _product(taken) < size:
            taken.append(rest.pop(0))
        if _product(taken) != size:
            return None
        found[axis] = tuple(taken)
    return None if rest else found


def _product(sizes: list[int]) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total


def _fits(names: tuple[str, str, str], places: Mapping[int, Parts], place: int) -> bool:
    """Whether every merged axis is merged of the same wherever else it is; of size 1 an operand may have its own."""
    return all(
        i in places and _wide(places[i][axis]) == _wide(sizes) and (place != 2 or places[i][axis] == sizes)
        for axis, sizes in places[place].items()
        if len(sizes) > 1
        for i, axes in enumerate(names)
        if axis in axes
    )


def _wide(sizes: Shape) -> Shape:
    return tuple(n for n in sizes if n != 1)


def _listed(names: tuple[str, str, str], places: Mapping[int, Parts]) -> list[str]:
    """The axes of operands and result under the names of their parts; an axis of size 1 that others lack is summed."""
    free = iter(letter for letter in ascii_letters if letter not in "".join(names))
    split = {axis for parts in places.values() for axis, sizes in parts.items() if len(sizes) > 1}
    letters: dict[Hashable, str] = {}

    def named(axis: str, sizes: Shape) -> str:
        # Those of size 1 are the same only where all is merged of the same.
        ends = [i if n == 1 else len(_wide(sizes[:i])) for i, n in enumerate(sizes)]
        parts = [(axis, end, sizes if n == 1 else None) for end, n in zip(ends, sizes, strict=True)]
        for part in parts:
            if part not in letters:
                letters[part] = next(free)
        return "".join(letters[part] for part in parts)

    def listed(i: int, axes: str) -> str:
        return "".join(named(axis, places[i][axis]) if axis in split else axis for axis in axes)

    return [listed(i, axes) for i, axes in enumerate(names)]
