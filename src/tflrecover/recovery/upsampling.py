"""Reshapes and repetitions that give each place along some axes several times in a row are an upsampling.

Keras writes ``UpSampling1D``, ``2D`` and ``3D`` so, one axis after the other, and a converter merges the reshapes
between them; that of a single step is a ``RepeatVector``, as soon as it is known to be one: what gives the last step of
a sequence may be a reshape in the file, and a layer only later.
"""

from __future__ import annotations

import math

import numpy as np

from tflrecover.ir import Op, Shape
from tflrecover.recovery.moves import places
from tflrecover.rewrite.draft import Draft, merged_origins
from tflrecover.rewrite.match import bare, maker
from tflrecover.rewrite.writer import Writer
from tflrecover.weight import Array

_RANKS = range(3, 6)
_REPEATS = ("TILE", "BROADCAST_TO")


def fuse_upsampling(draft: Draft) -> int:
    """What repeats along the axes between batch and channels becomes one layer."""
    count = 0
    for op_id in [op.id for op in draft.ordered("RESHAPE", *_REPEATS)][::-1]:
        back = draft.ops.get(op_id)
        if back is None or op_id in draft.opaque or len(draft.shape(back.outputs[0])) not in _RANKS:
            continue
        steps = _steps(draft, back)
        while steps and not _fused(draft, back, steps):
            steps.pop()
        count += bool(steps)
    return count


def _steps(draft: Draft, back: Op) -> list[Op]:
    """What moves and repeats in a row, the last first; the first is no mere reshape, which is one for itself."""
    steps = [back]
    while (before := maker(draft, steps[-1].inputs[0], "RESHAPE", *_REPEATS)) is not None:
        if draft.only_consumer(before.outputs[0]) is None:
            break
        steps.append(before)
    return steps if any(step.type in _REPEATS for step in steps) and len(steps) > 1 else []


def _fused(draft: Draft, back: Op, steps: list[Op]) -> bool:
    source, result = steps[-1].inputs[0], draft.shape(back.outputs[0])
    if source is None or draft.weight(source) is not None or len(steps) < 2:
        return False
    index = places(draft, source, steps)
    times = _times(index)
    before = tuple(n // m for n, m in zip(result, times, strict=True))
    if times[0] != 1 or times[-1] != 1 or math.prod(times) == 1 or math.prod(before) != math.prod(draft.shape(source)):
        return False
    whole = np.arange(math.prod(before)).reshape(before)
    for axis, n in enumerate(times):
        whole = np.repeat(whole, n, axis)
    if not np.array_equal(whole, index):
        return False
    _replace(draft, back, source, before, times, steps)
    return True


def _times(index: Array) -> Shape:
    """How often the first place along each axis is there in a row."""
    times = []
    for axis, n in enumerate(index.shape):
        along = index[tuple(slice(None) if i == axis else 0 for i in range(index.ndim))]
        differs = along != along[0]
        times.append(int(differs.argmax()) if differs.any() else n)
    return tuple(times)


def _replace(draft: Draft, back: Op, source: int, before: Shape, times: Shape, steps: list[Op]) -> None:
    origins = merged_origins(*steps[::-1])
    x = Writer(draft, back).reshaped(source, before)
    attributes = {"size": times[1:-1]}
    draft.replace(back.evolve(type="UPSAMPLING", inputs=(x,), attributes=attributes, origins=origins))


def repeat_vectors(draft: Draft) -> int:
    """A vector that is given an axis of its own and repeated along that is a ``RepeatVector``."""
    count = 0
    for op in draft.of_type("UPSAMPLING"):
        source, n = bare(draft, op.inputs[0]), max(op.attributes["size"])
        batch, *_, units = draft.shape(op.outputs[0])
        if source is not None and draft.shape(source) == (batch, units) and n == math.prod(op.attributes["size"]):
            write = Writer(draft, op)
            vectors = write.add("REPEAT_VECTOR", (source,), (batch, n, units), n=n)
            write.finish(write.reshaped(vectors, draft.shape(op.outputs[0])))
            count += 1
    return count
