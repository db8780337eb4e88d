"""Both sides in canonical form and aligned, written in the way that proves most."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from tflrecover.align import Alignment, Pins, align
from tflrecover.align.order import ByOrder, align_by_order
from tflrecover.align.pins import numbered_only, pin
from tflrecover.comparison.one_sided import ONE_SIDED, count, reductions_that_keep, whole_constants
from tflrecover.comparison.side import Side
from tflrecover.ir import Graph
from tflrecover.mapping import ResolvedMapping
from tflrecover.rewrite import ARRANGED, COMPOSED, OWN_NORMS, STEPS, Rule, canonicalize
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.forward import scaling
from tflrecover.rewrite.heads import HIDDEN, select_scores
from tflrecover.rewrite.indices import drop_repeats
from tflrecover.rewrite.joined import join_steps
from tflrecover.rewrite.layouts import sink_layouts
from tflrecover.rewrite.lift import square_differences
from tflrecover.rewrite.reductions import drop_kept_axes
from tflrecover.rewrite.reshape import reshape_units
from tflrecover.rewrite.roots import divide_by_roots
from tflrecover.rewrite.scalars import known_array, scale_operands
from tflrecover.rewrite.turned import End, Turned, turn_ends, turned_ends
from tflrecover.rewrite.unroll import unroll_loops
from tflrecover.rewrite.variables import forget_states
from tflrecover.stages import stage
from tflrecover.weight import Apply, Literal, Weight, parts

Aligner = Callable[[Sequence[int]], Alignment]


@dataclass(frozen=True, slots=True)
class Form:
    """What both sides are brought to besides the rules that always run.

    Attributes:
        rules: Rules that were asked for, too.
        forget: Whether states are forgotten.
        turned: Ends of the first side that are given the second's layout.
    """

    rules: tuple[Rule, ...] = ()
    forget: bool = False
    turned: tuple[Turned, ...] = ()

    def by(self, *rules: Rule) -> Form:
        """The form that more rules give."""
        return replace(self, rules=(*self.rules, *rules))


@dataclass(frozen=True, eq=False)
class Facing:
    """Two sides to be compared.

    Attributes:
        mine: The file's, or the first of two.
        theirs: The model's, or the second of two.
        mapping: With names resolved.
        inputs: Input number of the first to input number of the second, where it is certain.
        numbered: Those of them that are paired by a number in a signature alone.
        forms: What the first was brought to. The same first side faces one model after another while arguments of
            layers are tried.
        in_all_forms: Whether to bring both also to forms in which no difference is told, and to write out loops that
            both have.
    """

    mine: Side
    theirs: Side
    mapping: ResolvedMapping
    inputs: Mapping[int, int]
    numbered: frozenset[int]
    forms: dict[Form, tuple[Draft, Graph]] = field(default_factory=dict, repr=False)
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

    Where the one has its channels first at an end and the other last, the first is also looked at as if it had the
    ends of the second; that it has not is then told as the difference that it is.
    """
    stage("comparing both sides")
    found = _aligned_with_states(both, Form())
    if found.alignment.complete:
        return found
    turned = (*_turned(both, "input"), *_turned(both, "output"))
    if not turned:
        return found
    other = _aligned_with_states(both, Form(turned=turned))
    proves_more = len(other.alignment.pairs) >= len(found.alignment.pairs)
    return other if other.alignment.complete or proves_more else found


def _turned(both: Facing, end: End) -> tuple[Turned, ...]:
    mine, theirs = (
        [side.source.values[v].shape or () for v in (side.source.inputs if end == "input" else side.source.outputs)]
        for side in (both.mine, both.theirs)
    )
    return turned_ends(end, mine, theirs)


def _aligned_with_states(both: Facing, form: Form) -> Sides:
    """Where one side keeps states between calls and the other does not, and nothing else differs, neither keeps any.

    That one does is then told as the difference that it is.
    """
    found = _aligned_in_forms(both, form)
    states = [count(graph, "STATE") for graph in (found.file, found.keras)]
    if found.alignment.complete or all(states) or not any(states):
        return found
    blank = _aligned_in_forms(both, replace(form, forget=True))
    return blank if blank.alignment.complete else found


