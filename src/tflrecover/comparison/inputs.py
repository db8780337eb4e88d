"""The inputs of a file and of a model brought together: which is which, and on which sizes both are looked at.

Sizes that the file leaves free are placeholders in it; both sides are then looked at on sizes that the model accepts.
Where neither names nor shapes tell which input is which, every order that makes a difference is tried.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, permutations
from typing import TYPE_CHECKING, Any

from tflrecover.align.pins import numbered_only, pin
from tflrecover.errors import InputMismatch, InvalidModel, StaleMapping, TFLRecoverError
from tflrecover.ir import Graph, Shape, Value
from tflrecover.mapping import Mapping as UserMapping
from tflrecover.ops.quantize import real_dtype
from tflrecover.tflite import TFLiteModel

if TYPE_CHECKING:
    from tflrecover.tracing import Trace
    from tflrecover.tracing.inputs import Form

FreeShape = tuple[int | None, ...]

_MOST_ORDERS = 120
# Tried one after the other for sizes that neither the file nor the model fixes.
SIZES = (16, 64, 256, 1)
# For a second look: odd ones first, because windows and strides do otherwise there, then ones that can be halved.
OTHER_SIZES = (23, 24, 96, 288)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """One way to see file and model on the same inputs.

    Attributes:
        trace: The model on those inputs.
        pairs: File input number to Keras input number, where it is certain or told by what the model accepts.
        shapes: Value id to shape of the file's inputs whose sizes it leaves free.
        is_certain: Whether names and shapes alone tell which input is which.
        order: Keras input number to file input number.
        form: How the model is called.
        numbered: File inputs that are paired by a number in the signature alone.
    """

    trace: Trace
    pairs: Mapping[int, int]
    shapes: Mapping[int, Shape]
    is_certain: bool
    order: tuple[int, ...]
    form: Form
    numbered: frozenset[int] = frozenset()

    def resized(self, graph: Graph) -> Graph:
        """The file's graph on those shapes."""
        return resized(graph, self.shapes)


def resized(graph: Graph, shapes: Mapping[int, Shape]) -> Graph:
    """A file's graph with inputs of other shapes, by value id."""
    if not shapes:
        return graph
    values = dict(graph.values)
    values.update({value: replace(values[value], shape=shape) for value, shape in shapes.items()})
    return Graph.build(graph.ops(), values, graph.inputs, graph.outputs, str(graph.graph["name"]))


def end_names(file: TFLiteModel, end: str) -> tuple[str, ...]:
    """Names of inputs or outputs: the signature's, else the tensors' own."""
    signature = file.signature()
    by_value = {v: k for k, v in getattr(signature, end).items()} if signature else {}
    return tuple(by_value.get(v, file.graph.values[v].name) for v in getattr(file.graph, end))


def readings(file: TFLiteModel, model: Any, user: UserMapping, shapes: Sequence[Shape] | None) -> Iterator[Reading]:
    """Every reading that the model accepts, the likeliest first; one where nothing is left open.

    Args:
        file: The file.
        model: The model.
        user: The mapping.
        shapes: One per input of the file, wanted where sizes are free; None: any.

    Raises:
        InputMismatch: the model takes another number of inputs.
        InvalidModel: it can be called in none of these ways; the error is that of the likeliest.
    """
    from tflrecover.tracing.inputs import forms

    names = end_names(file, "inputs")
    free = [free_shape(file.graph.values[v]) for v in file.graph.inputs]
    first_error: TFLRecoverError | None = None
    is_any = False
    try:
        listed = forms(model, len(free), names)
    except InputMismatch as error:
        raise InputMismatch(f"{file.source} has {len(free)} inputs {list(names)}: {error}") from error
    for form in listed:
        try:
            given = user.pairs("inputs", list(form.names), names)
        except StaleMapping as error:
            # In another way of calling the model its inputs may have these names.
            first_error = first_error or error
            continue
        for attempt in _attempts(file, form, free, given, names):
            found = _accepted(file, model, form, shapes, *attempt)
            if isinstance(found, Reading):
                is_any = True
                yield replace(found, numbered=_numbered(file, form, free, given, names))
            else:
                first_error = first_error or found
    if not is_any and first_error is not None:
        raise first_error


def free_shape(value: Value) -> FreeShape:
    """A tensor's shape, None for sizes that the file leaves free."""
    sizes = value.shape_signature or value.shape or ()
    return tuple(None if n == -1 else n for n in sizes)


def _attempts(
    file: TFLiteModel, form: Form, free: Sequence[FreeShape], given: Mapping[int, int], names: Sequence[str]
) -> Iterator[tuple[tuple[int, ...], dict[int, int], bool]]:
    """Orders (Keras input number to file input number) worth trying, the pairs each stands for, if they are certain."""
    possible = [_possible(form, j, free) for j in range(len(free))]
    pairs = pin(names, form.names, possible, given, numbered=file.signature() is not None)
    kinds = [(shape, file.graph.values[v].dtype) for shape, v in zip(free, file.graph.inputs, strict=True)]
    for order in _orders(kinds, pairs):
        # Inputs that differ in shape or type are told apart by the model's accepting this order.
        rest = [kinds[i] for i in range(len(kinds)) if i not in pairs]
        told = {i: j for j, i in enumerate(order) if i not in pairs and rest.count(kinds[i]) == 1}
        yield order, {**pairs, **told}, len(pairs) == len(kinds)


def _numbered(
    file: TFLiteModel, form: Form, free: Sequence[FreeShape], given: Mapping[int, int], names: Sequence[str]
) -> frozenset[int]:
    if file.signature() is None:
        return frozenset()
    possible = [_possible(form, j, free) for j in range(len(free))]
    return numbered_only(names, form.names, possible, given)


