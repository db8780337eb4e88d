"""Where a person would not cut: inside of what the file calls one block, behind a depthwise convolution, and before an
activation.
"""

from __future__ import annotations

import re
from collections import Counter

from tflrecover.generation.steps import Scope, Step

# ``block_2_expand`` and ``block_2_project`` are of one block.
_BLOCK = re.compile(r".*(?:block|cell|layer|stage|unit|expanded_conv)_?\d+[a-z]?(?=_)", re.IGNORECASE)
_DEPTHWISE = "layers.DepthwiseConv2D"
_ACTIVATIONS = tuple(
    f"layers.{kind}" for kind in ("ReLU", "PReLU", "LeakyReLU", "ELU", "Activation", "Softmax", "BatchNormalization")
)


def joints(scope: Scope) -> set[int]:
    """Tensors between steps that belong together."""
    makers = {value: step for step in scope.steps for value in step.outputs}
    users = {value: step for step in reversed(scope.steps) for value in step.inputs}
    uses = Counter(value for step in scope.steps for value in step.inputs)
    return {value for value in makers if value in users and _joins(makers[value], users[value], uses[value])}


def _joins(maker: Step, user: Step, uses: int) -> bool:
    is_bound = maker.form.target == _DEPTHWISE or user.form.target in _ACTIVATIONS
    if is_bound and uses == 1:
        return True
    if not maker.stems or not user.stems:
        return False
    before, after = _BLOCK.match(maker.stems[-1]), _BLOCK.match(user.stems[0])
    return before is not None and after is not None and before[0] == after[0]
