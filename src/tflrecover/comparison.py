"""One file and one model side by side: read, traced, brought to one form, aligned, solved."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from tflrecover import differences, ops
from tflrecover.align import Alignment, Pins, align
from tflrecover.align.order import ByOrder, align_by_order
from tflrecover.align.pins import numbered_only, pin
from tflrecover.differences import describe
from tflrecover.errors import EvaluationError, InvalidFile, TFLRecoverError, WeightlessFile
from tflrecover.inputs import Reading, end_names, free_shape, has_free_sizes, on_other_sizes, readings
from tflrecover.ir import Ambiguity, Assignment, ConstantUse, Difference, Graph, Match, OperatorCounts, Shape
from tflrecover.mapping import Mapping as UserMapping
from tflrecover.mapping import OpName, ResolvedMapping, resolve
from tflrecover.ops.spec import Reader
from tflrecover.rewrite import Rule, canonicalize
from tflrecover.rewrite.contents import Contents
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.lower import lower
from tflrecover.rewrite.scalars import scale_operands
from tflrecover.rewrite.unroll import unroll_loops
from tflrecover.rewrite.variables import forget_states, unfilled
from tflrecover.tflite import TFLiteModel, flattened, read
from tflrecover.tflite.quantization import quantized
from tflrecover.transfer import Plan, plan, settle
from tflrecover.transfer.given import given_values
from tflrecover.transfer.plan import Variable, constant_uses, leaf_keys
from tflrecover.undecided import ambiguities, assumptions, contradictions
from tflrecover.weight import Key, keys

if TYPE_CHECKING:
    from tflrecover.tracing import Trace
    from tflrecover.tracing.standin import StandIn

Path = str | os.PathLike[str] | bytes | bytearray | memoryview

Aligner = Callable[[Sequence[int]], Alignment]
Sides = tuple[Draft, Graph, Graph, Alignment, Aligner, ByOrder]

_MOST_READINGS = 24


@dataclass(frozen=True, eq=False)
class Comparison:
    """Everything that is known of a file and a model.

    Attributes:
        file: The file.
        trace: The traced model.
        reading: On which inputs both were looked at.
        mapping: The mapping with names resolved.
        alignment: Pairs of canonical operators.
        plan: New values of variables, and equations that do not hold.
        differences: Roots in file order, accepted ones marked.
        ambiguities: What structure cannot decide.
        constants: The state of every constant of the file.
        notes: Sentences for the user.
        operators: How many operators there are on either side, and how many match.
        overview: A sentence where the two are wholly different; empty otherwise.
        assumptions: What was taken on trust, because nothing in the file proves or refutes it.
        suggestion: Mapping lines under which what differs is wanted, where all of it is at the end of the network.
    """

    file: TFLiteModel
    trace: Trace
    reading: Reading
    mapping: ResolvedMapping
    alignment: Alignment
    plan: Plan
    differences: tuple[Difference, ...]
    ambiguities: tuple[Ambiguity, ...]
    constants: tuple[ConstantUse, ...]
    notes: tuple[str, ...]
    operators: OperatorCounts
    overview: str = ""
    assumptions: tuple[str, ...] = ()
    suggestion: str = ""

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


def compare(
    path: Path | TFLiteModel, model: Any, mapping: Any = None, shapes: Sequence[Shape] | None = None
) -> Comparison:
    """Compares a file with a model; changes neither.

    Args:
        path: The file: a path, its bytes, or as it was read.
        model: A built Keras model.
        mapping: A path, a dict, a :class:`~tflrecover.Mapping`, or None.
        shapes: One per input of the file, to look at both sides on where these leave sizes free; None: any.
    """
    from tflrecover.tracing.tracer import check

    user = UserMapping.load(mapping)
    file = path if isinstance(path, TFLiteModel) else read(path)
    _refuse_weightless(file)
    check(model, [free_shape(file.graph.values[v]) for v in file.graph.inputs])
    found: list[Comparison] = []
    for reading in islice(readings(file, model, user, shapes), _MOST_READINGS):
        # Who gives the shapes of the inputs has them looked at on those alone.
        comparison = _compared(file, reading, user) if shapes else _on_any_size(file, model, reading, user)
        if reading.is_certain:
            return comparison
        found.append(comparison)
    complete = [comparison for comparison in found if comparison.alignment.complete]
    return _undecided(complete) if len(complete) > 1 else (complete or found)[0]


def compared_again(comparison: Comparison, stand_in: StandIn) -> Comparison:
    """The same file and model on the same inputs, with another layer in the place of one of the model's."""
    from tflrecover.tracing import trace_model

    old, form = comparison.trace.source, comparison.reading.form
    inputs = [old.values[value] for value in old.inputs]
    shapes, dtypes = [value.shape or () for value in inputs], [str(value.dtype) for value in inputs]
    trace = trace_model(comparison.trace.model, shapes, form, dtypes, stand_in)
    reading, file, mapping = replace(comparison.reading, trace=trace), comparison.file, comparison.mapping
    return _solved(file, reading, mapping, *_aligned(file, reading, mapping))


