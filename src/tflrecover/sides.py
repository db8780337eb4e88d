"""Both sides in canonical form and aligned, under the reading of them that proves most."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from tflrecover.align import Alignment, Pins, align
from tflrecover.align.order import ByOrder, align_by_order
from tflrecover.align.pins import numbered_only, pin
from tflrecover.ir import Graph
from tflrecover.mapping import ResolvedMapping
from tflrecover.rewrite import Rule, canonicalize
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.fold import fold_products
from tflrecover.rewrite.outer import join_outer_products
from tflrecover.rewrite.pixels import repeat_pixels
from tflrecover.rewrite.scalars import scale_operands
from tflrecover.rewrite.sums import merge_sums
from tflrecover.rewrite.unroll import unroll_loops
from tflrecover.rewrite.variables import forget_states
from tflrecover.side import Side

Aligner = Callable[[Sequence[int]], Alignment]


@dataclass(frozen=True, eq=False)
class Facing:
    """Two sides to be compared.

    Attributes:
        mine: The file's, or the first of two.
        theirs: The model's, or the second of two.
        mapping: With names resolved.
        inputs: Input number of the first to input number of the second, where it is certain.
        numbered: Those of them that are paired by a number in a signature alone.
        forms: What the first was brought to, by the rules that were asked for besides and whether states are forgotten.
            The same first side faces one model after another while arguments of layers are tried.
        in_all_forms: Whether to write out also loops that both sides have: that is many times the operators.
    """

    mine: Side
    theirs: Side
    mapping: ResolvedMapping
    inputs: Mapping[int, int]
    numbered: frozenset[int]
    forms: dict[tuple[tuple[Rule, ...], bool], tuple[Draft, Graph]] = field(default_factory=dict, repr=False)
    in_all_forms: bool = True


@dataclass(frozen=True, eq=False)
class Sides:
    """A file and a model in one form.

    Attributes:
        both: Both as they were before.
        draft: The file's draft, which knows what its constants stand for.
        file: The file's canonical graph.
        keras: The model's.
        alignment: Which operator is which.
        again: Makes another alignment, with other choices among look-alikes.
        by_order: What was paired by order alone.
    """

    both: Facing
    draft: Draft
    file: Graph
    keras: Graph
    alignment: Alignment
    again: Aligner
    by_order: ByOrder


def aligned(both: Facing) -> Sides:
    """Both sides in canonical form, their alignment, and what makes others of it.

    Where one side keeps states between calls and the other does not, and nothing else differs, both are looked at as
    if they kept none; that they do is then told as the difference that it is.
    """
    found = _aligned_in_loops(both, forget=False)
    states = [_count(graph, "STATE") for graph in (found.file, found.keras)]
    if found.alignment.complete or all(states) or not any(states):
        return found
    blank = _aligned_in_loops(both, forget=True)
    return blank if blank.alignment.complete else found


def _aligned_in_loops(both: Facing, *, forget: bool) -> Sides:
    """Loops stay loops where that proves the two sides the same.

    Otherwise they are written out on both: the one may have as a loop what the other has unrolled. Likewise a factor
    behind a matrix product stays there, unless one side alone has it: the other may have it in the weights of a layer
    before. What else one side may write otherwise is written so on both, where they have it in different numbers.
    """
    found = _aligned_as(both, forget=forget)
    others = [rule for rule, count in _ONE_SIDED.items() if count(found.file) != count(found.keras)]
    if others and not found.alignment.complete:
        rewritten = _aligned_as(both, *others, forget=forget)
        if rewritten.alignment.complete:
            return rewritten
    loops = [_count(graph, "LOOP") for graph in (found.file, found.keras)]
    if any(loops) and not found.alignment.complete and (both.in_all_forms or loops[0] != loops[1]):
        unrolled = _aligned_as(both, unroll_loops, forget=forget)
        return unrolled if unrolled.alignment.complete or loops[0] != loops[1] else found
    if found.alignment.complete and found.alignment.odd:
        scaled = _aligned_as(both, scale_operands, forget=forget)
        return scaled if scaled.alignment.complete and not scaled.alignment.odd else found
    return found


def _count(graph: Graph, kind: str) -> int:
    return sum(op.type == kind for op in graph.ops())


def _added_constants(graph: Graph) -> int:
    sums = (op for op in graph.ops() if op.type == "ADD")
    return sum(any(v is not None and graph.values[v].weight is not None for v in op.inputs) for op in sums)


def _layers_of_one_input(graph: Graph) -> int:
    dense = (op for op in graph.ops() if op.type == "FULLY_CONNECTED")
    return sum((graph.values[op.inputs[1]].shape or ())[:1] == (1,) for op in dense if op.inputs[1] is not None)


def _products_of_constants(graph: Graph) -> int:
    products = (op for op in graph.ops() if op.type in ("FULLY_CONNECTED", "BATCH_MATMUL"))
    return sum(all(v is None or graph.values[v].weight is not None for v in op.inputs) for op in products)


# By what two graphs are told to differ in.
_ONE_SIDED: Mapping[Rule, Callable[[Graph], int]] = {
    repeat_pixels: partial(_count, kind="RESIZE_NEAREST_NEIGHBOR"),
    join_outer_products: _layers_of_one_input,
    fold_products: _products_of_constants,
    merge_sums: _added_constants,
}


def _aligned_as(both: Facing, *extra: Rule, forget: bool) -> Sides:
    form = extra, forget
    if form not in both.forms:
        both.forms[form] = _canonical(both.mine, both.mapping, *form, ignore=both.mapping.ignore)
    draft, file = both.forms[form]
    _, keras = _canonical(both.theirs, both.mapping, *form)
    alignment, by_order, pins = align_by_order(file, keras, _pins(both, file, keras), both.theirs.layers)
    return Sides(both, draft, file, keras, alignment, partial(align, file, keras, pins), by_order)


def _canonical(
    side: Side, mapping: ResolvedMapping, extra: Sequence[Rule], forget: bool, ignore: Iterable[int | str] = ()
) -> tuple[Draft, Graph]:
    draft = side.draft(mapping.custom_ops)
    for place in ignore:
        _bypass(draft, place)
    forgotten = forget_states(draft) if forget else ()
    with side.blamed():
        return draft, canonicalize(draft, extra).freeze(side.name, forgotten=forgotten)


def _bypass(draft: Draft, place: int | str) -> None:
    """What the mapping ignores, an operator or a layer of them, lets its first operand through."""
    for op in [op for op in draft.ops.values() if place in (op.id, op.layer)]:
        activations = [v for v in op.inputs if v is not None and draft.weight(v) is None]
        if len(activations) == 1 and len(op.outputs) == 1:
            draft.remove(op.id)
            draft.redirect(op.outputs[0], activations[0])


def _pins(both: Facing, file: Graph, keras: Graph) -> Pins:
    mine = [file.values[v].shape or () for v in file.outputs]
    theirs = [keras.values[v].shape or () for v in keras.outputs]
    side, mapping, names = both.theirs, both.mapping, both.mine.output_names
    given = max(side.output_names, side.layer_outputs, key=lambda given: len(set(given) & set(names)))
    possible = [[i for i, shape in enumerate(mine) if shape == wanted] for wanted in theirs]
    is_numbered = both.mine.is_numbered
    outputs = pin(names, given, possible, mapping.outputs, numbered=is_numbered)
    numbered = numbered_only(names, given, possible, mapping.outputs) if is_numbered else frozenset[int]()
    inputs = {**both.inputs, **mapping.inputs}
    return Pins(inputs, outputs, mapping.match, both.numbered - mapping.inputs.keys(), numbered)
