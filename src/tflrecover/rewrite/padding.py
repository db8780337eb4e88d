"""``CONV(PAD(x, p), padding=q) = CONV(x, padding=p + q)`` when PAD writes zeros around height and width.

A scaling between the two would hide the PAD, and converters take it into the convolution when they can: so do we.
"""

from __future__ import annotations

from tflrecover.ir import Op
from tflrecover.ops.window import window_pads
from tflrecover.rewrite.affine import Pair, compose, pair_of
from tflrecover.rewrite.draft import Draft, merged_origins
from tflrecover.rewrite.forward import absorb, fits, is_padded

# A pool does not see its own padding as data, so a PAD before it is another thing.
_PADDED_WITH_ZEROS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_LARGEST_OF_WINDOWS = ("MAX_POOL_2D", "MAX_POOL_3D")
NEVER_NEGATIVE = ("RELU", "RELU6", "RELU_0_TO_1", "LOGISTIC", "SOFTMAX", "ABS", "SQUARE", "EXP", "SQRT")


def absorb_pads(draft: Draft) -> int:
    """A zero PAD of height and width before a convolution becomes the convolution's own padding.

    Every convolution that takes the PAD absorbs it for itself; the PAD goes when nobody else takes it.
    """
    count = 0
    for op in draft.of_type(*_PADDED_WITH_ZEROS):
        pad, pair, between = _behind(draft, op.inputs[0])
        weights = _with_scaling(draft, op, pair)
        if pad is None or weights is None:
            continue
        shape = draft.shape(op.inputs[0])
        own = window_pads(shape[1:-1], op.attributes)
        outer = pad.attributes["padding"][1:-1]
        total = tuple((a + c, b + d) for (a, b), (c, d) in zip(outer, own, strict=True))
        draft.replace(
            op.evolve(
                inputs=(pad.inputs[0], *weights),
                attributes={**op.attributes, "padding": total},
                origins=merged_origins(op, *between, pad),
                attribute_origins={**op.attribute_origins, "padding": pad.origins[0]},
            )
        )
        count += 1
    return count


def _behind(draft: Draft, value: int | None) -> tuple[Op | None, Pair, tuple[Op, ...]]:
    """The zero PAD that a value comes from, and the scalings between."""
    pair: Pair = (None, None)
    between: tuple[Op, ...] = ()
    op = draft.producer(value)
    while op is not None and op.type == "AFFINE":
        pair, between = compose(pair_of(draft, op), pair), (*between, op)
        op = draft.producer(op.inputs[0])
    return (op if op is not None and _is_spatial_zero_pad(op) else None), pair, between


def _with_scaling(draft: Draft, op: Op, pair: Pair) -> tuple[int | None, ...] | None:
    """Kernel and bias of a convolution with a scaling before it inside; None when it cannot take it."""
    if pair == (None, None):
        return op.inputs[1:]
    kernel, bias = draft.weight(op.inputs[1]), draft.weight(op.inputs[2])
    if kernel is None or bias is None or not fits(draft.values, op, pair):
        return None
    if pair[1] is not None and is_padded(draft.values, op):
        return None
    return tuple(draft.constant(weight) for weight in absorb(op, kernel, bias, pair))


def _is_spatial_zero_pad(op: Op) -> bool:
    # One that could not be read has no value.
    if op.type != "PAD" or op.attributes.get("value") != 0.0:
        return False
    padding = op.attributes["padding"]
    return len(padding) >= 3 and padding[0] == padding[-1] == (0, 0)


def pad_with_zeros(draft: Draft) -> int:
    """``MAX_POOL(PAD(x, v)) = MAX_POOL(PAD(x, 0))`` where v < 0 ≤ x: no window has its largest number in the padding.

    PyTorch pads pools with -∞; who writes such a network in Keras takes ``ZeroPadding2D``.
    """
    count = 0
    for op in draft.of_type("PAD"):
        value, made = op.attributes["value"], draft.producer(op.inputs[0])
        if not isinstance(value, float) or not value < 0 or made is None or made.type not in NEVER_NEGATIVE:
            continue
        users = [user for user, _ in draft.consumers(op.outputs[0])]
        if op.outputs[0] in draft.outputs or not all(_sees_data(user, op) for user in users):
            continue
        # A value of its own, for its numbers are those of no tensor of the file.
        old = draft.values[op.outputs[0]]
        zeros = draft.new_value(old.shape, old.dtype, old.name)
        draft.replace(op.evolve(outputs=(zeros,), attributes={**op.attributes, "value": 0.0}))
        draft.redirect(op.outputs[0], zeros)
        count += 1
    return count


def _sees_data(pool: Op, pad: Op) -> bool:
    """Whether every window of a pool reaches beyond the padding before it."""
    if pool.type not in _LARGEST_OF_WINDOWS:
        return False
    batch, *spatial, channels = pad.attributes["padding"]
    reaches = zip(spatial, pool.attributes["pool_size"], strict=True)
    return batch == channels == (0, 0) and all(max(amounts) < size for amounts, size in reaches)