def _on_any_size(file: TFLiteModel, model: Any, reading: Reading, user: UserMapping) -> Comparison:
    """The comparison; where sizes are free and nothing differs, it must be so on other sizes too."""
    first = _compared(file, reading, user)
    if not first.alignment.complete or first.differences or not has_free_sizes(file, reading):
        return first
    for other in on_other_sizes(file, model, reading):
        try:
            second = _compared(file, other, user)
        except EvaluationError:
            # A table of positions is only so long.
            continue
        if second.alignment.complete and not second.differences:
            return first
        told = f"The sides differ on inputs of {_listed(other)}, not on every size."
        return replace(second, notes=(*second.notes, told))
    told = f"Looked at inputs of {_listed(reading)} only: there are no other sizes that both sides take."
    return replace(first, notes=(*first.notes, told))


def _listed(reading: Reading) -> str:
    return ", ".join(str(list(shape)) for shape in reading.shapes.values())


@contextlib.contextmanager
def _blaming(file: TFLiteModel) -> Iterator[None]:
    """Operators that cannot be brought together are the file's fault: converters write none that a rule trips over."""
    try:
        yield
    except TFLRecoverError:
        raise
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        raise InvalidFile(
            f"has operators that do not fit together ({told}); it is damaged, or this is a bug to report",
            source=file.source,
        ) from error


def _compared(file: TFLiteModel, reading: Reading, user: UserMapping) -> Comparison:
    resolved = _resolve(user, file, reading.trace)
    return _solved(file, reading, resolved, *_aligned(file, reading, resolved))


def _aligned(file: TFLiteModel, reading: Reading, mapping: ResolvedMapping) -> Sides:
    """Both sides in canonical form, their alignment, and what makes others of it.

    Where one side keeps states between calls and the other does not, and nothing else differs, both are looked at as
    if they kept none; that they do is then told as the difference that it is.
    """
    found = _aligned_in_loops(file, reading, mapping, forget=False)
    states = [_count(graph, "STATE") for graph in found[1:3]]
    if found[3].complete or all(states) or not any(states):
        return found
    blank = _aligned_in_loops(file, reading, mapping, forget=True)
    return blank if blank[3].complete else found


def _aligned_in_loops(file: TFLiteModel, reading: Reading, mapping: ResolvedMapping, *, forget: bool) -> Sides:
    """Loops stay loops where that proves the two sides the same.

    Otherwise they are written out on both: the one may have as a loop what the other has unrolled. Likewise a factor
    behind a matrix product stays there, unless one side alone has it: the other may have it in the weights of a layer
    before.
    """
    found = _aligned_as(file, reading, mapping, forget=forget)
    loops = [_count(graph, "LOOP") for graph in found[1:3]]
    if any(loops) and not found[3].complete:
        unrolled = _aligned_as(file, reading, mapping, unroll_loops, forget=forget)
        return unrolled if unrolled[3].complete or loops[0] != loops[1] else found
    if found[3].complete and found[3].odd:
        scaled = _aligned_as(file, reading, mapping, scale_operands, forget=forget)
        return scaled if scaled[3].complete and not scaled[3].odd else found
    return found


