"""Weights as expressions: the same small language over file tensors on one side and Keras variables on the other.

Constant folding never computes: it writes down how a constant is made. What a batch norm does to a kernel, what
``DEQUANTIZE`` does to a file tensor and what a layout change does to either are all :class:`Apply` nodes, whose
arithmetic (forwards and backwards) belongs to the operator's :class:`~tflrecover.ops.spec.OpSpec`. Evaluating a file's
expression gives the canonical weight; solving a Keras expression for a variable is the restore step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tflrecover.ir import short_name
from tflrecover.tolerances import RELATIVE_HALF_STEP

Array = NDArray[Any]
Shape = tuple[int, ...]
Key = int | str


class Function(Protocol):
    """What an expression needs to know of an operator."""

    @property
    def name(self) -> str:
        """Name to show."""

    def compute(self, args: Sequence[Array], attributes: Mapping[str, Any]) -> Array:
        """The operator's one output."""


@dataclass(frozen=True, slots=True, eq=False)
class Weight:
    """A constant array that may depend on leaves. ``shape`` and ``dtype`` are static."""

    shape: Shape
    dtype: str | int

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """Every leaf once, by its key, in order of first appearance."""
        return ()


@dataclass(frozen=True, slots=True, eq=False)
class Leaf(Weight):
    """A constant tensor of the file (``key`` is its index) or a Keras variable (``key`` is its unique path)."""

    key: Key
    name: str = ""

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """Itself."""
        return (self,)


@dataclass(frozen=True, slots=True, eq=False)
class Literal(Weight):
    """A constant that belongs to nobody: written in the code of the model, or made by a rule.

    ``digits`` is the type whose few digits it has, where it was computed of such numbers.
    """

    array: Array
    digits: str = ""

    @staticmethod
    def of(array: Any, dtype: str | None = None, of: Sequence[Weight] = ()) -> Literal:
        """A literal of anything that numpy takes; ``of`` is what it was computed of."""
        made = np.asarray(array, dtype=dtype)
        few = (kept for part in of for kept in written(part) if kept in RELATIVE_HALF_STEP)
        return Literal(made.shape, made.dtype.name, made, next(few, ""))


@dataclass(frozen=True, slots=True, eq=False)
class Apply(Weight):
    """An operator applied to weights."""

    function: Function
    args: tuple[Weight, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    # Asked for again and again while rules and equations look for unknowns, so that no walk must find them.
    _leaves: tuple[Leaf, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Finds the leaves: those of its operands are known."""
        object.__setattr__(self, "_leaves", _together([arg.leaves for arg in self.args]))

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """Those of the operands."""
        return self._leaves


def _together(listed: Sequence[tuple[Leaf, ...]]) -> tuple[Leaf, ...]:
    some = [leaves for leaves in listed if leaves]
    if len(some) < 2:
        return some[0] if some else ()
    first: dict[Key, Leaf] = {}
    for leaf in chain.from_iterable(some):
        first.setdefault(leaf.key, leaf)
    return tuple(first.values())


def keys(weight: Weight) -> frozenset[Key]:
    """Keys of all leaves."""
    return frozenset(leaf.key for leaf in weight.leaves)


def written(weight: Weight) -> list[str]:
    """The types of the real numbers that the code has in an expression, once for each."""
    literals = (node for node in parts(weight) if isinstance(node, Literal) and node.array.dtype.kind not in "biuOSU")
    return [node.digits or str(node.dtype) for node in literals]


def parts(weight: Weight) -> Iterator[Weight]:
    """An expression and all that it is computed of, each once: in a chain of norms parts are shared."""
    waiting, seen = [weight], set()
    while waiting:
        node = waiting.pop()
        if id(node) not in seen:
            seen.add(id(node))
            yield node
            waiting += node.args if isinstance(node, Apply) else ()


def evaluate(weight: Weight, env: Mapping[Key, Array], memo: dict[int, Array] | None = None) -> Array:
    """The array that ``weight`` stands for.

    Args:
        weight: The expression.
        env: Leaf key to array.
        memo: Results by ``id`` of the node, shared between calls over one ``env``; the caller keeps the nodes alive.
    """
    if not isinstance(weight, Apply):
        return _given(weight, env)
    done: dict[int, Array] = {} if memo is None else memo
    stack = [weight]
    while stack:
        node = stack[-1]
        if id(node) in done:
            stack.pop()
        elif isinstance(node, Apply):
            waiting = False
            for arg in node.args:
                if id(arg) in done:
                    continue
                if isinstance(arg, Apply):
                    stack.append(arg)
                    waiting = True
                else:
                    done[id(arg)] = _given(arg, env)
            if not waiting:
                done[id(node)] = node.function.compute([done[id(arg)] for arg in node.args], node.attributes)
        else:
            done[id(node)] = _given(node, env)
    return done[id(weight)]


def _given(weight: Weight, env: Mapping[Key, Array]) -> Array:
    """What is not computed."""
    if isinstance(weight, Literal):
        return weight.array
    assert isinstance(weight, Leaf)
    return env[weight.key]


def rms(array: Array) -> float:
    """Root mean square of all numbers, computed in float64; 0 of an empty array."""
    return float(np.sqrt(np.mean(np.square(np.asarray(array, np.float64))))) if array.size else 0.0


def recipe(weight: Weight, named: Callable[[str], str] = short_name) -> str:
    """The expression as one line for a human.

    Args:
        weight: The expression.
        named: What is shown of the name of a tensor or a variable.
    """
    if isinstance(weight, Leaf):
        return named(weight.name) or (f"tensor {weight.key}" if isinstance(weight.key, int) else weight.key)
    if isinstance(weight, Literal):
        return (
            np.array2string(weight.array, threshold=4, edgeitems=1)
            if weight.array.size <= 4
            else f"constant{list(weight.shape)}"
        )
    if isinstance(weight, Apply):
        if pattern := weight.attributes.get("pattern"):
            return f"{recipe(weight.args[0], named)}: {pattern}"
        return f"{weight.function.name.lower()}({', '.join(recipe(arg, named) for arg in weight.args)})"
    raise TypeError(f"not a weight: {weight!r}")
