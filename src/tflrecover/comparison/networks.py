"""Two networks of one kind, and inputs of the same sizes for both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from tflrecover.align.pins import pin
from tflrecover.comparison.inputs import OTHER_SIZES, SIZES, FreeShape, end_names, fits, free_shape, resized
from tflrecover.comparison.side import FileSide, ModelSide, Side, named_by_layer, with_paths
from tflrecover.errors import InputMismatch, InvalidModel, WeightlessFile
from tflrecover.ir import Shape
from tflrecover.ops.quantize import real_dtype
from tflrecover.rewrite.variables import unfilled
from tflrecover.tflite import TFLiteModel, flattened

if TYPE_CHECKING:
    from tflrecover.tracing.inputs import Form

_MOST_INPUTS = 16


@dataclass(frozen=True, slots=True)
class Input:
    """An input of a network.

    Attributes:
        name: ``""`` where it has none.
        shape: None for free sizes; None where nothing is known of it.
        built: The shape that a model was built with, where it is known.
        dtype: Of its numbers; None where it takes what it gets.
    """

    name: str
    shape: FreeShape | None
    built: FreeShape | None
    dtype: str | None


class Network(Protocol):
    """A file or a model that can be looked at on inputs of any sizes that it takes."""

    @property
    def inputs(self) -> tuple[Input, ...]:
        """Its inputs."""

    def on(self, shapes: Sequence[Shape], dtypes: Sequence[str]) -> Side:
        """The network on inputs of those shapes, and of those types where it takes any.

        Raises:
            InvalidModel: it cannot be called on them.
        """


@dataclass(frozen=True, eq=False)
class FileNetwork:
    """A file.

    Attributes:
        file: The file.
        is_second: Whether its operators are named like layers.
    """

    file: TFLiteModel
    is_second: bool

    @cached_property
    def inputs(self) -> tuple[Input, ...]:
        """By the names of the signature, else of the tensors."""
        values = [self.file.graph.values[v] for v in self.file.graph.inputs]
        names = end_names(self.file, "inputs")
        return tuple(Input(n, free_shape(v), None, real_dtype(v)) for n, v in zip(names, values, strict=True))

    def on(self, shapes: Sequence[Shape], dtypes: Sequence[str]) -> Side:
        """Shapes are inferred anew where the file leaves sizes free."""
        ends = zip(self.file.graph.inputs, self.inputs, shapes, strict=True)
        free = {value: shape for value, own, shape in ends if own.shape is not None and None in own.shape}
        graph = resized(flattened(self.file), free)
        return FileSide(self.file, with_paths(graph) if self.is_second else graph, is_numbered=False)


@dataclass(frozen=True, eq=False)
class ModelNetwork:
    """A Keras model, called in the likeliest of its ways.

    Attributes:
        model: The model.
        is_second: Whether its values keep their own names.
    """

    model: Any
    is_second: bool

    @cached_property
    def _form(self) -> Form:
        from tflrecover.tracing.inputs import declared_inputs, forms

        declared = declared_inputs(self.model)
        if declared is not None:
            return forms(self.model, len(declared))[0]
        found = list(_known_forms(self.model))
        if not found:
            raise InputMismatch(f"model {self.model.name!r} does not say its inputs: call it once on some")
        return next((form for form in found if all(shape is not None for shape in form.built)), found[0])

    @cached_property
    def inputs(self) -> tuple[Input, ...]:
        """As the model declares them, or was built with them."""
        form = self._form
        return tuple(map(Input, form.names, form.shapes, form.built, form.dtypes))

    def on(self, shapes: Sequence[Shape], dtypes: Sequence[str]) -> Side:
        """Traced anew."""
        from tflrecover.tracing import trace_model

        trace = trace_model(self.model, shapes, self._form, dtypes)
        return ModelSide(trace if self.is_second else replace(trace, source=named_by_layer(trace.source)))


def _known_forms(model: Any) -> Iterator[Form]:
    """Ways to call a subclassed model, of few inputs first."""
    from tflrecover.tracing.inputs import forms

    for count in range(1, _MOST_INPUTS):
        try:
            yield from forms(model, count)
        except InputMismatch:
            continue


@dataclass(frozen=True, eq=False)
class Networks:
    """Two networks.

    Attributes:
        first: The one.
        second: The other.
        given: Input number of the first to that of the second, from the mapping.
    """

    first: Network
    second: Network
    given: Mapping[int, int]

    @cached_property
    def inputs(self) -> dict[int, int]:
        """Inputs that names or shapes pair, first to second; the others are left to structure."""
        mine, theirs = self.first.inputs, self.second.inputs
        possible = [[i for i, one in enumerate(mine) if _can_be(one, other)] for other in theirs]
        return pin([one.name for one in mine], [one.name for one in theirs], possible, self.given, numbered=False)

    @cached_property
    def _partners(self) -> tuple[dict[int, Input], dict[int, Input]]:
        """Per side, input number to the other's input to share sizes with; also where it may turn out to be another."""
        mine, theirs, pairs = self.first.inputs, self.second.inputs, dict(self.inputs)
        for j, other in enumerate(theirs):
            free = [i for i, one in enumerate(mine) if i not in pairs and _can_be(one, other)]
            if free and j not in pairs.values():
                pairs[free[0]] = j
        return {i: theirs[j] for i, j in pairs.items()}, {j: mine[i] for i, j in pairs.items()}

    @property
    def has_free_sizes(self) -> bool:
        """Whether something besides the batch is free on both: what is the same on one size may differ on another."""
        return len({tuple(map(tuple, self._shapes(size))) for size in SIZES[:2]}) > 1

    def seen(self, *, again: bool = False) -> tuple[Side, Side]:
        """Both on inputs of the first sizes that both take.

        Args:
            again: Other sizes than before.

        Raises:
            InvalidModel: they take none.
        """
        first_error: InvalidModel | None = None
        for size in OTHER_SIZES if again else (None, *SIZES):
            try:
                mine, theirs = zip(self._shapes(size), self._dtypes(), strict=True)
                return self.first.on(*mine), self.second.on(*theirs)
            except InvalidModel as error:
                first_error = first_error or error
        assert first_error is not None
        raise first_error

    def _sides(self) -> Iterator[list[tuple[Input, Input]]]:
        """Per side, every input beside its partner, or itself."""
        for network, partners in zip((self.first, self.second), self._partners, strict=True):
            yield [(one, partners.get(i, one)) for i, one in enumerate(network.inputs)]

    def _dtypes(self) -> list[list[str]]:
        return [[one.dtype or other.dtype or "float32" for one, other in side] for side in self._sides()]

    def _shapes(self, size: int | None) -> list[list[Shape]]:
        return [[_shape(one, other, size) for one, other in side] for side in self._sides()]