def _aligned_in_forms(both: Facing, form: Form) -> Sides:
    """In the first form that proves both sides the same; where none does, in the one in which differences are told.

    A factor behind a matrix product stays there, unless one side alone has it, or has another one: a part of it may be
    in the weights of a layer before. Masks stay as they are, unless they are of other low numbers, and so do constants
    that repeat themselves, unless one side alone has them so.
    """
    found = told = _aligned_as(both, form)
    for notation in _NOTATIONS:
        wanted = () if _is_proved(found) else notation.rules(both, told)
        if not wanted:
            continue
        other = _aligned_as(both, form.by(*wanted))
        is_better = _is_proved(other) or (other.alignment.complete and not found.alignment.complete)
        if is_better and not _lacks_a_scale(other):
            found, form = other, form.by(*wanted)
        elif not found.alignment.complete and notation.tells(told, other) and _open(other) < _open(told):
            found = other
            if notation.stays:
                told, form = other, form.by(*wanted)
    for rule, is_needed in ((select_scores, _is_masked_otherwise), (drop_repeats, _is_repeated_otherwise)):
        if found.alignment.complete and is_needed(found):
            other = _aligned_as(both, form.by(rule))
            found, form = (other, form.by(rule)) if other.alignment.complete else (found, form)
    is_scaled = bool(found.alignment.odd) or bool(form.rules and _is_scaled_otherwise(found))
    if found.alignment.complete and is_scaled and not _lacks_any_factor(found):
        scaled = _aligned_as(both, form.by(scale_operands))
        return scaled if _is_proved(scaled) else found
    return found


def _is_proved(sides: Sides) -> bool:
    """Whether both are the same, and nothing is scaled on one side alone."""
    return sides.alignment.complete and not sides.alignment.odd


def _lacks_a_scale(sides: Sides) -> bool:
    """Whether the file scales or shifts where the model does not: a layer behind could, but the file says who does."""
    both = ((scaling(sides.file, one.file), scaling(sides.keras, one.keras)) for one in sides.alignment.links)
    return any(m is not None and t is None for mine, theirs in both for m, t in zip(mine, theirs, strict=True))


def _lacks_any_factor(sides: Sides) -> bool:
    """Whether the file has factors of its own, and the model none that could be these, be it within its weights."""
    if not all(link.file for link in sides.alignment.odd):
        return False
    weights = (value.weight for value in sides.keras.values.values() if value.weight is not None)
    return bool(sides.alignment.odd) and not any(map(_is_multiplied, weights))


def _is_multiplied(weight: Weight) -> bool:
    """Whether a number of the model's code is a factor of a weight, as a scaling behind a linear layer is."""
    products = (p for p in parts(weight) if isinstance(p, Apply) and p.function.name in ("MUL", "DIV"))
    return any(isinstance(arg, Literal) and arg.array.size == 1 for product in products for arg in product.args)


def _one_sided(both: Facing, found: Sides) -> tuple[Rule, ...]:
    """What one side may write otherwise is written so on both, where they have it in different numbers."""
    return tuple(rule for rule, amount in ONE_SIDED.items() if amount(found.file) != amount(found.keras))


def _repeated_alike(both: Facing, found: Sides) -> tuple[Rule, ...]:
    """So are constants that repeat themselves for each example."""
    repeats = _repeats(found)
    return (*_one_sided(both, found), *repeats) if repeats else ()


def _repeats(found: Sides) -> tuple[Rule, ...]:
    return (drop_repeats,) if _is_repeated_otherwise(found) else ()


def _without_loops(both: Facing, found: Sides) -> tuple[Rule, ...]:
    """Loops are written out: the one side may have as a loop what the other has unrolled."""
    mine, theirs = _loops(found)
    may_tell = both.in_all_forms or mine != theirs or _open(found) > 0
    return (unroll_loops,) if (mine or theirs) and may_tell else ()


