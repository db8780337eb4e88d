"""``BATCH_TO_SPACE(CONV(SPACE_TO_BATCH(x, d, p)), d, c) = CONV(x, dilation d, padding p - c)``.

Also where a convolution over steps stands, between two RESHAPEs, as one over an image with an axis of size 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from tflrecover.ir import Op, Shape
from tflrecover.ops.window import named_padding
from tflrecover.rewrite.draft import Draft, merged_origins
from tflrecover.rewrite.writer import Writer


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
    """The convolution between blocks to batch and back.

    Attributes:
        to_batch: What puts the blocks into the batch.
        conv: The convolution.
        back: What puts them back.
        unit: Where among the image's own axes RESHAPEs around the convolution put one of size 1; None without them.
    """

    to_batch: Op
    conv: Op
    back: Op
    unit: int | None


def _found(draft: Draft, back: Op) -> _Between | None:
    after, conv = _past_reshape(draft, back.inputs[0])
    if conv is None or not _is_plain(conv) or draft.only_consumer(conv.outputs[0]) is None:
        return None
    if after is not None and draft.only_consumer(after.outputs[0]) is None:
        return None
    # What is before it stays for others that take it.
    before, to_batch = _past_reshape(draft, conv.inputs[0])
    if to_batch is None or to_batch.type != "SPACE_TO_BATCH_ND" or to_batch.id in draft.opaque:
        return None
    if to_batch.attributes["block_shape"] != back.attributes["block_shape"] or (before is None) != (after is None):
        return None
    units = _units(draft, before, conv, after, len(back.attributes["block_shape"]))
    return _Between(to_batch, conv, back, units[0]) if units else None


def _past_reshape(draft: Draft, value: int | None) -> tuple[Op | None, Op | None]:
    """``(the RESHAPE that makes a value, what is before it)``."""
    op = draft.producer(value)
    if op is None or op.type != "RESHAPE":
        return None, op
    return op, draft.producer(op.inputs[0])


def _units(draft: Draft, before: Op | None, conv: Op, after: Op | None, block: int) -> list[int | None]:
    """What :attr:`_Between.unit` may be; nothing where the axes of the blocks do not fit the convolution's."""
    rank = len(conv.attributes["kernel_size"])
    if before is None or after is None:
        return [None] if block == rank else []
    steps = draft.shape(before.inputs[0])
    image, result = draft.shape(conv.inputs[0]), draft.shape(conv.outputs[0])
    if block != 1 or rank != 2 or len(steps) != 3 or len(draft.shape(after.outputs[0])) != 3:
        return []
    return [unit for unit in (0, 1) if _image(steps, unit) == image and result[1 + unit] == 1]


def _image(shape: Shape, unit: int | None) -> Shape:
    return shape if unit is None else (*shape[: 1 + unit], 1, *shape[1 + unit :])


def _fuse(draft: Draft, found: _Between) -> None:
    conv, back = found.conv, found.back
    pads = zip(found.to_batch.attributes["paddings"], back.attributes["crops"], strict=True)
    padding = [(a - c, b - d) for (a, b), (c, d) in pads]
    rate = list(back.attributes["block_shape"])
    if found.unit is not None:
        rate.insert(found.unit, 1)
        padding.insert(found.unit, (0, 0))
    x, result = found.to_batch.inputs[0], draft.shape(back.outputs[0])
    given, made = _image(draft.shape(x), found.unit), _image(result, found.unit)
    attributes = {**conv.attributes, "dilation_rate": tuple(rate), "padding": tuple(padding)}
    # SAME was declared, but its numbers depend on the dilation and on the size.
    attributes["padding"] = named_padding(given[1:-1], attributes)
    draft.remove(back.id)
    writer = Writer(draft, conv.evolve(outputs=back.outputs, origins=merged_origins(conv, found.to_batch, back)))
    y = writer.add(str(conv.type), (writer.reshaped(x, given), *conv.inputs[1:]), made, **attributes)
    writer.finish(writer.reshaped(y, result))


def _is_plain(op: Op) -> bool:
    if op.type not in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        return False
    attributes = op.attributes
    return attributes["padding"] == "valid" and {*attributes["strides"], *attributes["dilation_rate"]} == {1}