def _count(graph: Graph, kind: str) -> int:
    return sum(op.type == kind for op in graph.ops())


def _aligned_as(file: TFLiteModel, reading: Reading, mapping: ResolvedMapping, *extra: Rule, forget: bool) -> Sides:
    trace = reading.trace
    drafts = _file_draft(file, reading.resized(flattened(file)), mapping), trace.draft()
    left_out = [forget_states(draft) if forget else () for draft in drafts]
    with _blaming(file):
        mine = canonicalize(drafts[0], extra)
    theirs = canonicalize(drafts[1], extra)
    canonical = mine.freeze(file.source, forgotten=left_out[0])
    keras = theirs.freeze(str(trace.model.name), forgotten=left_out[1])
    pins = _pins(file, canonical, keras, trace, mapping, reading)
    alignment, by_order, pins = align_by_order(canonical, keras, pins, trace.layers)
    return mine, canonical, keras, alignment, partial(align, canonical, keras, pins), by_order


def _undecided(complete: list[Comparison]) -> Comparison:
    """The file fits the model in several ways, because its inputs can change places: nobody but the user can tell."""
    first = complete[0]
    names, theirs = end_names(first.file, "inputs"), first.trace.input_names
    pairs = [dict(c.alignment.inputs) for c in complete]
    if all(other == pairs[0] for other in pairs):
        return first
    open_ = [i for i in range(len(names)) if len({other.get(i) for other in pairs}) > 1]
    lines = [f"  {theirs[j] or j}: {names[i]}" for i in open_ if (j := pairs[0].get(i)) is not None]
    told = Ambiguity(
        f"the file's inputs {[names[i] for i in open_]} fit the model in {len(complete)} ways; say in the "
        "mapping which is which",
        (),
        (),
        "\n".join(["inputs:", *lines]),
    )
    return replace(first, ambiguities=(*first.ambiguities, told))


def _refuse_weightless(file: TFLiteModel) -> None:
    """A file whose weights live in variables that nothing fills."""
    names = unfilled(flattened(file))
    if names:
        raise WeightlessFile(
            f"holds no weights: they live in resource variables that nothing initialises ({', '.join(names[:3])}, …; "
            "converted with from_concrete_functions on a Keras 3 model?); convert it again with "
            "TFLiteConverter.from_keras_model",
            source=file.source,
        )


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


def _file_draft(file: TFLiteModel, source: Graph, mapping: ResolvedMapping) -> Draft:
    def reader(name: str | int) -> Reader | None:
        return ops.tflite_reader(mapping.custom_ops.get(str(name), name))

    with _blaming(file):
        draft = lower(source, reader, Contents(source))
    for index in mapping.ignore:
        _bypass(draft, index)
    return draft


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
    file: TFLiteModel, canonical: Graph, keras: Graph, trace: Trace, mapping: ResolvedMapping, reading: Reading
) -> Pins:
    mine = [canonical.values[v].shape or () for v in canonical.outputs]
    theirs = [keras.values[v].shape or () for v in keras.outputs]
    names = end_names(file, "outputs")
    given = max(trace.output_names, trace.layer_outputs, key=lambda given: len(set(given) & set(names)))
    possible = [[i for i, shape in enumerate(mine) if shape == wanted] for wanted in theirs]
    has_signature = file.signature() is not None
    outputs = pin(names, given, possible, mapping.outputs, numbered=has_signature)
    numbered = numbered_only(names, given, possible, mapping.outputs) if has_signature else frozenset[int]()
    inputs = {**reading.pairs, **mapping.inputs}
    return Pins(inputs, outputs, mapping.match, reading.numbered - mapping.inputs.keys(), numbered)


