"""A recurrent layer whose steps a file writes out one after the other becomes the layer.

Steps are found by their kernel: dense layers with one kernel, each on what comes of the one before, take the states of
a cell. Every step must be that cell (:mod:`tflrecover.recovery.cells`), with the same weights, on the next place of one
sequence. A converter folds the zeros that the first step starts with, so that of it only a part is left: that is
computed, and compared with what another step makes of zeros.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tflrecover import ops, tolerances
from tflrecover.evaluation import evaluated
from tflrecover.ir import Op
from tflrecover.ops.slicing import WHOLE
from tflrecover.recovery.cells import Cell, State, cell_of, output_parts
from tflrecover.recovery.moves import moved
from tflrecover.recovery.recurrent import become, unstack
from tflrecover.recovery.sequences import swapped
from tflrecover.rewrite.common import signature
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.match import array, bare, maker
from tflrecover.rewrite.writer import Writer
from tflrecover.weight import Array, Literal

# How many operators the last step may be made of: nothing behind it has the kernel that steps are found by.
_MOST_OF_A_STEP = 60
_JOIN = "CONCATENATION"


def roll_steps(draft: Draft) -> int:
    """Steps of a cell, each on what the one before gives, become ``RECURRENT``."""
    count = 0
    groups: dict[Hashable, list[Op]] = defaultdict(list)
    for op in draft.ordered("FULLY_CONNECTED"):
        kernel = draft.weight(op.inputs[1])
        if kernel is not None and op.id not in draft.opaque:
            groups[signature(kernel, draft)].append(op)
    for group in groups.values():
        left = [draft.ops[op.id] for op in group if op.id in draft.ops]
        if len(left) > 1 and (found := _found(draft, left)) is not None:
            _replace(draft, found)
            draft.prune()
            count += 1
    # What was only looked at.
    draft.prune()
    return count


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """Steps that were found.

    Attributes:
        cells: One per step that takes a state.
        x: With the axes batch, time, features, but for their order and shape.
        is_time_first: The order of the first two.
        sizes: Batch, time and features.
        is_backwards: Whether the last place is the first step's.
        is_from_zero: Whether the states of the first cell are what a step before it makes of zeros.
    """

    cells: Sequence[Cell]
    x: int
    is_time_first: bool
    sizes: tuple[int, int, int]
    is_backwards: bool
    is_from_zero: bool


def _found(draft: Draft, group: Sequence[Op]) -> _Layer | None:
    for products, states in _states(draft, group):
        with _apart(draft, states):
            cells = list(_chain(draft, products, states))
        if len(cells) > 1 and (found := _sequence(draft, cells)) is not None:
            return found
    return None


def _states(draft: Draft, group: Sequence[Op]) -> Iterator[tuple[Sequence[Op], list[int | None]]]:
    """Products, and what they are of: all of it, or one part of what is joined before them."""
    whole = [bare(draft, op.inputs[0]) for op in group]
    joined = [(op, made) for op, value in zip(group, whole, strict=True) if (made := maker(draft, value, _JOIN))]
    yield group, whole
    for part in zip(*(made.inputs for _, made in joined), strict=False):
        yield [op for op, _ in joined], [bare(draft, value) for value in part]


@contextlib.contextmanager
def _apart(draft: Draft, values: Iterable[int | None]) -> Iterator[None]:
    """What a state is made of is no part of the step that takes it."""
    makers = {made.id for value in values if (made := draft.producer(value)) is not None} - draft.opaque
    draft.opaque |= makers
    yield
    draft.opaque -= makers


def _chain(draft: Draft, group: Sequence[Op], states: Sequence[int | None]) -> Iterator[Cell]:
    """Cells of which each takes what the one before gives."""
    before: Cell | None = None
    for op, value, following in zip(group, states, [*states[1:], None], strict=True):
        if value is None or draft.weight(value) is not None:
            continue
        ends = [following] if following is not None else _behind(draft, op, value)
        cells = (cell for end in ends for cell in _cells(draft, value, end))
        cell = next((cell for cell in cells if before is None or _goes_on(before, cell)), None)
        if cell is None:
            return
        yield cell
        before = cell


def _behind(draft: Draft, op: Op, value: int) -> list[int]:
    """What the last step may give: values behind its product that are made as those before."""
    made = draft.producer(value)
    found: list[int] = []
    seen, frontier = {op.id}, [op]
    while frontier and len(seen) < _MOST_OF_A_STEP and made is not None:
        users = {use.id: use for one in frontier for result in one.outputs for use, _ in draft.consumers(result)}
        frontier = [use for use in users.values() if use.id not in seen]
        seen.update(users)
        found += [
            use.outputs[0]
            for use in frontier
            if use.type == made.type and draft.shape(use.outputs[0]) == draft.shape(value)
        ]
    return found


def _cells(draft: Draft, value: int, following: int) -> Iterator[Cell]:
    """The cell that makes one state of another; a second state is looked for."""
    h = State(value, following)
    if (alone := cell_of(draft, [h])) is not None:
        yield alone
    for old, new in output_parts(draft, following):
        if (both := cell_of(draft, [h, State(old, new)])) is not None:
            yield both


def _goes_on(before: Cell, cell: Cell) -> bool:
    """Whether a cell is the same, and takes what the other gives."""
    is_same = before.kind == cell.kind and before.attributes == cell.attributes
    is_next = [state.next for state in before.states] == [state.value for state in cell.states]
    weights = zip(before.weights, cell.weights, strict=True)
    return is_same and is_next and all(_are_equal(one, other) for one, other in weights)


def _are_equal(one: Array | None, other: Array | None) -> bool:
    return np.array_equal(one, other) if one is not None and other is not None else one is other


def _sequence(draft: Draft, cells: Sequence[Cell]) -> _Layer | None:
    """What the items of all steps are of: each is a place of it, in order, and none is left out."""
    items = [moved(draft, cell.item) for cell in cells]
    first = items[0]
    if first is None or any(item is None or item.source != first.source for item in items):
        return None
    known = [item for item in items if item is not None and item.shift is None and item.scale == 1.0]
    shape = draft.shape(first.source)
    batch, size = (int(np.prod(first.index.shape[:-1])), first.index.shape[-1])
    total = int(np.prod(shape))
    if len(known) != len(cells) or total % (batch * size):
        return None
    steps = total // (batch * size)
    whole = np.arange(total)
    for is_time_first, places in enumerate(
        (whole.reshape(batch, steps, size).swapaxes(0, 1), whole.reshape(steps, batch, size))
    ):
        taken = [_place(places, item.index.reshape(batch, size)) for item in known]
        sizes = (batch, steps, size)
        for is_backwards in (False, True):
            order = list(range(steps))[:: -1 if is_backwards else 1]
            if taken == order:
                return _Layer(cells, first.source, bool(is_time_first), sizes, is_backwards, is_from_zero=False)
            if taken == order[1:] and _is_from_zero(draft, cells[0], first.source, places, order):
                return _Layer(cells, first.source, bool(is_time_first), sizes, is_backwards, is_from_zero=True)
    return None


def _place(places: Array, item: Array) -> int | None:
    (found,) = np.nonzero(places[:, 0, 0] == item[0, 0])
    return int(found[0]) if len(found) == 1 and np.array_equal(places[found[0]], item) else None


def _is_from_zero(draft: Draft, cell: Cell, x: int, places: Array, order: Sequence[int]) -> bool:
    """Whether the states of a step are what it would itself make of zeros, on the place before its own."""
    generator = np.random.default_rng(0)
    sequences = []
    item = generator.uniform(-1, 1, places.shape[1:])
    for place in order[:2]:
        # No other place has the item, so that it is known which one is read.
        given = generator.uniform(-1, 1, places.size).astype(np.float32)
        given[places[place]] = item
        sequences.append({x: given.reshape(draft.shape(x))})
    zeros = {state.value: np.zeros(draft.shape(state.value), np.float32) for state in cell.states}
    before = [_computed(draft, state.value, sequences[0]) for state in cell.states]
    after = [_computed(draft, state.next, {**sequences[1], **zeros}) for state in cell.states]
    return all(
        one is not None
        and other is not None
        and one.size == other.size
        and np.allclose(one.reshape(-1), other.reshape(-1), rtol=0, atol=tolerances.LITERAL * np.abs(other).max())
        for one, other in zip(before, after, strict=True)
    )


def _computed(draft: Draft, value: int, given: Mapping[int, Array]) -> Array | None:
    """A value of others; None where it is made of what is not given, or by what has no evaluation."""
    known = dict(given)
    stack = [value]
    while stack:
        one = stack[-1]
        op, constant = draft.producer(one), array(draft, one)
        if one not in known and constant is not None:
            known[one] = constant
        if one in known:
            stack.pop()
            continue
        if op is None or op.id in draft.opaque:
            return None
        missing = [operand for operand in op.inputs if operand is not None and operand not in known]
        if missing:
            stack += missing
            continue
        args = [None if operand is None else known[operand] for operand in op.inputs]
        made = evaluated(op, args, draft.shape(op.outputs[0]))
        if made is None or one not in op.outputs[: len(made)]:
            return None
        known.update(zip(op.outputs, made, strict=False))
    return known[value]


def _replace(draft: Draft, found: _Layer) -> None:
    """Puts the layer in; steps go where nothing else takes a part of them."""
    first, last = found.cells[0], found.cells[-1]
    end = draft.producer(last.states[0].next)
    assert end is not None
    write, (batch, steps, size) = Writer(draft, end), found.sizes
    x = write.reshaped(found.x, (steps, batch, size) if found.is_time_first else (batch, steps, size))
    x = write.transposed(x, (1, 0, 2)) if found.is_time_first else x
    initial = () if found.is_from_zero else tuple(state.value for state in first.states)
    units, (kernel, recurrent, bias) = last.weights[1].shape[0], last.weights
    begun = [write.reshaped(value, (batch, units)) for value in initial]
    weights = [None if one is None else draft.constant(Literal.of(one)) for one in (kernel, recurrent, bias)]
    known = draft.values[end.outputs[0]]
    shapes = [(batch, steps, units), *[(batch, units)] * len(last.states)]
    results = tuple(draft.new_value(shape, known.dtype, known.name) for shape in shapes)
    attributes = {"cell": last.kind, **last.attributes, "go_backwards": found.is_backwards}
    attributes |= {"return_sequences": True, "return_state": True, "zero_output_for_mask": False}
    layer = Op(f"{end.id}.steps", "RECURRENT", (x, *weights, None, *begun), results, attributes, end.layer, end.origins)
    draft.add(layer)
    outputs = [state.value for state in (first.states[:1] if found.is_from_zero else ())]
    outputs += [cell.states[0].next for cell in found.cells]
    for place, value in enumerate(outputs):
        taken = write.add("STRIDED_SLICE", results[:1], slices=(WHOLE, place))
        become(draft, write, value, taken)
    for state, result in zip(last.states[1:], results[2:], strict=True):
        become(draft, write, state.next, result)
    draft.prune()
    _join(draft, layer)
    _settle(draft, draft.ops[layer.id])


def _join(draft: Draft, layer: Op) -> None:
    """What joins the results of all steps is the sequence of them, forwards or backwards, with either axis first."""
    sequence = layer.outputs[0]
    shape = draft.shape(sequence)
    whole = np.arange(int(np.prod(shape))).reshape(shape)
    for op in draft.of_type("PACK", _JOIN):
        items = [moved(draft, value) for value in op.inputs]
        if any(item is None or item.source != sequence or item.shift is not None or item.scale != 1 for item in items):
            continue
        spec = ops.by_name(op.type)
        assert spec is not None
        joined = spec.compute([item.index for item in items if item is not None], op.attributes)
        write = Writer(draft, op)
        for is_turned in (False, True):
            x = write.add("REVERSE_V2", (sequence,), shape, axis=(1,)) if is_turned else sequence
            wanted = whole[:, ::-1] if is_turned else whole
            if np.array_equal(joined, wanted.swapaxes(0, 1)):
                _keep_rows(draft, op.outputs[0], x)
                unstack(draft, write, op.outputs[0], x)
            elif np.array_equal(joined.reshape(-1), wanted.reshape(-1)):
                become(draft, write, op.outputs[0], x)
        draft.prune()


def _keep_rows(draft: Draft, joined: int, sequence: int) -> None:
    """Of one example, what makes rows of all steps does so whichever axis is first."""
    for user, _ in draft.consumers(joined):
        if user.type == "RESHAPE" and draft.shape(sequence)[0] == 1 and swapped(draft, user) is None:
            draft.replace(user.evolve(inputs=(sequence,)))


def _settle(draft: Draft, layer: Op) -> None:
    """Only what is taken is given: the last step alone, or all, and the last states."""
    sequence, last, *others = layer.outputs
    steps = draft.shape(sequence)[1]
    uses = [use for use, _ in draft.consumers(sequence)]
    is_wanted = any(draft.consumers(value) or value in draft.outputs for value in others)
    ends = [use for use in uses if use.type == "STRIDED_SLICE" and use.attributes["slices"] == (WHOLE, steps - 1)]
    is_sequence = len(ends) != len(uses) or sequence in draft.outputs
    attributes = {**layer.attributes, "return_sequences": is_sequence, "return_state": is_wanted}
    result = last if is_wanted and is_sequence else draft.new_value(draft.shape(last), draft.values[last].dtype)
    if not is_sequence or is_wanted:
        for use in ends:
            draft.redirect(use.outputs[0], result)
            draft.remove(use.id)
    first = sequence if is_sequence else result
    outputs = (first, last, *others) if is_wanted else (first,)
    draft.replace(layer.evolve(outputs=outputs, attributes=attributes))