def _steps_alike(both: Facing, found: Sides) -> tuple[Rule, ...]:
    """Where one side alone has loops, each step of the other is brought to the form of a loop's."""
    mine, theirs = _loops(found)
    return STEPS if mine != theirs and both.in_all_forms else ()


def _written_alike(both: Facing, found: Sides) -> tuple[Rule, ...]:
    """Norms and attention are brought to one form, in which no difference is told."""
    is_rich = any(count(found.file, kind) for kind in ("RSQRT", "EINSUM"))
    return (*COMPOSED, *_repeats(found)) if is_rich and both.in_all_forms else ()


def _arranged_alike(both: Facing, found: Sides) -> tuple[Rule, ...]:
    """Moved axes, too."""
    is_moved = any(count(graph, kind) for graph in (found.file, found.keras) for kind in ("TRANSPOSE", "RESHAPE"))
    return tuple(dict.fromkeys((*COMPOSED, *ARRANGED))) if is_moved and both.in_all_forms else ()


def _sunk_alike(both: Facing, found: Sides) -> tuple[Rule, ...]:
    """Transposes and reshapes sink as far as they can, where both sides have one that fits none of the other's."""
    alignment = found.alignment
    mine = (op.type for f, op in enumerate(alignment.file.ops) if f not in alignment.pairs)
    theirs = (op.type for k, op in enumerate(alignment.keras.ops) if k not in alignment.back)
    return (sink_layouts,) if "TRANSPOSE" in mine and "TRANSPOSE" in theirs else ()


def _with_own_norms(both: Facing, found: Sides) -> tuple[Rule, ...]:
    """A norm that one side alone writes as its formula, with a mean that is subtracted first, is written so on both."""
    rules = _written_alike(both, found)
    is_one_sided = count(found.file, "SUB") != count(found.keras, "SUB")
    return (*rules, *OWN_NORMS) if rules and is_one_sided else ()


def _arranged_with_own_norms(both: Facing, found: Sides) -> tuple[Rule, ...]:
    """Such a norm along moved axes."""
    arranged = _arranged_alike(both, found)
    return (*OWN_NORMS, *arranged) if arranged and _written_alike(both, found) else ()


def _units_as_reshapes(both: Facing, found: Sides) -> tuple[Rule, ...]:
    """Axes of size 1 are moved by reshapes, where there are such that may have taken a transpose in."""
    return (reshape_units,) if both.in_all_forms and count(found.file, "RESHAPE") else ()


def _loops(sides: Sides) -> tuple[int, int]:
    return count(sides.file, "LOOP"), count(sides.keras, "LOOP")


@dataclass(frozen=True, slots=True)
class _Notation:
    """A way to write both sides that may prove more than how they are written.

    Attributes:
        rules: Which rules write them so; none where there is nothing that they could bring together.
        tells: Whether differences may be told in it, too, by the sides as they are and written so.
        stays: Whether the notations after it build on it, if differences are told in it.
    """

    rules: Callable[[Facing, Sides], tuple[Rule, ...]]
    tells: Callable[[Sides, Sides], bool] = lambda found, other: False
    stays: bool = False


def _plain(rule: Rule, *amounts: Callable[[Graph], object]) -> _Notation:
    """One that hides nothing, by a rule that is asked for where one side has more of something."""

    def rules(both: Facing, found: Sides) -> tuple[Rule, ...]:
        return (rule,) if any(amount(found.file) != amount(found.keras) for amount in amounts) else ()

    return _Notation(rules, tells=lambda found, other: True, stays=True)


