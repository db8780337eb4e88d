"""Both sides in canonical form and aligned, under the reading of them that proves most."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tflrecover import ops
from tflrecover.align import Alignment, Pins, align
from tflrecover.align.order import ByOrder, align_by_order
from tflrecover.align.pins import numbered_only, pin
from tflrecover.errors import InvalidFile, TFLRecoverError
from tflrecover.inputs import Reading, end_names
from tflrecover.ir import Graph
from tflrecover.mapping import ResolvedMapping
from tflrecover.ops.spec import Reader
from tflrecover.rewrite import Rule, canonicalize
from tflrecover.rewrite.contents import Contents
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.lower import lower
from tflrecover.rewrite.scalars import scale_operands
from tflrecover.rewrite.unroll import unroll_loops
from tflrecover.rewrite.variables import forget_states
from tflrecover.tflite import TFLiteModel, flattened

if TYPE_CHECKING:
    from tflrecover.tracing import Trace

Aligner = Callable[[Sequence[int]], Alignment]


@dataclass(frozen=True, eq=False)
class Sides:
    """A file and a model in one form.

    Attributes:
        draft: The file's draft, which knows what its constants stand for.
        file: The file's canonical graph.
        keras: The model's.
        alignment: Which operator is which.
        again: Makes another alignment, with other choices among look-alikes.
        by_order: What was paired by order alone.
    """

    draft: Draft
    file: Graph
    keras: Graph
    alignment: Alignment
    again: Aligner
    by_order: ByOrder


def aligned(file: TFLiteModel, reading: Reading, mapping: ResolvedMapping) -> Sides:
    """Both sides in canonical form, their alignment, and what makes others of it.

    Where one side keeps states between calls and the other does not, and nothing else differs, both are looked at as
    if they kept none; that they do is then told as the difference that it is.
    """
    found = _aligned_in_loops(file, reading, mapping, forget=False)
    states = [_count(graph, "STATE") for graph in (found.file, found.keras)]
    if found.alignment.complete or all(states) or not any(states):
        return found
    blank = _aligned_in_loops(file, reading, mapping, forget=True)
    return blank if blank.alignment.complete else found


def _aligned_in_loops(file: TFLiteModel, reading: Reading, mapping: ResolvedMapping, *, forget: bool) -> Sides:
    """Loops stay loops where that proves the two sides the same.

    Otherwise they are written out on both: the one may have as a loop what the other has unrolled. Likewise a factor
    behind a matrix product stays there, unless one side alone has it: the other may have it in the weights of a layer
    before.
    """
    found = _aligned_as(file, reading, mapping, forget=forget)
    loops = [_count(graph, "LOOP") for graph in (found.file, found.keras)]
    if any(loops) and not found.alignment.complete:
        unrolled = _aligned_as(file, reading, mapping, unroll_loops, forget=forget)
        return unrolled if unrolled.alignment.complete or loops[0] != loops[1] else found
    if found.alignment.complete and found.alignment.odd:
        scaled = _aligned_as(file, reading, mapping, scale_operands, forget=forget)
        return scaled if scaled.alignment.complete and not scaled.alignment.odd else found
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
    return Sides(mine, canonical, keras, alignment, partial(align, canonical, keras, pins), by_order)


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
