"""One file and one model side by side: read, traced, brought to one form, aligned, solved."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from tflrecover import differences, ops
from tflrecover.align import Alignment, Pins, align
from tflrecover.align.pins import pin
from tflrecover.differences import describe
from tflrecover.errors import InputMismatch, WeightlessFile
from tflrecover.ir import Ambiguity, Assignment, ConstantUse, Difference, Graph, Match, Shape
from tflrecover.mapping import Mapping as UserMapping
from tflrecover.mapping import OpName, ResolvedMapping, resolve
from tflrecover.ops.spec import Reader
from tflrecover.rewrite import canonicalize
from tflrecover.rewrite.contents import Contents
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.lower import lower
from tflrecover.tflite import TFLiteModel, flattened, read
from tflrecover.tflite.quantization import quantized
from tflrecover.transfer import Plan, plan, settle
from tflrecover.transfer.given import given_values
from tflrecover.transfer.plan import Variable, constant_uses, leaf_keys
from tflrecover.weight import Key, keys

if TYPE_CHECKING:
    from tflrecover.tracing import Trace

Path = str | os.PathLike[str] | bytes | bytearray | memoryview

Aligner = Callable[[Sequence[int]], Alignment]
Sides = tuple[Draft, Graph, Graph, Alignment, Aligner]

_MOST_ORDERS = 120


@dataclass(frozen=True, eq=False)
class Comparison:
    """Everything that is known of a file and a model.

    Attributes:
        file: The file.
        trace: The traced model.
        mapping: The mapping with names resolved.
        alignment: Pairs of canonical operators.
        plan: New values of variables, and equations that do not hold.
        differences: Roots in file order, accepted ones marked.
        ambiguities: What structure cannot decide.
        constants: The state of every constant of the file.
        notes: Sentences for the user.
    """

    file: TFLiteModel
    trace: Trace
    mapping: ResolvedMapping
    alignment: Alignment
    plan: Plan
    differences: tuple[Difference, ...]
    ambiguities: tuple[Ambiguity, ...]
    constants: tuple[ConstantUse, ...]
    notes: tuple[str, ...]

    @property
    def matches(self) -> tuple[Match, ...]:
        """Sure pairs of operators, scalings on edges included."""
        sure = {match.tflite for match in self.alignment.matches}
        scalings = ((f, k) for f, k in self.plan.scalings.items() if f not in sure)
        return (*self.alignment.matches, *(Match(f, k, "edge", "on the same edge of both graphs") for f, k in scalings))

    @property
    def assignments(self) -> tuple[Assignment, ...]:
        """One per Keras variable."""
        return self.plan.assignments


def compare(path: Path, model: Any, mapping: Any = None) -> Comparison:
    """Compares a file with a model; changes neither.

    Args:
        path: The file: a path, or its bytes.
        model: A built Keras model.
        mapping: A path, a dict, a :class:`~tflrecover.Mapping`, or None.
    """
    from tflrecover.tracing.tracer import check

    user = UserMapping.load(mapping)
    file = read(path)
    _refuse_weightless(file)
    check(model)
    trace, inputs = _trace(file, model, user)
    resolved = _resolve(user, file, trace)
    return _solved(file, trace, resolved, *_aligned(file, trace, resolved, inputs))


def _aligned(file: TFLiteModel, trace: Trace, mapping: ResolvedMapping, inputs: dict[int, int]) -> Sides:
    """Both sides in canonical form, their alignment, and what makes others of it.

    Loops stay loops where that proves the two sides the same. Otherwise they are written out on both: the one may
    have as a loop what the other has unrolled.
    """
    found = _aligned_as(file, trace, mapping, inputs, unroll=False)
    loops = [sum(op.type == "LOOP" for op in graph.ops()) for graph in found[1:3]]
    if found[3].complete or not any(loops):
        return found
    unrolled = _aligned_as(file, trace, mapping, inputs, unroll=True)
    return unrolled if unrolled[3].complete or loops[0] != loops[1] else found


def _aligned_as(
    file: TFLiteModel, trace: Trace, mapping: ResolvedMapping, inputs: dict[int, int], *, unroll: bool
) -> Sides:
    mine = _file_side(file, mapping, unroll=unroll)
    keras = canonicalize(trace.draft(), unroll=unroll).freeze(str(trace.model.name))
    canonical = mine.freeze(file.source)
    pins = _pins(file, canonical, keras, trace, mapping, inputs)
    return mine, canonical, keras, align(canonical, keras, pins), partial(align, canonical, keras, pins)


def _refuse_weightless(file: TFLiteModel) -> None:
    """A file whose weights live in variables that nothing fills."""
    if any(op.type == "VAR_HANDLE" for op in file.graph.ops()) and len(file.subgraphs) == 1:
        raise WeightlessFile(
            "holds no weights: they live in resource variables that nothing initialises (converted with "
            "from_concrete_functions on a Keras 3 model?); convert it again with TFLiteConverter.from_keras_model",
            source=file.source,
        )


def end_names(file: TFLiteModel, end: str) -> tuple[str, ...]:
    """Names of inputs or outputs: the signature's, else the tensors' own."""
    signature = file.signature()
    by_value = {v: k for k, v in getattr(signature, end).items()} if signature else {}
    return tuple(by_value.get(v, file.graph.values[v].name) for v in getattr(file.graph, end))


def _file_shapes(file: TFLiteModel) -> list[Shape]:
    return [file.graph.values[v].shape or () for v in file.graph.inputs]


def _trace(file: TFLiteModel, model: Any, user: UserMapping) -> tuple[Trace, dict[int, int]]:
    """The model traced on the file's input shapes, and the certain pairs of inputs.

    A subclassed model does not say which shapes it takes. Where neither names nor shapes tell which is which, every
    order of distinct shapes is tried; the one that the model accepts is evidence.
    """
    from tflrecover.errors import InvalidModel
    from tflrecover.tracing import trace_model
    from tflrecover.tracing.tracer import input_specs

    mine = _file_shapes(file)
    specs = input_specs(model, len(mine))
    if len(specs) != len(mine):
        raise InputMismatch(
            f"{file.source} has {len(mine)} inputs {list(end_names(file, 'inputs'))}, model {model.name!r} has "
            f"{len(specs)}: {[name for name, _, _ in specs]}"
        )
    names, theirs = [name for name, _, _ in specs], [_compatible(shape, mine) for _, shape, _ in specs]
    given = user.pairs("inputs", names, end_names(file, "inputs"))
    pairs = pin(end_names(file, "inputs"), mine, names, theirs, given, numbered=file.signature() is not None)
    orders = _orders(mine, pairs)
    for order in orders:
        try:
            trace = trace_model(model, [_shape_for(specs[j][1], mine[i]) for j, i in enumerate(order)])
        except InvalidModel:
            if order == orders[-1]:
                raise
            continue
        rest = [mine[i] for i in range(len(mine)) if i not in pairs]
        by_shape = {i: j for j, i in enumerate(order) if i not in pairs and rest.count(mine[i]) == 1}
        return trace, {**pairs, **by_shape}
    raise AssertionError("there is at least one order")


def _orders(shapes: list[Shape], pairs: dict[int, int]) -> list[tuple[int, ...]]:
    """File inputs in Keras's order: those that are certain in their place, the others in every order worth trying."""
    back = {j: i for i, j in pairs.items()}
    rest = [i for i in range(len(shapes)) if i not in pairs]
    found: dict[tuple[Shape, ...], tuple[int, ...]] = {}
    for tried in islice(permutations(rest), _MOST_ORDERS):
        free = iter(tried)
        order = tuple(back[j] if j in back else next(free) for j in range(len(shapes)))
        found.setdefault(tuple(shapes[i] for i in order), order)
    return list(found.values())


