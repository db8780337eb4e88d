"""Sliding windows: from what a user declares (SAME, a size, a stride) to the numbers that decide what is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tflrecover.ir import Shape
from tflrecover.ops.spec import Attributes

Pads = tuple[tuple[int, int], ...]


def pair(attributes: Attributes, stem: str) -> tuple[int, int]:
    """``(height, width)`` from TFLite's ``<stem>_h…``/``<stem>_w…`` options; ``{}`` marks the letter."""
    return int(attributes[stem.format("h")]), int(attributes[stem.format("w")])


def is_channels_first(attributes: Attributes) -> bool:
    """Whether a TensorFlow operator has its channels on axis 1 (NCHW, NCDHW)."""
    return str(attributes.get("data_format", "")).startswith("NC")


def spatial(per_axis: Sequence[Any], attributes: Attributes) -> tuple[Any, ...]:
    """What a TensorFlow operator says per axis, for its spatial axes only."""
    return tuple(per_axis[2:] if is_channels_first(attributes) else per_axis[1:-1])


def channels_last(shape: Shape, attributes: Attributes) -> Shape:
    """The shape of an operand of a TensorFlow operator with the channels on the last axis."""
    return (shape[0], *shape[2:], shape[1]) if is_channels_first(attributes) else shape


def tf_window(source_attributes: Attributes) -> dict[str, Any]:
    """``strides``, ``dilation_rate``, ``padding`` from the attributes of a TensorFlow window operator."""
    rank = len(source_attributes["strides"])
    padding: Any = str(source_attributes["padding"]).lower()
    if padding == "explicit":
        flat = source_attributes["explicit_paddings"]
        padding = spatial([(flat[2 * i], flat[2 * i + 1]) for i in range(rank)], source_attributes)
    return {
        "strides": spatial(source_attributes["strides"], source_attributes),
        "dilation_rate": spatial(source_attributes.get("dilations", (1,) * rank), source_attributes),
        "padding": padding,
    }


def output_size(size: int, kernel: int, stride: int, dilation: int, padding: Any) -> int:
    """Positions of a window along one axis; ``padding`` is ``"same"``, ``"valid"`` or ``(before, after)``."""
    if padding == "same":
        return -(-size // stride)
    before, after = (0, 0) if padding == "valid" else padding
    return max((size + before + after - (kernel - 1) * dilation - 1) // stride + 1, 0)


def effective_pads(size: int, kernel: int, stride: int, dilation: int, padding: Any) -> tuple[int, int]:
    """Padding that windows really touch, ``(before, after)``: what no window reaches is not padding."""
    positions = output_size(size, kernel, stride, dilation, padding)
    reach = (positions - 1) * stride + (kernel - 1) * dilation + 1
    declared = {"same": max(reach - size, 0) // 2, "valid": 0}
    before = declared[padding] if isinstance(padding, str) else padding[0]
    return before, max(reach - size - before, 0)


def per_axis(padding: Any, rank: int) -> tuple[Any, ...]:
    """The padding of each spatial axis."""
    return (padding,) * rank if isinstance(padding, str) else tuple(padding)


def window_pads(spatial: Sequence[int], attributes: Attributes, kernel: str = "kernel_size") -> Pads:
    """Effective padding of every spatial axis."""
    sizes, strides = attributes[kernel], attributes["strides"]
    dilation = attributes.get("dilation_rate", (1,) * len(sizes))
    modes = per_axis(attributes["padding"], len(sizes))
    return tuple(map(effective_pads, spatial, sizes, strides, dilation, modes))


def named_padding(spatial: Sequence[int], attributes: Attributes) -> Any:
    """The padding as one declares it: the name that gives the same numbers, else the numbers."""
    wanted = lowered_window(attributes, spatial)
    for name in ("valid", "same"):
        if lowered_window({**attributes, "padding": name}, spatial) == wanted:
            return name
    return attributes["padding"]


def window_output(spatial: Sequence[int], attributes: Attributes, kernel: str = "kernel_size") -> tuple[int, ...]:
    """Output size of every spatial axis."""
    sizes, strides = attributes[kernel], attributes["strides"]
    dilation = attributes.get("dilation_rate", (1,) * len(sizes))
    modes = per_axis(attributes["padding"], len(sizes))
    return tuple(map(output_size, spatial, sizes, strides, dilation, modes))


def lowered_window(attributes: Attributes, spatial: Sequence[int], kernel: str = "kernel_size") -> dict[str, Any]:
    """The numbers that decide: sizes, strides, dilation where a size is above 1, and effective padding.

    Strides along an axis with a single window, and dilation of a window of one, change nothing and are left out.
    """
    sizes = attributes[kernel]
    positions = window_output(spatial, attributes, kernel)
    dilation = attributes.get("dilation_rate", (1,) * len(sizes))
    return {
        kernel: sizes,
        "strides": tuple(s if n > 1 else 0 for s, n in zip(attributes["strides"], positions, strict=True)),
        "dilation_rate": tuple(d if k > 1 else 1 for d, k in zip(dilation, sizes, strict=True)),
        "pads": window_pads(spatial, attributes, kernel),
        "positions": positions,
    }
