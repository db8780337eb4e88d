"""``RESHAPE(TILE(RESHAPE(x)))``, each row with an axis of its own that is repeated, is an upsampling.

Keras writes ``UpSampling1D``, ``2D`` and ``3D`` so, one axis after the other; that of a single step is a
``RepeatVector``.
"""

from __future__ import annotations

from tflrecover.ir import Op
from tflrecover.rewrite.draft import Draft, merged_origins
from tflrecover.rewrite.match import maker

_RANKS = range(3, 6)


def fuse_upsampling(draft: Draft) -> int:
    """What repeats along the axes between batch and channels becomes one layer."""
    count = 0
    for back in draft.ordered("RESHAPE"):
        found = _repeated(draft, back)
        if found is None:
            continue
        x, axis, times, parts = found
        vector, (batch, *sizes) = maker(draft, x, "RESHAPE"), draft.shape(x)
        if vector is not None and len(sizes) == 2 and draft.shape(vector.inputs[0]) == (batch, sizes[1]):
            origins = merged_origins(vector, *parts, back)
            made = back.evolve(type="REPEAT_VECTOR", inputs=vector.inputs[:1], attributes={"n": times}, origins=origins)
            draft.replace(made)
            count += 1
            continue
        size = [1] * (len(draft.shape(x)) - 2)
        x = _past_once(draft, x)
        before = maker(draft, x, "UPSAMPLING")
        if before is not None and draft.only_consumer(x) is not None and before.attributes["size"][axis - 1] == 1:
            draft.remove(before.id)
            size, parts = list(before.attributes["size"]), (before, *parts)
        size[axis - 1] = times
        inputs = before.inputs if before in parts else (x,)
        attributes, origins = {"size": tuple(size)}, merged_origins(*parts, back)
        draft.replace(back.evolve(type="UPSAMPLING", inputs=inputs, attributes=attributes, origins=origins))
        count += 1
    return count


def _past_once(draft: Draft, x: int) -> int:
    """What is before two reshapes that lead back to its shape: an axis that is repeated once."""
    back = maker(draft, x, "RESHAPE")
    apart = None if back is None else maker(draft, back.inputs[0], "RESHAPE")
    value = None if apart is None else apart.inputs[0]
    is_same = value is not None and draft.only_consumer(x) is not None and draft.shape(value) == draft.shape(x)
    return value if value is not None and is_same else x


def _repeated(draft: Draft, back: Op) -> tuple[int, int, int, tuple[Op, ...]] | None:
    """What is repeated, along which axis, how many times, and by which operators."""
    tile = maker(draft, back.inputs[0], "TILE")
    apart = None if tile is None else maker(draft, tile.inputs[0], "RESHAPE")
    if tile is None or apart is None or apart.inputs[0] is None:
        return None
    repeated = [axis for axis, n in enumerate(tile.attributes["multiples"]) if n != 1]
    shape = draft.shape(apart.inputs[0])
    if len(repeated) != 1 or len(shape) not in _RANKS or not 2 <= repeated[0] < len(shape):
        return None
    (unit,), axis = repeated, repeated[0] - 1
    times = int(tile.attributes["multiples"][unit])
    is_apart = draft.shape(apart.outputs[0]) == (*shape[:unit], 1, *shape[unit:])
    is_back = draft.shape(back.outputs[0]) == (*shape[:axis], shape[axis] * times, *shape[unit:])
    return (apart.inputs[0], axis, times, (apart, tile)) if is_apart and is_back else None
