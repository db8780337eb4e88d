"""A layer that is called on each step of a sequence.

``TIME_DISTRIBUTED(x, …)`` has the batch first and the steps second; ``layer`` is the operator that works on one step,
and what follows ``x`` are its constants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tflrecover.ir import Shape
from tflrecover.ops.spec import Attributes, Builder, KerasBuilder, OpSpec, Part
from tflrecover.weight import Array


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """The operator that works on one step; see :class:`tflrecover.ops.spec.Part`.

    Attributes:
        type: Its type.
        attributes: Its own.
        dtype: Type of its result.
        output_shape: Shape of its result.
        shapes: Of its operands.
        keras: What makes its layers.
        args: What it is called on, once it is.
        results: How many it has.
    """

    type: str
    attributes: Attributes
    dtype: str
    output_shape: Shape
    shapes: tuple[Shape, ...]
    keras: KerasBuilder
    args: tuple[Any, ...] = ()
    results: int = 1

    def shape(self, slot: int) -> Shape:
        """Of an operand."""
        return self.shapes[slot]

    def made(self, builder: Any, args: tuple[Any, ...]) -> Any:
        """What a builder makes of it."""
        return self.keras(builder, replace(self, args=args))


@dataclass(frozen=True, slots=True, eq=False)
class _Distributed:
    """Makes layers as another builder does, each called on every step."""

    builder: Builder

    def layer(
        self,
        kind: str,
        x: Any,
        weights: Sequence[Array] = (),
        call: Mapping[str, Any] | None = None,
        **arguments: Any,
    ) -> Any:
        given = {name: value for name, value in arguments.items() if value is not None}
        layer = self.builder.unbuilt(kind, **given)
        return self.builder.layer("TimeDistributed", x, weights=weights, call=call, layer=layer)

    def helper(self, kind: str, x: Any, **arguments: Any) -> Any:
        return self.builder.helper("TimeDistributed", x, layer=self.builder.unbuilt(kind, **arguments))

    def reshaped(self, x: Any, before: Shape, after: Shape) -> Any:
        if len(after) == 2:
            return self.layer("Flatten", x)
        return self.layer("Reshape", x, target_shape=after[1:])


class _Looks:
    """Makes nothing, and has nothing but layers on one tensor."""

    def layer(self, kind: str, x: Any, **arguments: Any) -> Any:
        return self._same(x)

    def helper(self, kind: str, x: Any, **arguments: Any) -> Any:
        return self._same(x)

    def reshaped(self, x: Any, before: Shape, after: Shape) -> Any:
        return self._same(x)

    @staticmethod
    def _same(x: Any) -> Any:
        if not isinstance(x, _Looks):
            raise TypeError
        return x


def is_of_layers(step: Step, constants: Sequence[Array | None]) -> bool:
    """Whether an operator is layers on its first operand, and no function."""
    look = _Looks()
    try:
        return step.made(look, (look, *constants)) is look
    # What is not there is asked for in as many ways as there are operators.
    except Exception:
        return False


def _keras(builder: Builder, part: Part) -> Any:
    step: Step = part.attributes["layer"]
    return step.made(_Distributed(builder), part.args)


# Made by :mod:`tflrecover.recovery.distributed` alone.
TIME_DISTRIBUTED = OpSpec("TIME_DISTRIBUTED", keras=_keras, roles=("input", "*constants"), declared=("layer",))

SPECS = (TIME_DISTRIBUTED,)
