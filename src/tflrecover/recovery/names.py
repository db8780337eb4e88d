"""Names of layers: from the file's tensors where they say something, else from what the layer is."""

from __future__ import annotations

import re
from collections import Counter

from tflrecover.ir import short_name

# What converters and TensorFlow call the operators inside a layer; TensorFlow's own types begin with a capital.
_INSIDE = re.compile(
    r"([A-Z]\w*|add|mul|sub|truediv|convolution|depthwise|separable_conv2d|relu6?|sigmoid|tanh|silu|swish|gelu|softmax"
    r"|conv2d|conv2d_transpose|batchnorm|matmul|mean|pad|reshape|transpose|strided_slice|concat|resize|max_pool2d"
    r"|avg_pool2d|call|while|cond|body|moments|squeeze|stack|tile|split|einsum|pow|rsqrt|square)(_\d+)?(:\d+)?"
)
_ILLEGAL = re.compile(r"[^A-Za-z0-9_.\-]+")


def legal(name: str) -> str:
    """A name as Keras and TensorFlow take it; ``""`` where nothing is left."""
    name = _ILLEGAL.sub("_", re.sub(r":0$", "", name)).strip("_")
    return name if re.match(r"[A-Za-z0-9.]", name) else ""


def layer_name(tensor: str) -> str:
    """The layer's part of a tensor's name: ``model/block_1/conv2d/Relu;model/…`` is ``block_1_conv2d``.

    Returns:
        ``""`` where the name says nothing of a layer.
    """
    parts = [part for part in short_name(tensor).split("/") if part]
    while len(parts) > 1 and _INSIDE.fullmatch(parts[-1]):
        parts.pop()
    if len(parts) > 1:
        # The first is the model's own.
        parts = parts[1:]
    if len(parts) == 1 and _INSIDE.fullmatch(parts[0]):
        return ""
    return legal("_".join(dict.fromkeys(parts)))


def snake_case(kind: str) -> str:
    """As Keras names a layer by its class: ``Conv2D`` is ``conv2d``, ``ZeroPadding2D`` ``zero_padding2d``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", kind).lower()


class Names:
    """Gives each name once.

    Args:
        promised: Names that are kept for inputs and outputs.
    """

    def __init__(self, promised: tuple[str, ...] = ()) -> None:
        self._taken = set(promised)
        self._counts: Counter[str] = Counter()

    def promised(self, name: str) -> str:
        """A name that was kept; :meth:`unique` gives it once."""
        self._taken.discard(name)
        return name

    def unique(self, wanted: str) -> str:
        """The name, with a number behind it where it is taken."""
        name = wanted
        while name in self._taken:
            self._counts[wanted] += 1
            name = f"{wanted}_{self._counts[wanted]}"
        self._taken.add(name)
        return name
