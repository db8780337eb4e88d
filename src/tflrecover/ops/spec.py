"""What an operator is: one :class:`OpSpec` per operator, kept in the file of its family."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from tflrecover.errors import EvaluationError
from tflrecover.ir import Quantization, Shape
from tflrecover.weight import Apply, Array, Literal, Weight

Attributes = Mapping[str, Any]
# What operands raise that do not belong together, or options that are none.
_MISFITS = (ValueError, IndexError, TypeError, KeyError, ArithmeticError)
# Of one family with functions of single numbers, but along an axis, or with slopes that have axes.
_ALONG_AXES = ("SOFTMAX", "SOFTMAX_OF_AXES", "LOG_SOFTMAX", "PRELU")
Operand = int | Weight | None
Inverse = Callable[[int, Array, Sequence[Array], Attributes], Array]
"""``(slot, target, args, attributes)`` to the operand at ``slot`` that makes the operator give ``target``."""


def comparable(value: Any) -> Any:
    """A value of an attribute with tuples for lists, as differences have it."""
    return tuple(map(comparable, value)) if isinstance(value, (list, tuple)) else value


class Unsupported(ValueError):
    """An operator has what cannot be told in the vocabulary; the message says what, as the end of a sentence."""


class Source(Protocol):
    """An operator as the file or the trace has it, seen by the reader of its spec."""

    @property
    def type(self) -> str | int:
        """Its type in its own dialect."""

    @property
    def attributes(self) -> Attributes:
        """Its attributes in its own dialect."""

    @property
    def inputs(self) -> tuple[int | None, ...]:
        """Value ids."""

    def shape(self, slot: int) -> Shape:
        """Static shape of an operand."""

    def output_shape(self) -> Shape | None:
        """Static shape of the first result where the dialect knows it."""

    def dtype(self, slot: int) -> str | int:
        """Type of an operand."""

    def output_dtype(self, slot: int = 0) -> str | int:
        """Type of a result."""

    def output_quantization(self) -> Quantization | None:
        """How the first result is quantized, or None."""

    def weight(self, slot: int) -> Weight | None:
        """The operand as an expression, or None when it is an activation or left out."""

    def constant(self, slot: int) -> Array | None:
        """Contents of a structural operand (a shape, a padding, an axis), or None when it is not a constant."""

    @property
    def custom_options(self) -> bytes:
        """Raw options of a custom operator."""


class Writer(Protocol):
    """Writes operators of the file's dialect in the place of one that stands for many."""

    def __call__(self, kind: str, *inputs: int | None, results: int = 1, **attributes: Any) -> tuple[int, ...]:
        """Adds an operator on values; returns the ids of its results."""

    def constant(self, array: Any) -> int:
        """A value for a constant."""

    def because(self, reason: str) -> None:
        """Why what is written from here on may have no counterpart in Keras; told where it differs."""


@dataclass(frozen=True, slots=True)
class Lowered:
    """An operator in canonical terms.

    Attributes:
        type: Canonical type.
        inputs: Value ids, weights, or None where an optional operand is left out.
        attributes: In the field's terms.
        activation: Type of the activation fused behind it, or None.
        shape: Shape of its first output when the reader knows better than the dialect.
        channels_first: Whether its first operand and its result have their channels on axis 1; everything else is told
            as for channels on the last axis.
        results: How many of the dialect's results it has; None: all.
    """

    type: str
    inputs: tuple[Operand, ...]
    attributes: Attributes = field(default_factory=dict)
    activation: str | None = None
    shape: Shape | None = None
    channels_first: bool = False
    results: int | None = None


class Part(Protocol):
    """A canonical operator that is to become a part of a Keras model."""

    @property
    def type(self) -> str:
        """Its type."""

    @property
    def attributes(self) -> Attributes:
        """In the field's terms."""

    @property
    def args(self) -> tuple[Any, ...]:
        """Per operand a Keras tensor, an array where it is constant, or None where it is left out."""

    @property
    def dtype(self) -> str:
        """Type of its first result."""

    @property
    def results(self) -> int:
        """How many results are used."""

    @property
    def output_shape(self) -> Shape:
        """Shape of its first result in the file."""

    def shape(self, slot: int) -> Shape:
        """Shape of an operand in the file."""