_NOTATIONS = (
    # Who puts the axes there that a reduction keeps.
    _plain(drop_kept_axes, reductions_that_keep),
    # What is done to each step alike.
    _plain(join_steps, partial(count, kind="PACK")),
    # How one divides by a root, and squares.
    _plain(divide_by_roots, partial(count, kind="DIV"), partial(count, kind="RSQRT")),
    _plain(square_differences, partial(count, kind="SQUARED_DIFFERENCE")),
    _Notation(_one_sided),
    _Notation(_repeated_alike),
    # How far reshapes sink hides nothing.
    _Notation(_sunk_alike, tells=lambda found, other: True),
    # What one side has written out as steps can only be told apart step by step. Where both have loops, but each in a
    # form of its own, all of them have to be pairs when they are written out.
    _Notation(_without_loops, tells=lambda found, other: len(set(_loops(found))) > 1 or not _open(other)),
    _Notation(_steps_alike),
    _Notation(_written_alike),
    _Notation(_with_own_norms),
    _Notation(_arranged_alike),
    _Notation(_arranged_with_own_norms),
    _Notation(_units_as_reshapes),
)
"""What is tried, in this order, where the sides as they are do not prove to be the same."""


def _open(sides: Sides) -> int:
    """How many operators of either side have no counterpart of their type."""
    file, keras = sides.alignment.file, sides.alignment.keras
    alike = sum(file.ops[f].type == keras.ops[k].type for f, k in sides.alignment.pairs.items())
    return len(file) + len(keras) - 2 * alike


def _is_scaled_otherwise(sides: Sides) -> bool:
    """Whether both sides have a number of their own somewhere, and another one: a part of it may be in weights."""
    for link in sides.alignment.links:
        scales = scaling(sides.file, link.file)[0], scaling(sides.keras, link.keras)[0]
        known = [None if scale is None else known_array(sides.draft, scale) for scale in scales]
        mine, theirs = known
        if mine is not None and theirs is not None and mine.size == theirs.size == 1 and not np.allclose(mine, theirs):
            return True
    return False


def _is_masked_otherwise(sides: Sides) -> bool:
    """Whether other low numbers stand on the two sides where a score does not count: none leaves anything of it."""
    mine, theirs = (
        {
            low.item()
            for op in graph.ops()
            if op.type == "SELECT_V2" and op.inputs[2] is not None
            if (weight := graph.values[op.inputs[2]].weight) is not None
            if (low := known_array(sides.draft, weight)) is not None and low.size == 1
        }
        for graph in (sides.file, sides.keras)
    )
    return any(low <= HIDDEN for low in mine ^ theirs)


def _is_repeated_otherwise(sides: Sides) -> bool:
    """Whether one side alone has a constant once for each example: what repeats the other's is broadcasting."""
    return whole_constants(sides.file) != whole_constants(sides.keras)


def _aligned_as(both: Facing, form: Form) -> Sides:
    if form not in both.forms:
        both.forms[form] = _canonical(both.mine, both.mapping, form, both.mapping.ignore)
    draft, file = both.forms[form]
    _, keras = _canonical(both.theirs, both.mapping, replace(form, turned=()))
    alignment, by_order, pins = align_by_order(file, keras, _pins(both, file, keras), both.theirs.layers)
    return Sides(both, draft, file, keras, alignment, partial(align, file, keras, pins), by_order)


def _canonical(
    side: Side, mapping: ResolvedMapping, form: Form, ignore: Iterable[int | str] = ()
) -> tuple[Draft, Graph]:
    draft = side.draft(mapping.custom_ops)
    for place in ignore:
        _bypass(draft, place)
    turn_ends(draft, form.turned)
    forgotten = forget_states(draft) if form.forget else ()
    with side.blamed():
        return draft, canonicalize(draft, form.rules).freeze(side.name, forgotten=forgotten, turned=form.turned)


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
    outputs = pin(names, given, possible, mapping.outputs, numbered=both.mine.is_numbered)
    numbered = numbered_only(names, given, possible, mapping.outputs) if both.mine.is_numbered else frozenset[int]()
    inputs = {**both.inputs, **mapping.inputs}
    return Pins(inputs, outputs, mapping.match, both.numbered - mapping.inputs.keys(), numbered)
