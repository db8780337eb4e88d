"""``BATCH_MATMUL(TRANSPOSE(x), TRANSPOSE(y)) = EINSUM(x, y)``: attention, however its transposes are arranged."""

from __future__ import annotations

from tflrecover.ir import Op
from tflrecover.ops.einsum import batched, canonical_equation, sides
from tflrecover.rewrite.axes import join_axes, split_axes, take_in_merged
from tflrecover.rewrite.draft import Draft, merged_origins
from tflrecover.rewrite.match import bare
from tflrecover.rewrite.moves import transpose_behind
from tflrecover.rewrite.writer import Writer


def fuse_merged_axes(draft: Draft) -> int:
    """A product whose merged axes are axes of their own takes in its transposes before these sink.

    Others wait: a scaling that stands between a product and a transpose on one side stands behind both on the other.
    """
    count = _name_axes(draft)
    for op in draft.of_type("EINSUM"):
        if split_axes(draft, op):
            _take_in_operands(draft, draft.ops[op.id])
            _take_in_result(draft, draft.ops[op.id])
            count += 1
    return count


def fuse_turned_axes(draft: Draft) -> int:
    """The same behind transposes that stood in between; axes of size 1 that come with them go again."""
    count = fuse_merged_axes(draft)
    for op in draft.of_type("EINSUM") if count else ():
        _drop_units(draft, op)
    for op in draft.of_type("EINSUM") if count else ():
        _order_operands(draft, op)
    return count + sum(_order_result(draft, op) for op in draft.of_type("EINSUM"))


def fuse_einsum(draft: Draft) -> int:
    """A batched product of two activations becomes an EINSUM that has taken in the transposes around it."""
    count = _name_axes(draft)
    for op in draft.of_type("EINSUM"):
        # A transpose that was taken in may have stood behind a reshape that merges.
        while any(step(draft, draft.ops[op.id]) for step in _STEPS):
            count += 1
        count += _drop_units(draft, draft.ops[op.id])
    for op in draft.of_type("EINSUM"):
        count += _order_operands(draft, op)
    return count


def fuse_heads(draft: Draft) -> int:
    """Products take in the transposes that met them when axes of size 1 and scalings between them had gone."""
    return fuse_einsum(draft)


def merge_axes(draft: Draft) -> int:
    """Axes of a product that stand side by side wherever they are become one.

    Where an operand was made with one axis (a softmax over all places), the one side cannot split what the other has.
    """
    products = [op for op in draft.of_type("EINSUM") if op.id not in draft.opaque]
    count = sum(take_in_merged(draft, op) + join_axes(draft, draft.ops[op.id]) for op in products)
    for op in draft.of_type("EINSUM") if count else ():
        _order_operands(draft, op)
    return count


def _name_axes(draft: Draft) -> int:
    """Batched products of two activations as EINSUM."""
    count = 0
    for op in draft.of_type("BATCH_MATMUL"):
        rank = len(draft.shape(op.outputs[0]))
        shapes = [(*(1,) * (rank - len(draft.shape(value))), *draft.shape(value)) for value in op.inputs]
        if rank < 2 or any(draft.weight(value) is not None for value in op.inputs):
            continue
        lead = draft.shape(op.outputs[0])[:-2]
        inputs, names = list(op.inputs), list(batched(op.attributes, *shapes))
        for slot, shape in enumerate(shapes):
            once = [n == 1 != m for n, m in zip(shape, (*lead, 1, 1), strict=True)]
            once[-2:] = False, False
            kept = tuple(n for n, is_once in zip(shape, once, strict=True) if not is_once)
            names[slot] = "".join(axis for axis, is_once in zip(names[slot], once, strict=True) if not is_once)
            inputs[slot] = Writer(draft, op).reshaped(inputs[slot], kept)
        attributes = {"equation": canonical_equation(*names)}
        draft.replace(op.evolve(type="EINSUM", inputs=tuple(inputs), attributes=attributes))
        count += 1
    return count


def _take_in_operands(draft: Draft, op: Op) -> int:
    *names, out = sides(op.attributes["equation"])
    inputs, origins = list(op.inputs), [op]
    for slot, axes in enumerate(names):
        before = draft.producer(inputs[slot])
        if before is not None and before.type == "TRANSPOSE":
            # Axis i of the transposed value is axis perm[i] of the value itself.
            named = dict(zip(before.attributes["perm"], axes, strict=True))
            names[slot] = "".join(named[i] for i in range(len(axes)))
            inputs[slot] = before.inputs[0]
            origins.append(before)
    if len(origins) == 1:
        return 0
    attributes = {"equation": canonical_equation(names[0], names[1], out)}
    draft.replace(op.evolve(inputs=tuple(inputs), attributes=attributes, origins=merged_origins(*origins)))
    return 1