def _compatible(declared: tuple[int | None, ...] | None, shapes: Iterable[Shape]) -> Shape | None:
    """The first of the file's shapes that fits what Keras declares, or Keras's own with 1 for free sizes."""
    if declared is None:
        return None
    return next((shape for shape in shapes if _fits(declared, shape)), tuple(1 if n is None else n for n in declared))


def _fits(declared: tuple[int | None, ...], shape: Shape) -> bool:
    return len(declared) == len(shape) and all(n is None or n == m for n, m in zip(declared, shape, strict=True))


def _shape_for(declared: tuple[int | None, ...] | None, shape: Shape) -> Shape:
    """What the model can be called with: its own sizes where they are fixed, the file's where they are free."""
    if declared is None or len(declared) != len(shape):
        return tuple(1 if n is None else n for n in declared) if declared is not None else shape
    return tuple(m if n is None else n for n, m in zip(declared, shape, strict=True))


def _resolve(user: UserMapping, file: TFLiteModel, trace: Trace) -> ResolvedMapping:
    names = [
        OpName(int(op.id), op.type, file.graph.values[op.outputs[0]].name if op.outputs else "")
        for op in file.graph.ops()
    ]
    return resolve(
        user,
        layers=list(trace.layers),
        variables=list(trace.variables),
        ops=names,
        file_inputs=end_names(file, "inputs"),
        file_outputs=end_names(file, "outputs"),
        keras_inputs=trace.input_names,
        keras_outputs=trace.output_names,
        sha256=lambda: file.sha256,
    )


