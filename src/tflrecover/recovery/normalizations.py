"""Normalizations that files write out become Keras's layers.

    LayerNormalization:  (x - m) · r · gamma + beta     with m = MEAN(x), r = RSQRT(MEAN((x - m)²) + epsilon)
    GroupNormalization:  the same between two reshapes, on the channels of one group
    RMSNormalization:    x · r · scale                  with r = RSQRT(MEAN(x²) + epsilon)
    UnitNormalization:   x · MINIMUM(RSQRT(SUM(x²)), 1e12)

A converter writes the first as ``x · s + (beta - m · s)`` with ``s = r · gamma``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from tflrecover.ir import Op
from tflrecover.recovery.match import factor, offset, pairs
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.match import array, bare, maker
from tflrecover.rewrite.writer import Writer
from tflrecover.weight import Array, Literal

_LARGEST_INVERSE = np.float32(1e12)


@dataclass(frozen=True, slots=True, eq=False)
class _Statistics:
    """The inverse of a standard deviation.

    Attributes:
        x: What it is of.
        mean: What is subtracted before; None where nothing is.
        axes: Along which.
        epsilon: Beside the variance.
    """

    x: int
    mean: int | None
    axes: tuple[int, ...]
    epsilon: float


def _mean(draft: Draft, value: int | None) -> tuple[int, tuple[int, ...]] | None:
    """``(x, axes)`` of ``MEAN(x)``, whose axes stay, or need not as they are the first; a sum over n is one, too."""
    value = bare(draft, value)
    total, share = factor(draft, value)
    op = maker(draft, value, "MEAN") or (maker(draft, total, "SUM") if share is not None else None)
    if op is None or op.inputs[0] is None:
        return None
    axes, shape = tuple(op.attributes["axis"]), draft.shape(op.inputs[0])
    if op.type == "SUM" and (share is None or not np.allclose(share * math.prod(shape[axis] for axis in axes), 1)):
        return None
    is_aligned = op.attributes["keepdims"] or axes == tuple(range(len(shape) - 1))
    return (op.inputs[0], axes) if is_aligned else None


def _inverse(draft: Draft, value: int | None) -> _Statistics | None:
    """``RSQRT(MEAN((x - m)²) + epsilon)``, or without m."""
    root = maker(draft, bare(draft, value), "RSQRT")
    variance, epsilon = (None, None) if root is None else offset(draft, root.inputs[0])
    squares = _mean(draft, variance)
    deviation = None if squares is None else _deviation(draft, squares[0])
    if squares is None or deviation is None or epsilon is None or epsilon.size != 1:
        return None
    x, center = deviation
    if center is not None and _mean(draft, center) != (x, squares[1]):
        return None
    return _Statistics(x, center, squares[1], float(epsilon.reshape(-1)[0]))


def _deviation(draft: Draft, value: int | None) -> tuple[int, int | None] | None:
    """``(x, m)`` of ``(x - m)²``."""
    op = maker(draft, value, "SQUARED_DIFFERENCE", "SQUARE", "MUL")
    if op is None or op.inputs[0] is None or (op.type == "MUL" and op.inputs[0] != op.inputs[1]):
        return None
    if op.type == "SQUARED_DIFFERENCE":
        means = ((x, m) for x, m in (op.inputs, op.inputs[::-1]) if x is not None and _mean(draft, m) is not None)
        return next(means, None)
    minus = maker(draft, op.inputs[0], "SUB")
    if minus is not None and minus.inputs[0] is not None and _mean(draft, minus.inputs[1]) is not None:
        return minus.inputs[0], minus.inputs[1]
    return op.inputs[0], None


@dataclass(frozen=True, slots=True, eq=False)
class _Normalized:
    """A normalization that was found."""

    statistics: _Statistics
    gamma: Array | None
    beta: Array | None


def _scale(draft: Draft, value: int) -> tuple[_Statistics, Array | None] | None:
    """``(r, gamma)`` of ``r · gamma``."""
    inner, gamma = factor(draft, value)
    found = _inverse(draft, inner)
    return None if found is None else (found, gamma)


def _sums(draft: Draft, value: int) -> Iterator[_Normalized]:
    """``x · s + (beta - m · s)``; PyTorch has gamma and beta behind that."""
    behind, gamma, beta = draft.producer(value), None, None
    if behind is not None and behind.type == "AFFINE" and behind.inputs[0] is not None:
        gamma, beta = (array(draft, operand) for operand in behind.inputs[1:3])
        value = behind.inputs[0]
    for product, rest in pairs(draft, value, "ADD"):
        for x, scale in pairs(draft, product, "MUL"):
            found = _scale(draft, scale)
            if (
                found is None
                or found[0].x != x
                or found[0].mean is None
                or not _are_along(draft, found[0], scale, rest)
            ):
                continue
            for mean, again, inner in _shifts(draft, rest):
                if bare(draft, again) != bare(draft, scale) or bare(draft, mean) != bare(draft, found[0].mean):
                    continue
                if gamma is None and beta is None:
                    yield _Normalized(*found, None if _is_zero(inner) else inner)
                elif found[1] is None and (inner is None or _is_zero(inner)):
                    yield _Normalized(found[0], gamma, beta)


def _are_along(draft: Draft, statistics: _Statistics, *operands: int) -> bool:
    """Whether operands have the axes of what they normalize, where reshapes could have brought them to others."""
    sizes = draft.shape(statistics.x)
    kept = tuple(1 if axis in statistics.axes else n for axis, n in enumerate(sizes))
    return all(bare(draft, value) == value or draft.shape(value) == kept for value in operands)


def _shifts(draft: Draft, value: int | None) -> Iterator[tuple[int | None, int, Array | None]]:
    """``(m, s, beta)`` of ``beta - m · s``, wherever the sign stands."""
    value = bare(draft, value)
    op = draft.producer(value)
    if op is not None and op.type == "SUB":
        for mean, scale in pairs(draft, op.inputs[1], "MUL"):
            if (beta := array(draft, op.inputs[0])) is not None:
                yield mean, scale, beta
    if op is not None and op.type == "AFFINE" and _is_minus(array(draft, op.inputs[1])):
        for mean, scale in pairs(draft, op.inputs[0], "MUL"):
            yield mean, scale, array(draft, op.inputs[2])
    shift, beta = offset(draft, value)
    for negative, scale in pairs(draft, shift, "MUL"):
        center, minus = factor(draft, negative)
        if _is_minus(minus):
            yield center, scale, beta


def _is_zero(given: Array | None) -> bool:
    return given is not None and given.size == 1 and not given.any()


def _is_minus(given: Array | None) -> bool:
    return given is not None and given.size == 1 and given.item() == -1.0


def _products(draft: Draft, value: int) -> Iterator[_Normalized]:
    """``(x - m) · r · gamma + beta``, however it is put in brackets; without m, ``x · r · gamma``."""
    op = draft.producer(value)
    scaled, beta = offset(draft, value)
    gamma = None
    if op is not None and op.type == "AFFINE" and op.inputs[1] is not None:
        scaled, gamma, beta = op.inputs[0], array(draft, op.inputs[1]), array(draft, op.inputs[2])
    elif scaled is not None:
        scaled, gamma = factor(draft, scaled)
    for product, scale in pairs(draft, scaled, "MUL"):
        found = _scale(draft, scale)
        if found is None:
            continue
        statistics, (centered, outer) = found[0], factor(draft, product)
        given = [one for one in (gamma, found[1], outer) if one is not None]
        if len(given) > 1:
            continue
        minus = maker(draft, centered, "SUB")
        is_centered = minus is not None and minus.inputs == (statistics.x, statistics.mean)
        if is_centered if statistics.mean is not None else centered == statistics.x:
            yield _Normalized(statistics, given[0] if given else None, beta)


def _along(draft: Draft, x: int | None, axes: tuple[int, ...], given: Array | None) -> Array | None:
    """A constant as Keras has it, with the axes of the statistics alone; None where it has others."""
    shape = draft.shape(x)
    if given is None or given.ndim > len(shape):
        return None
    whole = given.reshape((1,) * (len(shape) - given.ndim) + given.shape)
    if any(n != 1 for axis, n in enumerate(whole.shape) if axis not in axes):
        return None
    sizes = tuple(shape[axis] for axis in axes)
    return np.broadcast_to(whole.reshape([whole.shape[axis] for axis in axes]), sizes)


def fuse_normalizations(draft: Draft) -> int:
    """Every written out normalization becomes its layer; the last operator that makes it is looked for first."""
    count = 0
    for op in reversed(draft.ordered("ADD", "AFFINE", "MUL")):
        if op.id not in draft.ops or op.id in draft.opaque:
            continue
        count += any(fuse(draft, op) for fuse in _FUSIONS)
    return count


def _replaced(
    draft: Draft, op: Op, kind: str, x: int | None, weights: tuple[Array | None, ...], **attributes: object
) -> bool:
    operands = tuple(None if one is None else draft.constant(Literal.of(one)) for one in weights)
    draft.replace(op.evolve(type=kind, inputs=(x, *operands), attributes=attributes))
    return True


def _layer(draft: Draft, op: Op) -> bool:
    for find in (_sums, _products):
        for found in find(draft, op.outputs[0]):
            statistics = found.statistics
            if statistics.mean is None or 0 in statistics.axes:
                continue
            weights = tuple(_along(draft, statistics.x, statistics.axes, one) for one in (found.gamma, found.beta))
            if any(
                one is None and given is not None for one, given in zip(weights, (found.gamma, found.beta), strict=True)
            ):
                continue
            attributes = {"axis": statistics.axes, "epsilon": statistics.epsilon}
            return _replaced(draft, op, "LAYER_NORMALIZATION", statistics.x, weights, **attributes)
    return False


def _group(draft: Draft, op: Op) -> bool:
    for find in (_sums, _products):
        for found in find(draft, op.outputs[0]):
            statistics, grouped = found.statistics, draft.shape(found.statistics.x)
            before, rank = maker(draft, statistics.x, "RESHAPE"), len(grouped) - 1
            # A group of one channel needs no sum over it.
            axes = {*statistics.axes, *([rank] if grouped[-1:] == (1,) else [])}
            if before is None or statistics.mean is None or axes != {*range(1, rank - 1), rank}:
                continue
            *lead, groups, size = grouped
            sizes, given = (1,) * (rank - 1) + (groups, size), (found.gamma, found.beta)
            if not all(_fits(one, sizes) for one in given):
                continue
            # What every group has alike along the last axis is a layer norm behind any reshape.
            if statistics.axes == (rank,) and all(one is None or one.size <= size for one in given):
                continue
            weights = tuple(None if one is None else np.broadcast_to(one, sizes).reshape(-1) for one in given)
            write, old = Writer(draft, op), op.outputs[0]
            shape = (*lead, groups * size)
            x = write.reshaped(before.inputs[0], shape)
            made = draft.new_value(shape, draft.values[old].dtype, draft.values[old].name)
            attributes = {"groups": groups, "epsilon": statistics.epsilon}
            _replaced(draft, op.evolve(outputs=(made,)), "GROUP_NORMALIZATION", x, weights, **attributes)
            _reshaped_users(draft, write, old, made)
            return True
    return False


def _instance(draft: Draft, op: Op) -> bool:
    """Every channel is a group of its own, and nothing was taken apart."""
    for find in (_sums, _products):
        for found in find(draft, op.outputs[0]):
            statistics, (*lead, channels) = found.statistics, draft.shape(found.statistics.x)
            given = (found.gamma, found.beta)
            is_whole = len(lead) > 1 and statistics.axes == (*range(1, len(lead)),)
            if (
                statistics.mean is None
                or not is_whole
                or not all(_fits(one, (*(1 for _ in lead), channels)) for one in given)
            ):
                continue
            weights = tuple(None if one is None else np.broadcast_to(one.reshape(-1), channels) for one in given)
            attributes = {"groups": channels, "epsilon": statistics.epsilon}
            return _replaced(draft, op, "GROUP_NORMALIZATION", statistics.x, weights, **attributes)
    return False


def _fits(given: Array | None, sizes: tuple[int, ...]) -> bool:
    """Whether broadcasting brings a constant to these sizes."""
    if given is None:
        return True
    pairs_of_sizes = zip(given.shape[::-1], sizes[::-1], strict=False)
    return given.ndim <= len(sizes) and all(n in (1, m) for n, m in pairs_of_sizes)


def _reshaped_users(draft: Draft, write: Writer, old: int, new: int) -> None:
    """Whoever takes a value takes another one, which differs in its shape."""
    for user, _ in draft.consumers(old):
        if user.type == "RESHAPE" and draft.shape(user.outputs[0]) == draft.shape(new):
            draft.redirect(user.outputs[0], new)
            draft.remove(user.id)
        elif user.type == "RESHAPE":
            draft.replace(user.evolve(inputs=(new,)))
    if draft.consumers(old) or old in draft.outputs:
        made = write.reshaped(new, draft.shape(old))
        assert made is not None
        draft.redirect(old, made)


def _root_mean_square(draft: Draft, op: Op) -> bool:
    for found in _products(draft, op.outputs[0]):
        statistics = found.statistics
        scale = _along(draft, statistics.x, statistics.axes, found.gamma)
        if (scale is None) != (found.gamma is None) or 0 in statistics.axes:
            continue
        if statistics.mean is None and found.beta is None:
            attributes = {"axis": statistics.axes, "epsilon": statistics.epsilon}
            return _replaced(draft, op, "RMS_NORMALIZATION", statistics.x, (scale,), **attributes)
    return False


def _rows(draft: Draft, op: Op) -> bool:
    """tf_keras normalizes each row as if it were a channel: behind a transpose, where channels are last."""
    for found in _sums(draft, op.outputs[0]):
        statistics, back = found.statistics, draft.only_consumer(op.outputs[0])
        turned = maker(draft, statistics.x, "TRANSPOSE")
        apart = None if turned is None else maker(draft, turned.inputs[0], "RESHAPE")
        last = None if back is None else draft.only_consumer(back.outputs[0])
        if turned is None or apart is None or apart.inputs[0] is None or back is None or last is None:
            continue
        shape = draft.shape(last.outputs[0])
        perms = tuple(turned.attributes["perm"]), back.attributes.get("perm")
        is_row = draft.shape(apart.outputs[0]) == (1, math.prod(shape[:-1]), shape[-1], 1)
        is_bare = found.gamma is None and (found.beta is None or not found.beta.any())
        if (
            is_row
            and last.type == "RESHAPE"
            and is_bare
            and perms == ((0, 2, 3, 1), (0, 3, 1, 2))
            and _wide(draft, statistics.x, statistics.axes) == _wide(draft, statistics.x, (0, 1, 2))
        ):
            x = Writer(draft, op).reshaped(apart.inputs[0], shape)
            return _whole(draft, last, x, statistics.epsilon)
    return False


def _wide(draft: Draft, x: int, axes: tuple[int, ...]) -> list[int]:
    """Those of the axes that have more than one place."""
    return [axis for axis in axes if draft.shape(x)[axis] != 1]


def _whole(draft: Draft, last: Op, x: int | None, epsilon: float) -> bool:
    """With the scale and the offset behind it, where they are."""
    behind = draft.only_consumer(last.outputs[0])
    axes = (len(draft.shape(x)) - 1,)
    weights: tuple[Array | None, ...] = (None, None)
    if behind is not None and behind.type == "AFFINE":
        along = tuple(_along(draft, x, axes, array(draft, value)) for value in behind.inputs[1:3])
        if all((one is None) == (value is None) for one, value in zip(along, behind.inputs[1:3], strict=True)):
            weights, last = along, behind
    return _replaced(draft, last, "LAYER_NORMALIZATION", x, weights, axis=axes, epsilon=epsilon)


def _unit(draft: Draft, op: Op) -> bool:
    for x, scale in pairs(draft, op.outputs[0], "MUL"):
        for root, most in pairs(draft, scale, "MINIMUM"):
            limit, made = array(draft, most), maker(draft, root, "RSQRT")
            total = None if made is None else maker(draft, made.inputs[0], "SUM")
            if limit is None or limit.size != 1 or limit.item() != _LARGEST_INVERSE or total is None:
                continue
            axes = tuple(total.attributes["axis"])
            if _deviation(draft, total.inputs[0]) == (x, None) and total.attributes["keepdims"] and 0 not in axes:
                return _replaced(draft, op, "UNIT_NORMALIZATION", x, (), axis=axes)
    return False


_FUSIONS: tuple[Callable[[Draft, Op], bool], ...] = (
    _group,
    _rows,
    _layer,
    _instance,
    _root_mean_square,
    _unit,
)