def _take_in_result(draft: Draft, op: Op) -> int:
    after = transpose_behind(draft, op.outputs[0])
    if after is None:
        return 0
    x, y, out = sides(op.attributes["equation"])
    moved = "".join(out[i] for i in after.attributes["perm"])
    attributes = {"equation": canonical_equation(x, y, moved)}
    draft.remove(after.id)
    draft.replace(op.evolve(outputs=after.outputs, attributes=attributes, origins=merged_origins(op, after)))
    return 1


def _drop_repeats(draft: Draft, op: Op) -> int:
    """``EINSUM(x, TILE(y)) = EINSUM(x, y)`` without the axis that is repeated for each place of the other operand."""
    names = list(sides(op.attributes["equation"]))
    for slot, axes in enumerate(names[:-1]):
        value, shape = op.inputs[slot], draft.shape(op.inputs[slot])
        tile = draft.producer(bare(draft, value))
        if tile is None or tile.type != "TILE" or tile.id in draft.opaque:
            continue
        wide = [axis for axis, n in zip(axes, shape, strict=True) if n != 1]
        places = [i for i, n in enumerate(draft.shape(tile.outputs[0])) if n != 1]
        times, before = tile.attributes["multiples"], draft.shape(tile.inputs[0])
        repeated = [axis for axis, i in zip(wide, places, strict=True) if times[i] != 1]
        if any(times[i] != 1 != before[i] for i in places):
            continue
        if not all(axis in names[1 - slot] and axis in names[2] for axis in repeated):
            continue
        kept = [(axis, n) for axis, n in zip(axes, shape, strict=True) if axis not in repeated]
        names[slot] = "".join(axis for axis, _ in kept)
        once = Writer(draft, op).reshaped(tile.inputs[0], tuple(n for _, n in kept))
        inputs = tuple(once if i == slot else other for i, other in enumerate(op.inputs))
        attributes = {"equation": canonical_equation(*names)}
        draft.replace(op.evolve(inputs=inputs, attributes=attributes, origins=merged_origins(op, tile)))
        return 1
    return 0


_STEPS = (split_axes, _take_in_operands, _take_in_result, _drop_repeats)


def _drop_units(draft: Draft, op: Op) -> int:
    """An axis of size 1 is no axis of the product: a RESHAPE before and behind it says where it is.

    Where heads or batch are one, a converter makes reshapes of transposes, and the order of the axes is lost.
    """
    x, y, out = sides(op.attributes["equation"])
    sizes = dict(zip(x + y, (*draft.shape(op.inputs[0]), *draft.shape(op.inputs[1])), strict=True))
    if 1 not in sizes.values():
        return 0
    names = ["".join(axis for axis in axes if sizes[axis] != 1) for axes in (x, y, out)]
    if not all(names):
        return 0
    shapes = [tuple(sizes[axis] for axis in axes) for axes in names]
    writer = Writer(draft, op)
    inputs = tuple(writer.reshaped(value, shape) for value, shape in zip(op.inputs, shapes, strict=False))
    product = writer.add("EINSUM", inputs, equation=canonical_equation(*names))
    writer.finish(writer.reshaped(product, draft.shape(op.outputs[0])))
    return 1


def _order_result(draft: Draft, op: Op) -> int:
    """The axes of what only other products take are in the order in which the operands have them."""
    x, y, out = sides(op.attributes["equation"])
    ordered = "".join(axis for axis in dict.fromkeys(x + y) if axis in out)
    before = op.outputs[0]
    users = {use.id: use for use, _ in draft.consumers(before)}
    is_taken = before in draft.outputs or any(use.type != "EINSUM" or use.id in draft.opaque for use in users.values())
    if ordered == out or is_taken:
        return 0
    perm = tuple(out.index(axis) for axis in ordered)
    value = draft.values[before]
    made = draft.new_value(tuple(draft.shape(before)[axis] for axis in perm), value.dtype, value.name)
    draft.replace(op.evolve(outputs=(made,), attributes={"equation": canonical_equation(x, y, ordered)}))
    for user in users.values():
        *names, result = sides(user.attributes["equation"])
        for slot, operand in enumerate(user.inputs):
            if operand == before:
                names[slot] = "".join(names[slot][axis] for axis in perm)
        inputs = tuple(made if operand == before else operand for operand in user.inputs)
        equation = canonical_equation(names[0], names[1], result)
        draft.replace(user.evolve(inputs=inputs, attributes={"equation": equation}))
        _order_operands(draft, draft.ops[user.id])
    return 1


def _order_operands(draft: Draft, op: Op) -> int:
    """``EINSUM(y, x) = EINSUM(x, y)`` with the axes renamed: the order whose equation comes first is the one."""
    x, y, out = sides(op.attributes["equation"])
    swapped = canonical_equation(y, x, out)
    if len(op.inputs) != 2 or swapped >= op.attributes["equation"]:
        return 0
    draft.replace(op.evolve(inputs=op.inputs[::-1], attributes={"equation": swapped}))
    return 1