def _possible(form: Form, number: int, free: Sequence[FreeShape]) -> list[int]:
    """File inputs that a Keras input can be: those with the sizes that it was built with, else those that fit."""
    built, declared = form.built[number], form.shapes[number]
    for shape in ((None, *built[1:]) if built else None, declared):
        found = [] if shape is None else [i for i, mine in enumerate(free) if fits(shape, mine)]
        if found:
            return found
    return list(range(len(free)))


def fits(declared: FreeShape, shape: FreeShape) -> bool:
    """Whether two shapes can be the same once their free sizes are fixed."""
    return len(declared) == len(shape) and all(
        n is None or m is None or n == m for n, m in zip(declared, shape, strict=True)
    )


def _orders(kinds: Sequence[Any], pairs: Mapping[int, int]) -> list[tuple[int, ...]]:
    """File inputs in Keras's order: those that are certain in their place, the others in every order worth trying."""
    back = {j: i for i, j in pairs.items()}
    rest = [i for i in range(len(kinds)) if i not in pairs]
    found: dict[tuple[Any, ...], tuple[int, ...]] = {}
    for tried in islice(permutations(rest), _MOST_ORDERS):
        free = iter(tried)
        order = tuple(back[j] if j in back else next(free) for j in range(len(kinds)))
        found.setdefault(tuple(kinds[i] for i in order), order)
    return list(found.values())


def _accepted(
    file: TFLiteModel,
    model: Any,
    form: Form,
    wanted: Sequence[Shape] | None,
    order: tuple[int, ...],
    pairs: dict[int, int],
    is_certain: bool,
) -> Reading | InvalidModel:
    """The reading with the first sizes that the model accepts, or why it accepts none."""
    first_error: InvalidModel | None = None
    for found in _traces(file, model, form, order, (None, *SIZES), wanted):
        if not isinstance(found, InvalidModel):
            trace, shapes = found
            return Reading(trace, pairs, shapes, is_certain, order, form)
        first_error = first_error or found
    assert first_error is not None
    return first_error


def has_free_sizes(file: TFLiteModel, reading: Reading) -> bool:
    """Whether something besides the batch is free on both sides: what is the same on one size may differ on another."""
    return len(_shapes(file, reading.form, reading.order, SIZES[:2])) > 1


def on_other_sizes(file: TFLiteModel, model: Any, reading: Reading) -> Iterator[Reading]:
    """The same reading on other sizes that the model accepts."""
    for found in _traces(file, model, reading.form, reading.order, OTHER_SIZES):
        if not isinstance(found, InvalidModel):
            trace, shapes = found
            yield replace(reading, trace=trace, shapes=shapes)


def _traces(
    file: TFLiteModel,
    model: Any,
    form: Form,
    order: tuple[int, ...],
    sizes: Sequence[int | None],
    wanted: Sequence[Shape] | None = None,
) -> Iterator[tuple[Trace, dict[int, Shape]] | InvalidModel]:
    """The model on each of these sizes and shapes of the file's inputs, or why it does not accept them."""
    from tflrecover.tracing import trace_model

    dtypes = [real_dtype(value) for value in _values(file, order)]
    for shapes in _shapes(file, form, order, sizes, wanted):
        try:
            trace = trace_model(model, shapes, form, dtypes)
        except InvalidModel as error:
            yield error
        else:
            yield trace, dict(_resizes(file, order, shapes))


def _values(file: TFLiteModel, order: tuple[int, ...]) -> list[Value]:
    """The file's inputs in Keras's order."""
    return [file.graph.values[file.graph.inputs[i]] for i in order]


def _shapes(
    file: TFLiteModel,
    form: Form,
    order: tuple[int, ...],
    sizes: Sequence[int | None],
    wanted: Sequence[Shape] | None = None,
) -> Collection[tuple[Shape, ...]]:
    """Shapes to call the model with, one set for each size that makes a difference.

    The model's own sizes where fixed, the file's, what is wanted, what it was built with (where the size is None), or
    that size.
    """
    given = [None if wanted is None else wanted[i] for i in order]
    inputs = list(zip(form.shapes, form.built, _values(file, order), given, strict=True))
    return dict.fromkeys(
        tuple(_shape(declared, built, value, size, shape) for declared, built, value, shape in inputs) for size in sizes
    )


def _shape(
    declared: FreeShape | None, built: FreeShape | None, value: Value, size: int | None, wanted: Shape | None
) -> Shape:
    mine, stored = free_shape(value), value.shape or ()
    if declared is not None and len(declared) != len(mine):
        return tuple(1 if n is None else n for n in declared)
    shape = []
    for axis, fixed in enumerate(mine):
        own = declared[axis] if declared is not None else None
        known = built[axis] if built is not None and axis < len(built) and size is None else None
        # A free batch is what it is in the file: one.
        other = stored[axis] if axis == 0 else known or size or SIZES[0]
        if wanted is not None and len(wanted) == len(mine):
            other = wanted[axis]
        shape.append(own if own is not None else fixed if fixed is not None else other)
    return tuple(shape)


def _resizes(file: TFLiteModel, order: tuple[int, ...], shapes: tuple[Shape, ...]) -> Iterator[tuple[int, Shape]]:
    for j, i in enumerate(order):
        number = file.graph.inputs[i]
        mine = free_shape(file.graph.values[number])
        if len(mine) == len(shapes[j]) and None in mine:
            yield number, tuple(m if n is None else n for n, m in zip(mine, shapes[j], strict=True))