class Nested(Protocol):
    """A model inside another."""

    @property
    def outputs(self) -> Sequence[Any]:
        """Keras tensors."""


class Builder(Protocol):
    """Makes a Keras model, one call after another."""

    def layer(
        self,
        kind: Any,
        *inputs: Any,
        weights: Sequence[Array] = (),
        call: Mapping[str, Any] | None = None,
        **arguments: Any,
    ) -> Any:
        """Calls a new layer of that class on inputs.

        Args:
            kind: Name in ``keras.layers``, or a class of one's own that Keras can save.
            inputs: Keras tensors, or one list of them for layers that merge.
            weights: In the order of the layer's own ``weights``.
            call: What it is called with by name, besides.
            arguments: Of the layer's constructor; None is its default.
        """

    def helper(self, kind: str, *inputs: Any, **arguments: Any) -> Any:
        """The same for a layer that only prepares what the operator's own layer takes."""

    def unbuilt(self, kind: str, **arguments: Any) -> Any:
        """A layer that another takes as an argument."""

    def ops(self, name: str, *args: Any, **arguments: Any) -> Any:
        """Calls a function of ``keras.ops``, for what no layer does."""

    def tensorflow(self, name: str, *args: Any, **arguments: Any) -> Any:
        """Calls a function of TensorFlow (``"raw_ops.Roll"``), for what Keras lacks; ``arguments`` are no tensors."""

    def reshaped(self, x: Any, before: Shape, after: Shape) -> Any:
        """A tensor in another shape; a free batch stays free."""

    def repeated(self, constant: Any, x: Any) -> Any:
        """A constant for every example of the batch of a tensor of the same rank; a tensor stays as it is."""

    def broadcast(self, x: Any, before: Shape, after: Shape) -> Any:
        """A tensor repeated to a shape; a free batch stays free."""

    def sliced(self, x: Any, index: tuple[Any, ...]) -> Any:
        """``x[index]``."""

    def nested(self, graph: Any, inputs: Sequence[Any]) -> Nested:
        """A model for a graph that an operator has of its own.

        Args:
            graph: As the operator's attributes have it.
            inputs: Per input of the graph ``(shape, type)``, a tensor that it is like, or an array that it is.
        """

    def control(self, kind: str, inputs: Sequence[Any], /, **arguments: Any) -> Any:
        """Calls a new layer that calls models (:mod:`tflrecover.recovery.control`)."""

    def state(self, initial: Array) -> Any:
        """What the call before left, and before the first one ``initial``."""

    def keep(self, state: Any, left: Any) -> None:
        """Leaves a tensor for the next call, as what that state is."""


class Calls(Protocol):
    """What a formula is written in: functions that numpy and ``keras.ops`` both have; :class:`Builder` is one."""

    def ops(self, name: str, *args: Any, **arguments: Any) -> Any:
        """Calls a function."""

    def sliced(self, x: Any, index: tuple[Any, ...]) -> Any:
        """``x[index]``."""


Formula = Callable[[Calls, Sequence[Any], Attributes], Any]
"""``(calls, operands, attributes)`` to the result of an operator, or a tuple of its results."""

KerasBuilder = Callable[[Builder, Part], Any]
"""Adds an operator to a Keras model and returns its result, or a tuple of results; raises :class:`Unsupported`."""

Reader = Callable[[Source], "Lowered | None"]
"""Reads an operator of one dialect into canonical terms; None when it cannot (the operator then stays opaque)."""


