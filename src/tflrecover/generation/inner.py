"""Models that layers call: what the functions that make them are called, and which of them are equal."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from tflrecover.generation.steps import Scope

# Per argument of a layer: the function's name, a sentence for its docstring, and what it is given first.
_ROLES = {
    "body": ("loop_body", "One turn of a loop: its next states, and what is stacked.", "index"),
    "condition": ("loop_condition", "Whether a loop goes on.", "index"),
    "then": ("then_branch", "What is computed if so.", "test"),
    "otherwise": ("else_branch", "What is computed if not.", "test"),
}


def described(role: str, count: int, states: int, taken: Sequence[str]) -> tuple[str, str, tuple[str, ...]]:
    """Name, sentence and names of the inputs of a model that a layer calls.

    Args:
        role: The layer's argument.
        count: How many inputs it has.
        states: How many of them, behind the first, are states of a loop.
        taken: Names of other functions.
    """
    stem, sentence, first = _ROLES[role]
    others = [*_numbered("state", states), *_numbered("input", count - 1 - states, "inputs")]
    return _numbered_from(stem, taken), sentence, (first, *others)


def _numbered(word: str, count: int, single: str = "") -> list[str]:
    return [f"{word}_{i}" for i in range(1, count + 1)] if count > 1 else [single or word] * count


def _numbered_from(stem: str, taken: Sequence[str]) -> str:
    number, name = 1, stem
    while name in taken:
        number += 1
        name = f"{stem}_{number}"
    return name


def canonical(scope: Scope, inputs: Sequence[Any]) -> Hashable:
    """What is equal for models that do the same, their weights aside.

    Args:
        scope: What makes the model.
        inputs: Tensors of Keras that it is made on.
    """
    order = [*scope.inputs, *(value for step in scope.steps for value in step.outputs)]
    numbers = {value: i for i, value in enumerate(order)}
    ends = tuple((tuple(tensor.shape), str(tensor.dtype)) for tensor in inputs)
    steps = tuple((step.form, tuple(numbers[value] for value in step.inputs), step.literals) for step in scope.steps)
    return ends, steps, tuple(numbers[value] for value in scope.outputs)
