"""One side of a comparison: a file or a traced model, whatever can be brought to canonical form."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from tflrecover import ops
from tflrecover.comparison.inputs import end_names
from tflrecover.errors import InvalidFile, TFLRecoverError
from tflrecover.ir import Graph, short_name
from tflrecover.ops.spec import Reader
from tflrecover.rewrite.contents import Contents
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.lower import lower
from tflrecover.tflite import TFLiteModel
from tflrecover.weight import Array, Key

if TYPE_CHECKING:
    from tflrecover.tracing import Trace


class Side(Protocol):
    """What a comparison must know of a network, looked at on inputs of certain sizes."""

    @property
    def name(self) -> str:
        """The file, as given, or the model's name."""

    @property
    def source(self) -> Graph:
        """The graph in the operators of its own dialect."""

    @property
    def input_names(self) -> tuple[str, ...]:
        """One per input; ``""`` where there is none."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """One per output; ``""`` where there is none."""

    @property
    def layer_outputs(self) -> tuple[str, ...]:
        """Names of the layers that make the outputs; empty where they are not known."""

    @property
    def is_numbered(self) -> bool:
        """Whether names like ``output_2`` are numbers of the other side's outputs."""

    @property
    def layers(self) -> Mapping[str, Any]:
        """Layer path to Keras layer."""

    @property
    def contents(self) -> Mapping[Key, Array]:
        """Numbers of the leaves that the weights are made of."""

    def draft(self, custom_ops: Mapping[str, str]) -> Draft:
        """The graph in canonical terms, before any other rule; custom operators may be given a meaning."""

    def blamed(self) -> AbstractContextManager[None]:
        """In which rules run: what they trip over is an error of this side."""


@dataclass(frozen=True, eq=False)
class FileSide:
    """A file.

    Attributes:
        file: The file.
        source: Its flattened graph, on the sizes that it is looked at.
        is_numbered: Whether its signature numbers its outputs in the order of the other side.
    """

    file: TFLiteModel
    source: Graph
    is_numbered: bool
    layer_outputs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file, as given."""
        return self.file.source

    @property
    def input_names(self) -> tuple[str, ...]:
        """From the signature, else the tensors' own."""
        return end_names(self.file, "inputs")

    @property
    def output_names(self) -> tuple[str, ...]:
        """From the signature, else the tensors' own."""
        return end_names(self.file, "outputs")

    @property
    def layers(self) -> Mapping[str, Any]:
        """A file has operators only."""
        return {}

    @cached_property
    def contents(self) -> Mapping[Key, Array]:
        """Constants by tensor index."""
        return Contents(self.source)

    def draft(self, custom_ops: Mapping[str, str]) -> Draft:
        """Lowered from TFLite's operators."""

        def reader(name: str | int) -> Reader | None:
            return ops.tflite_reader(custom_ops.get(str(name), name))

        with self.blamed():
            return lower(self.source, reader, self.contents)

    @contextlib.contextmanager
    def blamed(self) -> Iterator[None]:
        """Operators that cannot be brought together are the file's fault: no converter writes what trips a rule up."""
        try:
            yield
        except TFLRecoverError:
            raise
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            raise InvalidFile(
                f"has operators that do not fit together ({told}); it is damaged, or this is a bug to report",
                source=self.file.source,
            ) from error


@dataclass(frozen=True, eq=False)
class ModelSide:
    """A traced Keras model."""

    trace: Trace
    is_numbered: bool = False

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.trace.model.name)

    @property
    def source(self) -> Graph:
        """In TensorFlow's operators."""
        return self.trace.source

    @property
    def input_names(self) -> tuple[str, ...]:
        """As traced."""
        return self.trace.input_names

    @property
    def output_names(self) -> tuple[str, ...]:
        """As traced."""
        return self.trace.output_names

    @property
    def layer_outputs(self) -> tuple[str, ...]:
        """As traced."""
        return self.trace.layer_outputs

    @property
    def layers(self) -> Mapping[str, Any]:
        """As traced."""
        return self.trace.layers

    @cached_property
    def contents(self) -> Mapping[Key, Array]:
        """Variables by path, as they are now."""
        from tflrecover.tracing.present import present

        return dict(present(self.trace.variables).items())

    def draft(self, custom_ops: Mapping[str, str]) -> Draft:
        """Lowered from TensorFlow's operators."""
        return self.trace.draft()

    def blamed(self) -> AbstractContextManager[None]:
        """A trace is never damaged: what trips a rule up is a bug, and shown as one."""
        return contextlib.nullcontext()


def with_paths(graph: Graph) -> Graph:
    """A file's graph with a layer path for every operator: the name of its output, or its number."""
    names = {op.id: short_name(graph.values[op.outputs[0]].name) if op.outputs else "" for op in graph.ops()}
    counts = Counter(names.values())
    paths = {op_id: name if name and counts[name] == 1 else f"#{op_id}" for op_id, name in names.items()}
    return _changed(graph, [replace(op, layer=paths[op.id]) for op in graph.ops()], graph.values)


def used(side: Side, custom_ops: Mapping[str, str]) -> Draft:
    """The draft of a side without operators whose results nobody takes: another has taken some of them over."""
    draft = side.draft(custom_ops)
    draft.prune()
    return draft


def named_by_layer(graph: Graph) -> Graph:
    """A traced graph in which values are called after the layers that make them, as those of a file are."""
    values = dict(graph.values)
    for op in graph.ops():
        values.update({value: replace(values[value], name=op.layer) for value in op.outputs if op.layer is not None})
    return _changed(graph, graph.ops(), values)


def _changed(graph: Graph, ops: Any, values: Mapping[int, Any]) -> Graph:
    return Graph.build(ops, values, graph.inputs, graph.outputs, str(graph.graph["name"]))


__all__ = ["FileSide", "ModelSide", "Side", "named_by_layer", "with_paths"]
