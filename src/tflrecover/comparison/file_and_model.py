"""One file and one model side by side: read, traced, brought to one form, aligned, solved."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from tflrecover import differences
from tflrecover.align import Alignment
from tflrecover.align.pins import numbers
from tflrecover.comparison.forms import Facing, Sides, aligned
from tflrecover.comparison.inputs import Reading, end_names, free_shape, has_free_sizes, on_other_sizes, readings
from tflrecover.comparison.networks import refuse_weightless
from tflrecover.comparison.outcome import Outcome, accepted
from tflrecover.comparison.side import FileSide, ModelSide
from tflrecover.comparison.undecided import ambiguities, assumptions, contradictions
from tflrecover.differences import describe
from tflrecover.differences.tails import quoted
from tflrecover.errors import EvaluationError
from tflrecover.ir import Ambiguity, Difference, Shape
from tflrecover.mapping import Mapping as UserMapping
from tflrecover.mapping import OpName, ResolvedMapping, resolve
from tflrecover.tflite import TFLiteModel, flattened, read
from tflrecover.tflite.quantization import quantized
from tflrecover.transfer import Plan, plan, settle
from tflrecover.transfer.constants import constant_uses, leaf_keys
from tflrecover.transfer.equations import System
from tflrecover.transfer.given import given_values
from tflrecover.transfer.plan import Variable
from tflrecover.transfer.rounding import is_out_of_reach
from tflrecover.weight import Array, Key, keys

if TYPE_CHECKING:
    from tflrecover.tracing import Trace
    from tflrecover.tracing.standin import StandIn

Path = str | os.PathLike[str] | bytes | bytearray | memoryview

_MOST_READINGS = 24


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison(Outcome):
    """Everything that is known of a file and a model.

    Attributes:
        file: The file.
        reading: The traced model, and on which inputs both were looked at.
    """

    file: TFLiteModel
    reading: Reading

    @property
    def trace(self) -> Trace:
        """The traced model."""
        return self.reading.trace

    def again(self, stand_ins: Sequence[StandIn]) -> Comparison:
        """With stand-ins in the model."""
        reading = replace(self.reading, trace=self.trace.standing_in(stand_ins))
        both = replace(self.both, theirs=ModelSide(reading.trace), in_all_forms=False)
        return _solved(self.file, reading, aligned(both))


def compare(
    path: Path | TFLiteModel,
    model: Any,
    mapping: Any = None,
    shapes: Sequence[Shape] | None = None,
    *,
    is_run: bool = True,
) -> Comparison:
    """Compares a file with a model; changes neither.

    Args:
        path: The file: a path, its bytes, or as it was read.
        model: A built Keras model.
        mapping: A path, a dict, a :class:`~tflrecover.Mapping`, or None.
        shapes: One per input of the file, to look at both sides on where these leave sizes free; None: any.
        is_run: Whether the traced model is likely to be run. Else what it would be run from is given back.
    """
    from tflrecover.tracing.tracer import check

    user = UserMapping.load(mapping)
    file = read(path)
    refuse_weightless(file)
    check(model, [free_shape(file.graph.values[v]) for v in file.graph.inputs])
    found: list[Comparison] = []
    for reading in islice(readings(file, model, user, shapes), _MOST_READINGS):
        # Who gives the shapes of the inputs has them looked at on those alone.
        first = _compared(file, reading, user, is_run=is_run)
        comparison = first if shapes else _on_any_size(first, model, user, is_run=is_run)
        if reading.is_certain:
            return comparison
        found.append(comparison)
    complete = [comparison for comparison in found if comparison.alignment.complete]
    return _undecided(complete) if len(complete) > 1 else (complete or found)[0]


def _on_any_size(first: Comparison, model: Any, user: UserMapping, *, is_run: bool) -> Comparison:
    """The comparison; where sizes are free and nothing differs, it must be so on other sizes too."""
    file, reading = first.file, first.reading
    if not first.alignment.complete or first.differences or not has_free_sizes(file, reading):
        return first
    for other in on_other_sizes(file, model, reading):
        try:
            second = _compared(file, other, user, is_run=is_run)
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


def _compared(file: TFLiteModel, reading: Reading, user: UserMapping, *, is_run: bool) -> Comparison:
    if not is_run:
        reading.trace.function.let_go()
    resolved = _resolve(user, file, reading.trace)
    mine = FileSide(file, reading.resized(flattened(file)), file.signature() is not None)
    return _solved(
        file, reading, aligned(Facing(mine, ModelSide(reading.trace), resolved, reading.pairs, reading.numbered))
    )


def _undecided(complete: list[Comparison]) -> Comparison:
    """The file fits the model in several ways, because its inputs can change places: nobody but the user can tell."""
    first = complete[0]
    names, theirs = end_names(first.file, "inputs"), first.trace.input_names
    pairs = [dict(c.alignment.inputs) for c in complete]
    if all(other == pairs[0] for other in pairs):
        return first
    open_ = [i for i in range(len(names)) if len({other.get(i) for other in pairs}) > 1]
    named = [(theirs[j] or f"#{j}", names[i] or f"#{i}") for i in open_ if (j := pairs[0].get(i)) is not None]
    lines = [f"  {quoted(a)}: {quoted(b)}" for a, b in named]
    told = Ambiguity(
        f"the file's inputs {[names[i] for i in open_]} fit the model in {len(complete)} ways; say in the "
        "mapping which is which",
        (),
        (),
        "\n".join(["inputs:", *lines]),
    )
    return replace(first, ambiguities=(*first.ambiguities, told))


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


def _skipped_variables(trace: Trace, skip: Collection[str]) -> set[str]:
    """Paths of the variables of skipped layers and of all layers inside them."""
    ids = {id(variable) for path in skip for variable in trace.layers[path].variables}
    return {path for path, variable in trace.variables.items() if id(variable) in ids}


def _solved(file: TFLiteModel, reading: Reading, sides: Sides) -> Comparison:
    trace, draft, mapping = reading.trace, sides.draft, sides.both.mapping
    skipped = _skipped_variables(trace, mapping.skip)
    variables = {
        path: Variable(tuple(v.shape), str(v.dtype), np.asarray(v) if path in skipped else None, partial(np.asarray, v))
        for path, v in trace.variables.items()
    }
    given = given_values(mapping.weights, file, variables)
    values: dict[Key, tuple[Array, str]] = {path: (value, text) for path, (value, text, _) in given.items()}

    settled = settle(
        sides.alignment,
        sides.again,
        lambda system: plan(system, variables, leaf_keys(sides.keras), draft.env, values),
    )
    outcome = settled.plan
    alignment, roots = differences.read(settled.alignment, outcome.failed, trace.layers)
    found = (
        *differences.turned(alignment, "input"),
        *roots,
        *differences.forgotten(alignment, trace.layers),
        *differences.turned(alignment, "output"),
    )
    ignored: set[Key] = {
        key for e in settled.system if keys(e.keras) and keys(e.keras) <= skipped for key in keys(e.file)
    }
    ignored |= {v for op in file.graph.ops() if op.id in mapping.ignore for v in op.inputs if v is not None}
    told = tuple(accepted(d, mapping) for d in found)
    ignored |= _excused(alignment, told, mapping.skip)
    consumed = outcome.consumed | {key for _, _, sources in given.values() for key in sources}
    constants = constant_uses(flattened(file), consumed - ignored, draft.structural, ignored, leaf_keys(sides.file))
    counts = differences.count(alignment, len(file.graph))
    return Comparison(
        file=file,
        reading=reading,
        both=sides.both,
        alignment=alignment,
        plan=outcome,
        differences=told,
        ambiguities=(*ambiguities(alignment, mapping.skip), *contradictions(sides.by_order, file, trace)),
        constants=constants,
        notes=_notes(file, alignment, outcome, _out_of_reach(alignment, settled.system)),
        operators=counts,
        overview=differences.overview(counts, found),
        assumptions=assumptions(sides.by_order, file, trace),
        suggestion=differences.accepting(alignment, told, outcome.assignments),
    )


def _excused(alignment: Alignment, told: Sequence[Difference], skip: Collection[str]) -> set[Key]:
    """Constants of operators that the mapping does without, or that may belong to layers which keep their weights."""
    graph = alignment.file.graph
    listed = {op_id for d in told if d.accepted for op_id in d.operators if op_id in graph}
    for fs, ks in alignment.ambiguous:
        if ks and all(describe.layer_of(alignment.keras.ops[k]) in skip for k in ks):
            listed |= {alignment.file.ops[f].id for f in fs}
    weights = [graph.values[v].weight for op_id in listed for v in graph.op(op_id).inputs if v is not None]
    return {key for weight in weights if weight is not None for key in keys(weight)}


def with_order(comparison: Comparison) -> Comparison:
    """With outputs that the file's signature numbers in another order than the model has them told as a difference.

    Of a port that is no more than a note: the weights are the same. Who takes results by their number gets others.
    """
    mapping = comparison.both.mapping
    if mapping.outputs:
        return comparison
    found = {end: (order, listed) for end, order, listed in _numbered_otherwise(comparison.file, comparison.alignment)}
    if "output" not in found:
        return comparison
    order, listed = found["output"]
    message = (
        f"put the model's outputs in the order {', '.join(map(str, order))}, as the file's signature numbers them: "
        f"{listed}. To keep the model as it is, pair them under `outputs:` in a mapping"
    )
    told = accepted(Difference("wiring", message, attribute="outputs", keras_value=order), mapping)
    notes = tuple(note for note in comparison.notes if note != _on_order("output", listed))
    return replace(comparison, differences=(*comparison.differences, told), notes=notes)


def _on_order(end: str, listed: str) -> str:
    return f"The file's signature numbers its {end}s in another order than the model's: {listed}."


def _numbered_otherwise(file: TFLiteModel, alignment: Alignment) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """Ends that a signature numbers in another order than the model has them, where their shapes tell which is which.

    Yields:
        Which end, the model's in the signature's order, and which is which.
    """
    if file.signature() is None or alignment.ambiguous:
        return
    for end, pairs in (("input", alignment.inputs), ("output", alignment.outputs)):
        names = end_names(file, f"{end}s")
        numbered = numbers(names)
        if sorted(numbered.values()) == sorted(pairs.values()) and any(pairs.get(i) != n for i, n in numbered.items()):
            order = tuple(pairs[i] for i in sorted(numbered, key=numbered.__getitem__))
            listed = ", ".join(f"{names[i]} is the model's {j}" for i, j in sorted(pairs.items()))
            yield end, order, listed


def _out_of_reach(alignment: Alignment, system: System) -> tuple[str, ...]:
    """Layers with a bound of which the file says no more than that it lies beyond the file's numbers."""
    listed = (one.keras_op for one in system.weights if is_out_of_reach(one))
    ops = (alignment.keras.graph.op(op_id) for op_id in listed if op_id is not None)
    return tuple(dict.fromkeys(describe.layer_of(op) or str(op.id) for op in ops))


def _notes(file: TFLiteModel, alignment: Alignment, outcome: Plan, unreached: Sequence[str]) -> tuple[str, ...]:
    notes = [file.other_signatures] if file.other_signatures else []
    for end, pairs in alignment.reordered():
        order = ", ".join(f"{i} is the model's {j}" for i, j in pairs)
        notes.append(f"The file's {end}s are in another order than the model's: {end} {order}.")
    notes += (_on_order(end, listed) for end, _, listed in _numbered_otherwise(file, alignment))
    if outcome.partial:
        notes.append(
            f"The file has only a part of {', '.join(outcome.partial)}: what the model reads of it on inputs of these "
            "sizes; the rest keeps the model's own numbers."
        )
    if unreached:
        notes.append(
            f"A bound of {', '.join(unreached)} lies beyond all numbers that the file can hold there: it may "
            "have been another when the file was made."
        )
    found = quantized(flattened(file))
    if found is not None:
        notes.append(found.text)
    return tuple(notes)
