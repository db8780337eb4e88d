"""A graph in canonical terms, made of Keras's layers and functions one operator after another."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from tflrecover import ops
from tflrecover.ir import Op, Shape
from tflrecover.ops.quantize import real_dtype
from tflrecover.ops.spec import Attributes, Unsupported
from tflrecover.recovery import flex
from tflrecover.recovery.builder import ModelBuilder, NestedModel
from tflrecover.recovery.layers import is_tensor
from tflrecover.recovery.names import Names, Scheme
from tflrecover.recovery.sizes import Sizes
from tflrecover.rewrite.draft import Draft
from tflrecover.weight import evaluate

_HALVES = ("float16", "bfloat16")


@dataclass(frozen=True, slots=True)
class _Part:
    """See :class:`tflrecover.ops.spec.Part`."""

    op: Op
    draft: Draft
    args: tuple[Any, ...]

    @property
    def type(self) -> str:
        return str(self.op.type)

    @property
    def attributes(self) -> Attributes:
        return self.op.attributes

    @property
    def dtype(self) -> str:
        found = real_dtype(self.draft.values[self.op.outputs[0]])
        # The file computes with halves in float32.
        return "float32" if found in _HALVES else found

    @property
    def results(self) -> int:
        return len(self.op.outputs)

    @property
    def output_shape(self) -> Shape:
        return self.draft.shape(self.op.outputs[0])

    def shape(self, slot: int) -> Shape:
        return self.draft.shape(self.op.inputs[slot])


@dataclass(eq=False)
class Assembly:
    """One graph while it is made.

    Attributes:
        draft: The graph.
        builder: What makes the calls.
        is_free: Whether first axes of what nothing makes are taken for a free batch.
        known: Value to what was made for it.
        missing: Operators that cannot be made, and why; also those of graphs inside.
        outputs: Names for the layers that make the outputs; empty lets them be named as any other.
        unknown: Values that nothing makes: what follows from them is no fault of its own.
        sizes: Looks at the sizes of results; None in a graph inside, where all are known.
    """

    draft: Draft
    builder: ModelBuilder
    is_free: bool
    known: dict[int, Any]
    missing: list[tuple[Op, str]] = field(default_factory=list)
    outputs: Sequence[str] = ()
    unknown: set[int | None] = field(default_factory=set)
    sizes: Sizes | None = None

    def __post_init__(self) -> None:
        self.builder.inner = self.nested
        self._scheme = Scheme(self.draft.values[op.outputs[0]].name for op in self.draft.ops.values() if op.outputs)

    def run(self) -> None:
        """Makes every operator."""
        for op in self.draft.ordered():
            self._add(op)

    def nested(self, graph: Draft, given: Sequence[Any]) -> NestedModel:
        """See :meth:`tflrecover.ops.spec.Builder.nested`."""
        inputs = [_input(one, i) for i, one in enumerate(given)]
        builder = ModelBuilder(Names())
        known = dict(zip(graph.inputs, inputs, strict=True))
        inner = Assembly(graph, builder, self.is_free, known, self.missing)
        count = len(self.missing)
        inner.run()
        if len(self.missing) > count:
            raise _IncompleteGraph
        tensors = [one for one in inputs if is_tensor(one)]
        outputs = [inner.tensor(value, tensors[0]) for value in graph.outputs]
        return NestedModel(keras.Model(tensors, outputs), tensors, outputs, builder.calls)

    def tensor(self, value: int, like: Any) -> Any:
        """What was made for a value; a constant as a tensor that hangs on another one."""
        made = self.arg(value)
        return made if is_tensor(made) else self.builder.constant(made, like)

    def _add(self, op: Op) -> None:
        self.builder.wanted = self._name(op)
        try:
            results = self._made(op)
        except Unsupported as error:
            self._miss(op, str(error))
        except _IncompleteGraph:
            self._give_up(op)
        # Keras and TensorFlow raise whatever they like at operands that do not fit.
        except Exception as error:
            if not self.unknown.intersection(op.inputs):
                self._miss(op, _first_line(error))
            self._give_up(op)
        else:
            self.known.update(zip(op.outputs, results, strict=False))
            if self.unknown.intersection(op.inputs):
                self.unknown.update(op.outputs)

    def _made(self, op: Op) -> Sequence[Any]:
        is_opaque = op.id in self.draft.opaque
        # What cannot be read has a type of its own, and the file's as its origin.
        spec = ops.by_name(op.origins[0].type if is_opaque and op.origins else op.type)
        build = None if spec is None else spec.computed if is_opaque else spec.keras
        is_flex = is_opaque and op.custom and flex.is_known(op)
        if build is None and not is_flex:
            raise Unsupported(self.draft.reasons.get(op.id, "it is not known"))
        args = tuple(self.arg(value) for value in op.inputs)
        if is_flex:
            made = flex.called(self.builder, op, args)
        else:
            assert build is not None
            made = build(self.builder, _Part(op, self.draft, args))
        results = made if isinstance(made, (list, tuple)) else [made]
        if self.sizes is not None:
            self.sizes.look(op, args, results)
        return results

    def _miss(self, op: Op, why: str) -> None:
        self.missing.append((op, why))
        self._give_up(op)

    def _give_up(self, op: Op) -> None:
        """Goes on without an operator, so that every one that is missing is told at once."""
        self.unknown.update(op.outputs)
        self.known.update((value, self._unknown(value)) for value in op.outputs)

    def _unknown(self, value: int) -> Any:
        """Stands for a result that nothing makes."""
        found = self.draft.values[value]
        shape = found.shape or ()
        try:
            dtype = keras.backend.standardize_dtype(str(found.dtype))
        except ValueError:
            # A list, a table or a variable.
            dtype = "float32"
        return keras.KerasTensor((None, *shape[1:]) if self.is_free and shape else shape, dtype=dtype)

    def arg(self, value: int | None) -> Any:
        """What was made for an operand, or the array that it is."""
        weight = self.draft.weight(value)
        if value is not None and weight is not None:
            array, dtype = np.asarray(evaluate(weight, self.draft.env)), real_dtype(self.draft.values[value])
            # What the draft writes of shapes, counts and zeros has a type of its own.
            return array.astype(dtype) if dtype in ("int32", "int64", "bool") and array.dtype.kind in "if" else array
        if value is not None and value not in self.known:
            raise Unsupported(f"its operand {self.draft.values[value].name!r} has no contents, and nothing makes it")
        return None if value is None else self.known[value]

    def _name(self, op: Op) -> str:
        """Of the layer that makes a value; the model's outputs are called after the layers that make them."""
        value = op.outputs[0]
        if self.outputs and self.draft.outputs.count(value) == 1:
            place = self.draft.outputs.index(value)
            # Behind the first output states are kept, by layers of their own.
            if place or not self.draft.has("NEXT_STATE"):
                return self.builder.names.promised(self.outputs[place])
        return self._scheme.layer(self.draft.values[value].name, op.type)


class _IncompleteGraph(Exception):
    """Operators of a graph inside are missing, and were told."""


def _input(given: Any, number: int) -> Any:
    """An input of a graph inside, by its shape and type or after the tensor that it is; an array is itself."""
    if not (is_tensor(given) or isinstance(given, tuple)):
        return given
    shape, dtype = given if isinstance(given, tuple) else (given.shape, given.dtype)
    return keras.Input(batch_shape=shape, dtype=dtype, name=f"input_{number}")


def _first_line(error: Exception) -> str:
    """What went wrong, without what Keras writes around it: the call, and colours for a terminal."""
    told = re.sub(r"\x1b\[\d*m|\{\{.*?\}\} ?|\[Op:.*", "", str(error))
    told = told.rpartition("Error encountered:")[2]
    lines = [line.strip() for line in told.splitlines() if line.strip() and not line.startswith("Exception enc")]
    return f"{type(error).__name__}: {lines[0].rstrip('. ')}" if lines else type(error).__name__