@dataclass(frozen=True, slots=True)
class OpSpec:
    """Everything that the library knows of one operator.

    Attributes:
        name: TFLite's builtin name, or a canonical one of our own (AFFINE).
        evaluate: ``(args, attributes)`` to the list of results, in numpy; None when there is no reference evaluation.
        tflite: Reader of the operator as files have it.
        tf: Readers of the TensorFlow operators that mean the same, by TensorFlow type.
        roles: Names of the operands; a last name that starts with ``*`` takes the rest.
        weights: Roles that are weights: they are never followed by the alignment, but solved for.
        commutative: Whether the operands may be exchanged.
        inverse: See :data:`Inverse`; None when it cannot be inverted.
        infer_shape: ``(operand shapes, attributes)`` to the shape of the first output.
        result: Dtype of the first result, or the number of the operand that has it; an attribute ``dtype`` says more.
        alike: Whether all other outputs have that shape, too.
        declared: Attributes that a user writes, in the order in which a difference is looked for.
        family: Operators of one family may stand for each other (a changed activation, another merge).
        lower: ``(declared attributes, operand shapes)`` to the numbers that decide what is computed; attributes that
            give the same numbers are the same. None: the declared attributes decide.
        parts: For an operator with several results that are parts of its operand: the operator that each of them
            is, and ``(operand shape, attributes, number of results)`` to its attributes. None: they belong together.
        expand: For an operator that stands for many: writes them, and returns the values that are its results; raises
            :class:`Unsupported` where it has options that cannot be written out (it then stays opaque).
        keras: What it is in a Keras model; None when there is nothing that it could be.
        computed: The same where an operand is computed that decides what is done (a shape, an axis), so that it cannot
            be read into canonical terms: operands and attributes are then the file's own.
        formula: What it computes, in operators that both dialects have; sides are compared by these.
    """

    name: str
    evaluate: Callable[[Sequence[Array], Attributes], Sequence[Array]] | None = None
    tflite: Reader | None = None
    tf: Mapping[str, Reader] = field(default_factory=dict)
    roles: tuple[str, ...] = ("*inputs",)
    weights: frozenset[str] = frozenset()
    commutative: bool = False
    inverse: Inverse | None = None
    infer_shape: Callable[[Sequence[Shape], Attributes], Shape] | None = None
    result: str | int = 0
    alike: bool = False
    declared: tuple[str, ...] = ()
    family: str = ""
    lower: Callable[[Attributes, Sequence[Shape]], Attributes] | None = None
    parts: tuple[str, Callable[[Shape, Attributes, int], Sequence[Attributes]]] | None = None
    expand: Callable[[Source, Writer], tuple[int, ...]] | None = None
    keras: KerasBuilder | None = None
    computed: KerasBuilder | None = None
    formula: Formula | None = None

    def compute(self, args: Sequence[Array], attributes: Attributes) -> Array:
        """The operator's first result on arrays."""
        return self.results(args, attributes)[0]

    def results(self, args: Sequence[Any], attributes: Attributes) -> list[Array]:
        """The operator's results on arrays; None stands for an operand that is left out.

        Raises:
            EvaluationError: the arrays do not fit.
        """
        if self.evaluate is None:
            raise NotImplementedError(f"{self.name} has no reference evaluation")
        try:
            return [np.asarray(result) for result in self.evaluate(args, attributes)]
        except _MISFITS as error:
            shapes = [np.shape(arg) for arg in args]
            raise EvaluationError(f"{self.name} cannot be computed on arrays of shapes {shapes}: {error}") from error

    @property
    def is_elementwise(self) -> bool:
        """Whether it works number by number on operands that broadcasting repeats."""
        return self.name == "SELECT_V2" or (self.family == "merge" and not self.declared)

    @property
    def is_of_single_numbers(self) -> bool:
        """Whether it works number by number on its first operand, wherever that stands."""
        return self.family in ("activation", "unary") and self.name not in _ALONG_AXES

    def role(self, slot: int) -> str:
        """Name of an operand."""
        if slot < len(self.roles) and not self.roles[slot].startswith("*"):
            return self.roles[slot]
        return self.roles[-1].removeprefix("*")

    def __call__(self, *args: Weight, shape: Shape | None = None, **attributes: Any) -> Weight:
        """The operator applied to weights, as an expression; of literals alone, a literal."""
        if all(isinstance(arg, Literal) for arg in args):
            arrays = [arg.array for arg in args if isinstance(arg, Literal)]
            return Literal.of(self.compute(arrays, attributes), of=args)
        if shape is None:
            shapes = [arg.shape for arg in args]
            shape = self.infer_shape(shapes, attributes) if self.infer_shape else np.broadcast_shapes(*shapes)
        return Apply(shape, self.result_dtype(args, attributes), self, args, attributes)

    def result_dtype(self, args: Sequence[Weight], attributes: Attributes) -> str | int:
        """Dtype of the first result on these operands."""
        if "dtype" in attributes:
            return str(attributes["dtype"])
        return args[self.result].dtype if isinstance(self.result, int) else self.result
