"""A batch of one that is left out, and put back later, stays.

RESHAPE(f(RESHAPE(x, (t, c))), (1, ...)) = f(x)      where x has a 1 in front and f can do with it

A converter leaves it out where a product of matrices needs two axes. Operators between such reshapes get the axis
together; what makes another shape of it, or is an output of the network, keeps all that lead to it as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tflrecover import ops
from tflrecover.ir import Op
from tflrecover.ops.reduce import REDUCTIONS
from tflrecover.ops.slicing import WHOLE
from tflrecover.recovery.rows import drop_reshapes
from tflrecover.rewrite.draft import Draft, OpId

_Moved = Callable[[Mapping[str, Any], int], Mapping[str, Any]]
"""``(attributes, rank)`` to the attributes with one more axis in front."""


def _along(name: str) -> _Moved:
    def moved(attributes: Mapping[str, Any], rank: int) -> Mapping[str, Any]:
        axis = attributes[name]
        behind = tuple(a % rank + 1 for a in axis) if isinstance(axis, tuple) else axis % rank + 1
        return {**attributes, name: behind}

    return moved


def _same(attributes: Mapping[str, Any], rank: int) -> Mapping[str, Any]:
    return attributes


_AXES: Mapping[str | int, _Moved] = {
    **dict.fromkeys((spec.name for spec in REDUCTIONS), _along("axis")),
    **dict.fromkeys(
        ("CONCATENATION", "LAYER_NORMALIZATION", "RMS_NORMALIZATION", "UNIT_NORMALIZATION"), _along("axis")
    ),
    **dict.fromkeys(("FULLY_CONNECTED", "BATCH_MATMUL", "SOFTMAX", "LOG_SOFTMAX", "AFFINE", "SILU"), _same),
    "TRANSPOSE": lambda a, rank: {**a, "perm": (0, *(axis + 1 for axis in a["perm"]))},
    "STRIDED_SLICE": lambda a, rank: {**a, "slices": (WHOLE, *a["slices"])},
    "RESHAPE": lambda a, rank: {**a, "target_shape": (1, *a["target_shape"])},
}


def keep_squeezed(draft: Draft) -> int:
    """Operators between reshapes that leave out the first axis and put it back have it, too."""
    region = _region(draft)
    for op in [draft.ops[op_id] for op_id in region]:
        moved = _moved(op)
        assert moved is not None
        draft.replace(op.evolve(attributes=moved(op.attributes, len(draft.shape(op.inputs[0])))))
    for op_id in region:
        for value in draft.ops[op_id].outputs:
            known = draft.values[value]
            signature = known.shape_signature and (1, *known.shape_signature)
            draft.values[value] = replace(known, shape=(1, *(known.shape or ())), shape_signature=signature)
    for op in list(draft.ops.values()):
        if op.type == "RESHAPE" and op.id not in region:
            made = draft.producer(op.inputs[0])
            users = [user.id for user, _ in draft.consumers(op.outputs[0])]
            if _leaves_out(draft, op) and any(user in region for user in users) and op.inputs[0] is not None:
                _before(draft, op, region)
            elif made is not None and made.id in region and made.outputs[0] == op.inputs[0]:
                draft.replace(op.evolve(attributes={**op.attributes, "target_shape": draft.shape(op.outputs[0])}))
    return len(region) + (drop_reshapes(draft) if region else 0)


def _before(draft: Draft, op: Op, region: set[OpId]) -> None:
    """Operators of the region take what stands before a reshape."""
    for user, _ in draft.consumers(op.outputs[0]):
        if user.id in region:
            inputs = tuple(op.inputs[0] if value == op.outputs[0] else value for value in draft.ops[user.id].inputs)
            draft.replace(draft.ops[user.id].evolve(inputs=inputs))


def _region(draft: Draft) -> set[OpId]:
    """Operators that can have the axis, begin where it is left out, and end where it is put back."""
    found: set[OpId] = set()
    for op in draft.ordered():
        if _can_have_it(draft, op) and _is_fed(draft, op, found):
            found.add(op.id)
    while bad := {op_id for op_id in found if not _ends(draft, draft.ops[op_id], found)}:
        found -= bad
        # What took the results of those has its axis no more.
        found -= {op_id for op_id in found if not _is_fed(draft, draft.ops[op_id], found)}
    return found


def _is_fed(draft: Draft, op: Op, found: set[OpId]) -> bool:
    tensors = [value for value in op.inputs if draft.weight(value) is None]
    return all(_begins(draft, value) or _is_of(draft, value, found) for value in tensors)


def _begins(draft: Draft, value: int | None) -> bool:
    made = draft.producer(value)
    return made is not None and made.type == "RESHAPE" and _leaves_out(draft, made)


def _leaves_out(draft: Draft, op: Op) -> bool:
    """Of two axes of size 1 in front, the batch may be the one that is left."""
    inside, outside = draft.shape(op.inputs[0]), draft.shape(op.outputs[0])
    return inside == (1, *outside) and outside[:1] not in ((), (1,))


def _is_of(draft: Draft, value: int | None, found: set[OpId]) -> bool:
    made = draft.producer(value)
    return made is not None and made.id in found


def _ends(draft: Draft, op: Op, found: set[OpId]) -> bool:
    """Whether all that take its result are of the region, or put the axis back."""
    shape = draft.shape(op.outputs[0])
    users = [user for user, _ in draft.consumers(op.outputs[0])]
    return op.outputs[0] not in draft.outputs and all(
        user.id in found or (user.type == "RESHAPE" and draft.shape(user.outputs[0]) == (1, *shape)) for user in users
    )


def _can_have_it(draft: Draft, op: Op) -> bool:
    if op.id in draft.opaque or _moved(op) is None or len(op.outputs) != 1:
        return False
    rank = len(draft.shape(op.inputs[0]))
    tensors = [value for value in op.inputs if draft.weight(value) is None]
    shapes = [draft.shape(value) for value in (*tensors, op.outputs[0])]
    if op.type in ("RESHAPE", *_FIRST_ALONE):
        # A reshape that touches the axis itself begins or ends something.
        return tensors == [op.inputs[0]] and not _leaves_out(draft, op) and shapes[-1] != (1, *shapes[0])
    constants = [len(draft.shape(value)) for value in op.inputs if draft.weight(value) is not None]
    return bool(tensors) and all(len(shape) == rank for shape in shapes) and max(constants, default=0) <= rank


# What may change the number of axes.
_FIRST_ALONE = ("STRIDED_SLICE", "FULLY_CONNECTED", "TRANSPOSE", *(spec.name for spec in REDUCTIONS))


def _moved(op: Op) -> _Moved | None:
    spec = ops.by_name(op.type)
    if op.type in _AXES or spec is None:
        return _AXES.get(op.type)
    return _same if spec.is_elementwise or spec.is_of_single_numbers else None