def _file_side(file: TFLiteModel, mapping: ResolvedMapping, *, unroll: bool = False) -> Draft:
    def reader(name: str | int) -> Reader | None:
        return ops.tflite_reader(mapping.custom_ops.get(str(name), name))

    source = flattened(file)
    draft = lower(source, reader, Contents(source))
    for index in mapping.ignore:
        _bypass(draft, index)
    return canonicalize(draft, unroll=unroll)


def _bypass(draft: Draft, index: int) -> None:
    """An operator that the mapping ignores lets its first operand through."""
    op = draft.ops.get(index)
    if op is None:
        return
    activations = [v for v in op.inputs if v is not None and draft.weight(v) is None]
    if len(activations) == 1 and len(op.outputs) == 1:
        draft.remove(index)
        draft.redirect(op.outputs[0], activations[0])


def _pins(
    file: TFLiteModel, canonical: Graph, keras: Graph, trace: Trace, mapping: ResolvedMapping, inputs: dict[int, int]
) -> Pins:
    outputs = pin(
        end_names(file, "outputs"),
        [canonical.values[v].shape or () for v in canonical.outputs],
        trace.output_names,
        [keras.values[v].shape or () for v in keras.outputs],
        mapping.outputs,
        numbered=file.signature() is not None,
    )
    return Pins({**inputs, **mapping.inputs}, outputs, mapping.match)


def _skipped_variables(trace: Trace, skip: Collection[str]) -> set[str]:
    """Paths of the variables of skipped layers and of all layers inside them."""
    ids = {id(variable) for path in skip for variable in trace.layers[path].variables}
    return {path for path, variable in trace.variables.items() if id(variable) in ids}


def _solved(
    file: TFLiteModel,
    trace: Trace,
    mapping: ResolvedMapping,
    mine: Draft,
    canonical: Graph,
    keras: Graph,
    alignment: Alignment,
    again: Aligner,
) -> Comparison:
    skipped = _skipped_variables(trace, mapping.skip)
    variables = {
        path: Variable(tuple(v.shape), str(v.dtype), np.asarray(v) if path in skipped else None)
        for path, v in trace.variables.items()
    }
    given = given_values(mapping.weights, file, variables)
    values = {path: (value, text) for path, (value, text, _) in given.items()}

    settled = settle(alignment, again, lambda system: plan(system, variables, leaf_keys(keras), mine.env, values))
    alignment, outcome = settled.alignment, settled.plan
    found = differences.find(alignment, outcome.failed)
    ignored: set[Key] = {
        key for e in settled.system if keys(e.keras) and keys(e.keras) <= skipped for key in keys(e.file)
    }
    ignored |= {v for op in file.graph.ops() if op.id in mapping.ignore for v in op.inputs if v is not None}
    consumed = outcome.consumed | {key for _, _, sources in given.values() for key in sources}
    constants = constant_uses(flattened(file), consumed - ignored, mine.structural, ignored, leaf_keys(canonical))
    marked = tuple(_accepted(d, mapping, trace) for d in found)
    return Comparison(
        file,
        trace,
        mapping,
        alignment,
        outcome,
        marked,
        _ambiguities(alignment),
        constants,
        _notes(file, trace, alignment, outcome),
    )


def _accepted(difference: Difference, mapping: ResolvedMapping, trace: Trace) -> Difference:
    is_wanted = difference.keras_layer in mapping.skip or any(a.accepts(difference) for a in mapping.accept)
    return replace(difference, accepted=True) if is_wanted else difference


def _ambiguities(alignment: Alignment) -> tuple[Ambiguity, ...]:
    found = []
    for fs, ks in alignment.ambiguous:
        mine = [alignment.file.ops[f] for f in fs]
        theirs = [alignment.keras.ops[k] for k in ks]
        layers = tuple(describe.layer_of(op) or str(op.type) for op in theirs)
        indices = tuple(index for op in mine if (index := describe.file_index(op)) is not None)
        lines = [f"  {layer}: '#{index}'" for layer, index in zip(layers, indices, strict=False)]
        found.append(
            Ambiguity(
                f"operators {list(indices)} ({mine[0].type}) and layers {list(layers)} cannot be told apart by "
                "structure; say in the mapping which is which",
                indices,
                layers,
                "\n".join(["match:", *lines]),
            )
        )
    return tuple(found)


def _notes(file: TFLiteModel, trace: Trace, alignment: Alignment, outcome: Plan) -> tuple[str, ...]:
    notes = []
    ends = () if alignment.ambiguous else (("input", alignment.inputs), ("output", alignment.outputs))
    for end, pairs in ends:
        if any(i != j for i, j in pairs.items()):
            order = ", ".join(f"{i} is the model's {j}" for i, j in sorted(pairs.items()))
            notes.append(f"The file's {end}s are in another order than the model's: {end} {order}.")
    found = quantized(flattened(file))
    if found is not None:
        notes.append(found.text)
    return tuple(notes)