def _skipped_variables(trace: Trace, skip: Collection[str]) -> set[str]:
    """Paths of the variables of skipped layers and of all layers inside them."""
    ids = {id(variable) for path in skip for variable in trace.layers[path].variables}
    return {path for path, variable in trace.variables.items() if id(variable) in ids}


def _solved(
    file: TFLiteModel,
    reading: Reading,
    mapping: ResolvedMapping,
    mine: Draft,
    canonical: Graph,
    keras: Graph,
    alignment: Alignment,
    again: Aligner,
    by_order: ByOrder,
) -> Comparison:
    trace = reading.trace
    skipped = _skipped_variables(trace, mapping.skip)
    variables = {
        path: Variable(tuple(v.shape), str(v.dtype), np.asarray(v) if path in skipped else None, partial(np.asarray, v))
        for path, v in trace.variables.items()
    }
    given = given_values(mapping.weights, file, variables)
    values = {path: (value, text) for path, (value, text, _) in given.items()}

    settled = settle(alignment, again, lambda system: plan(system, variables, leaf_keys(keras), mine.env, values))
    alignment, outcome = settled.alignment, settled.plan
    found = (
        *differences.find(alignment, outcome.failed, trace.layers),
        *differences.forgotten(alignment, trace.layers),
    )
    ignored: set[Key] = {
        key for e in settled.system if keys(e.keras) and keys(e.keras) <= skipped for key in keys(e.file)
    }
    ignored |= {v for op in file.graph.ops() if op.id in mapping.ignore for v in op.inputs if v is not None}
    marked = tuple(_accepted(d, mapping, trace) for d in found)
    ignored |= _excused(alignment, marked, mapping.skip)
    consumed = outcome.consumed | {key for _, _, sources in given.values() for key in sources}
    constants = constant_uses(flattened(file), consumed - ignored, mine.structural, ignored, leaf_keys(canonical))
    counts = differences.count(alignment, len(file.graph))
    return Comparison(
        file,
        trace,
        reading,
        mapping,
        alignment,
        outcome,
        marked,
        (*ambiguities(alignment, mapping.skip), *contradictions(by_order, file, trace)),
        constants,
        _notes(file, trace, alignment, outcome),
        counts,
        differences.overview(counts, found),
        assumptions(by_order, file, trace),
        differences.accepting(alignment, marked, outcome.assignments),
    )


def _accepted(difference: Difference, mapping: ResolvedMapping, trace: Trace) -> Difference:
    is_wanted = difference.keras_layer in mapping.skip or any(a.accepts(difference) for a in mapping.accept)
    return replace(difference, accepted=True) if is_wanted else difference


def _excused(alignment: Alignment, marked: Sequence[Difference], skip: Collection[str]) -> set[Key]:
    """Constants of operators that the mapping does without, or that may belong to layers which keep their weights."""
    graph = alignment.file.graph
    listed = {op_id for d in marked if d.accepted for op_id in d.operators if op_id in graph}
    for fs, ks in alignment.ambiguous:
        if ks and all(describe.layer_of(alignment.keras.ops[k]) in skip for k in ks):
            listed |= {alignment.file.ops[f].id for f in fs}
    weights = [graph.values[v].weight for op_id in listed for v in graph.op(op_id).inputs if v is not None]
    return {key for weight in weights if weight is not None for key in keys(weight)}


def _notes(file: TFLiteModel, trace: Trace, alignment: Alignment, outcome: Plan) -> tuple[str, ...]:
    notes = []
    ends = () if alignment.ambiguous else (("input", alignment.inputs), ("output", alignment.outputs))
    for end, pairs in ends:
        if any(i != j for i, j in pairs.items()):
            order = ", ".join(f"{i} is the model's {j}" for i, j in sorted(pairs.items()))
            notes.append(f"The file's {end}s are in another order than the model's: {end} {order}.")
    if outcome.partial:
        notes.append(
            f"The file has only a part of {', '.join(outcome.partial)}: what the model reads of it on inputs of these "
            "sizes; the rest keeps the model's own numbers."
        )
    found = quantized(flattened(file))
    if found is not None:
        notes.append(found.text)
    return tuple(notes)
