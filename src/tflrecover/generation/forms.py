"""Arguments of one call, with the tensors and literals taken out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import keras
import numpy as np

from tflrecover.generation.arguments import default, of_layer
from tflrecover.generation.literals import INLINE, Unwritable, counting, literal, zeros
from tflrecover.generation.steps import Argument, Built, Made, Several, Slot, Tensor, Tree
from tflrecover.recovery.builder import NestedModel
from tflrecover.recovery.layers import is_tensor

# Sizes of a shape are numbers of their own.
_LONG = 3


class Source(Protocol):
    """What arguments become a part of."""

    @property
    def numbers(self) -> Mapping[int, int]:
        """Of tensors and layers that were made, by their ids."""

    @property
    def written_arguments(self) -> Mapping[str, Sequence[str]]:
        """Per class of layers the arguments that any call of it is given."""

    @property
    def models(self) -> Mapping[int, str]:
        """Functions that make models that layers call, by the ids of these."""

    def constant(self, value: np.ndarray) -> str:
        """Source of a large array."""


@dataclass(frozen=True, slots=True)
class Told:
    """An argument that is told by what a layer is called on."""

    source: str


@dataclass(eq=False)
class FormMaker:
    """Takes the tensors and literals out of the arguments of one call."""

    writer: Source
    inputs: list[int] = field(default_factory=list)
    literals: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    defaults: list[str] = field(default_factory=list)

    def raw(self, name: str, source: str, default: str = "", *, is_placed: bool = True) -> Argument:
        """A literal as an argument."""
        self.names.append(name)
        self.defaults.append(default)
        self.literals.append(source)
        return Argument(name, Slot(len(self.literals) - 1), is_placed)

    def tree(self, value: Any, name: str, default: str = "", *, is_inside: bool = False) -> Tree:
        """Numbers that stand in a row are one literal; in a table, as of paddings, each is one."""
        if is_tensor(value):
            self.inputs.append(self.writer.numbers[id(value)])
            return Tensor(len(self.inputs) - 1)
        if isinstance(value, NestedModel):
            self.raw(name, self.writer.models[id(value)])
            return Built(len(self.literals) - 1)
        if isinstance(value, keras.layers.Layer):
            return self._layer(value)
        if isinstance(value, (list, tuple)) and (is_inside or len(value) >= _LONG or any(map(_is_structure, value))):
            brackets = "[]" if isinstance(value, list) else "()"
            return Several(brackets, tuple(self.tree(one, name, is_inside=True) for one in value))
        return self.raw(name, self.source(value), default).tree

    def source(self, value: Any) -> str:
        """Of anything but a tensor."""
        if isinstance(value, np.ndarray) and value.size > 1 and (source := zeros(value) or counting(value)):
            return source
        if isinstance(value, np.ndarray) and value.size > INLINE:
            return self.writer.constant(value)
        if isinstance(value, Told):
            return value.source
        # A type of TensorFlow's can be given by its name.
        return literal(value.name if type(value).__name__ == "DType" else value)

    def _layer(self, layer: Any) -> Tree:
        """A layer that another is given, such as the cell of a recurrent one."""
        kind = type(layer)
        if getattr(keras.layers, kind.__name__, None) is not kind:
            raise Unwritable(f"{kind.__name__} is no layer of Keras's")
        target = f"layers.{kind.__name__}"
        return Made(target, tuple(self.constructor(kind, of_layer(layer), target)))

    def constructor(self, kind: Any, given: dict[str, Any], target: str) -> list[Argument]:
        """Arguments that any layer of the class writes, in the order of the signature."""
        made: list[Argument] = []
        order = {name: place for place, name in enumerate(inspect.signature(kind).parameters)}
        known = dict.fromkeys((*self.writer.written_arguments[target], *given))
        wanted = sorted(known, key=lambda name: order.get(name, len(order)))
        for name in wanted:
            usual = default(kind, name)
            value = given.get(name, usual)
            # A number alone does not say that it is an axis.
            is_placed = usual is inspect.Parameter.empty and order.get(name) == len(made) and name != "axes"
            source = "" if usual is inspect.Parameter.empty else self.source(usual)
            made.append(Argument(name, self.tree(value, name, source), is_placed))
        return made

    def call(self, function: Callable[..., Any], args: Sequence[Any], arguments: dict[str, Any]) -> list[Argument]:
        """Arguments of a function, with the names that it has for them."""
        names = _parameters(function)
        placed = [
            Argument(name, self.tree(arg, name), True)
            for name, arg in zip((*names, *[""] * len(args)), args, strict=False)
        ]
        return placed + [Argument(name, self.tree(arg, name)) for name, arg in arguments.items() if arg is not None]


def _is_structure(value: Any) -> bool:
    return isinstance(value, (list, tuple, np.ndarray, keras.layers.Layer)) or is_tensor(value)


def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return ()