def _can_be(one: Input, other: Input) -> bool:
    return one.shape is None or other.shape is None or fits(one.shape, other.shape)


def _shape(one: Input, other: Input, size: int | None) -> Shape:
    """The sizes that one of two inputs fixes, or that a model was built with, or that size; of a free batch, one."""
    own, partner = one.shape or other.shape, other.shape or one.shape
    if own is None or partner is None:
        raise InputMismatch(f"nothing is known of the shape of input {one.name!r}: call the model once before")
    listed = [own, partner, *((one.built, other.built) if size is None else ())]
    fitting = [shape for shape in listed if shape is not None and len(shape) == len(own)]
    defaults = (1, *(size or SIZES[0] for _ in own[1:]))
    return tuple(
        next((shape[axis] for shape in fitting if shape[axis] is not None), default)
        for axis, default in zip(range(len(own)), defaults, strict=False)
    )


def refuse_weightless(file: TFLiteModel) -> None:
    """Refuses a file whose weights live in variables that nothing fills.

    Raises:
        WeightlessFile: it is one.
    """
    names = unfilled(flattened(file))
    if names:
        raise WeightlessFile(
            f"holds no weights: they live in resource variables that nothing initialises ({', '.join(names[:3])}, …; "
            "converted with from_concrete_functions on a Keras 3 model, or after a conversion that failed?); "
            "convert it again with TFLiteConverter.from_keras_model, in a new process",
            source=file.source,
        )


__all__ = ["FileNetwork", "Input", "ModelNetwork", "Network", "Networks", "refuse_weightless"]
