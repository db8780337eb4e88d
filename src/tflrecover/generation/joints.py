"""Where a person would not cut: inside of what the file calls a block, around a depthwise convolution, before ReLU."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from tflrecover.generation.steps import Scope, Step
from tflrecover.recovery.layers import FakeQuantize

# ``block_2_expand`` and ``block_2_project`` are of one block.
_BLOCK = re.compile(r".*(?:block|cell|layer|stage|unit|expanded_conv)_?\d+[a-z]?(?=_)", re.IGNORECASE)
_DEPTHWISE, _CONVOLUTION = "layers.DepthwiseConv2D", "layers.Conv2D"
_ACTIVATIONS = (
    *(f"layers.{kind}" for kind in ("ReLU", "PReLU", "LeakyReLU", "ELU", "Activation", "Softmax")),
    "layers.BatchNormalization",
    FakeQuantize.__name__,
)


def joints(scope: Scope, channels: Callable[[int], int]) -> set[int]:
    """Tensors between steps that belong together.

    Args:
        scope: The steps.
        channels: Of a tensor the size of its last axis.
    """
    makers = {value: step for step in scope.steps for value in step.outputs}
    users = {value: step for step in reversed(scope.steps) for value in step.inputs}
    uses = Counter(value for step in scope.steps for value in step.inputs)

    def widens(value: int) -> bool:
        """Whether channels are made for a depthwise convolution, and fewer are made of its result."""
        behind = users.get(users[value].outputs[0])
        is_between = users[value].form.target == _DEPTHWISE and makers[value].form.target == _CONVOLUTION
        narrows = behind is not None and behind.form.target == _CONVOLUTION
        return is_between and narrows and behind is not None and channels(behind.outputs[0]) < channels(value)

    between = [value for value in makers if value in users]
    return {
        value
        for value in between
        if _joins(makers[value], users[value], uses[value]) or (uses[value] == 1 and widens(value))
    }


def _joins(maker: Step, user: Step, uses: int) -> bool:
    is_bound = maker.form.target == _DEPTHWISE or user.form.target in _ACTIVATIONS
    if is_bound and uses == 1:
        return True
    if not maker.stems or not user.stems:
        return False
    before, after = _BLOCK.match(maker.stems[-1]), _BLOCK.match(user.stems[0])
    return before is not None and after is not None and before[0] == after[0]
