"""``BATCH_TO_SPACE(CONV(SPACE_TO_BATCH(x, d, p)), d, c) = CONV(x, dilation d, padding p - c)``.

Also where a convolution over steps stands, between two RESHAPEs, as one over an image with an axis of size 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from tflrecover.ir import Op, Shape
from tflrecover.ops.window import named_padding
from tflrecover.rewrite.draft import Draft, merged_origins


def fuse_dilation(draft: Draft) -> int:
    """A VALID convolution with stride 1 between blocks to batch and back becomes a dilated one."""
    count = 0
    for op in draft.of_type("BATCH_TO_SPACE_ND"):
        found = _found(draft, op)
        if found is not None:
            _fuse(draft, found)
            count += 1
    return count


@dataclass(frozen=True)
class _Between:
    """The convolution between blocks to batch and back, and the RESHAPEs around it or None."""

    to_batch: Op
    before: Op | None
    conv: Op
    after: Op | None
    back: Op


def _found(draft: Draft, back: Op) -> _Between | None:
    after, conv = _past_reshape(draft, back.inputs[0])
    if conv is None or not _is_plain(conv) or draft.only_consumer(conv.outputs[0]) is None:
        return None
    before, to_batch = _past_reshape(draft, conv.inputs[0])
    if to_batch is None or to_batch.type != "SPACE_TO_BATCH_ND" or to_batch.id in draft.opaque:
        return None
    if to_batch.attributes["block_shape"] != back.attributes["block_shape"] or (before is None) != (after is None):
        return None
    found = _Between(to_batch, before, conv, after, back)
    return found if _place(draft, found) is not None else None


def _past_reshape(draft: Draft, value: int | None) -> tuple[Op | None, Op | None]:
    """``(the RESHAPE that makes a value, what is before it)``."""
    op = draft.producer(value)
    if op is None or op.type != "RESHAPE" or draft.only_consumer(op.outputs[0]) is None:
        return None, op
    return op, draft.producer(op.inputs[0])


def _place(draft: Draft, found: _Between) -> int | None:
    """The first axis of the image that the blocks run over; 0 when they run over all; None when they do not fit."""
    block, rank = len(found.back.attributes["block_shape"]), len(found.conv.attributes["kernel_size"])
    if found.before is None or found.after is None:
        return 0 if block == rank else None
    steps = draft.shape(found.before.inputs[0])
    image, result = draft.shape(found.conv.inputs[0]), draft.shape(found.conv.outputs[0])
    if block != 1 or rank != 2 or len(steps) != 3 or len(draft.shape(found.after.outputs[0])) != 3:
        return None
    # The axis of size 1 stands before the steps (image[1]) or behind them.
    fits = [place for place in (1, 0) if _image(steps, place) == image and result[2 - place] == 1]
    return fits[0] if fits else None


def _image(steps: Shape, place: int) -> Shape:
    batch, length, channels = steps
    return (batch, 1, length, channels) if place else (batch, length, 1, channels)


def _fuse(draft: Draft, found: _Between) -> None:
    conv, back, place = found.conv, found.back, _place(draft, found)
    assert place is not None
    rank = len(conv.attributes["kernel_size"])
    pads = zip(found.to_batch.attributes["paddings"], back.attributes["crops"], strict=True)
    padding = [(a - c, b - d) for (a, b), (c, d) in pads]
    rate = list(back.attributes["block_shape"])
    if found.before is not None:
        rate.insert(1 - place, 1)
        padding.insert(1 - place, (0, 0))
    assert len(rate) == rank
    attributes = {**conv.attributes, "dilation_rate": tuple(rate), "padding": tuple(padding)}
    inputs, outputs = found.to_batch.inputs[0], back.outputs
    draft.remove(back.id)
    if found.before is not None and found.after is not None:
        given = _image(draft.shape(inputs), place)
        made = _image(draft.shape(back.outputs[0]), place)
        inputs = _reshape(draft, found.before, inputs, given)
        draft.remove(found.after.id)
        outputs = (draft.new_value(made, draft.values[back.outputs[0]].dtype),)
        target = {"target_shape": draft.shape(back.outputs[0])}
        draft.add(found.after.evolve(inputs=outputs, outputs=back.outputs, attributes=target))
    # SAME was declared, but its numbers depend on the dilation and on the size.
    attributes["padding"] = named_padding(draft.shape(inputs)[1:-1], attributes)
    origins = merged_origins(conv, found.to_batch, back)
    draft.replace(
        conv.evolve(inputs=(inputs, *conv.inputs[1:]), outputs=outputs, attributes=attributes, origins=origins)
    )


def _reshape(draft: Draft, like: Op, value: int | None, shape: Shape) -> int:
    made = draft.new_value(shape, draft.values[like.outputs[0]].dtype)
    draft.remove(like.id)
    draft.add(like.evolve(inputs=(value,), outputs=(made,), attributes={"target_shape": shape}))
    return made


def _is_plain(op: Op) -> bool:
    if op.type not in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        return False
    attributes = op.attributes
    return attributes["padding"] == "valid" and {*attributes["strides"], *attributes["dilation_rate"]} == {1}
