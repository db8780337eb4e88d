"""A loop that is one of Keras's recurrent layers becomes that layer.

It is one if its states become what the layer's cell makes of them, operator by operator, and every kernel is that of
a product with the item at the loop's index or with a state (:mod:`tflrecover.recovery.cells`). Anything else stays a
loop.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from tflrecover.ir import Op
from tflrecover.ops.slicing import WHOLE
from tflrecover.recovery.cells import CELLS, Cell, State, cell_of
from tflrecover.recovery.sequences import batch_first, from_the_end, swap, swapped
from tflrecover.rewrite.draft import Draft
from tflrecover.rewrite.loops import reached
from tflrecover.rewrite.match import array
from tflrecover.rewrite.writer import Writer
from tflrecover.weight import Literal

# What may stand between a mask's item and where it is asked for each number of a state.
_REPEATS = ("TILE", "BROADCAST_TO", "RESHAPE")
_OUTPUT = 0


def fuse_recurrent(draft: Draft) -> int:
    """``LOOP … END_LOOP = RECURRENT`` where the body is a cell of Keras."""
    count = 0
    for end in draft.ordered("END_LOOP"):
        start = draft.producer(end.inputs[0])
        if start is None or start.type != "LOOP" or not end.attributes.get("trips"):
            continue
        loop = _Loop(draft, start, end)
        found = loop.layer()
        if found is not None:
            _replace(draft, loop, found)
            count += 1
    return count


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """What a loop was found to be.

    Attributes:
        cell: Its cell.
        x: The sequence, time first.
        mask: Of the sequence, time first.
        initial: What the states begin with; empty for zeros.
        finals: Result of the loop to the number of the cell's state that it is, in the last iteration.
        stacked: Results of the loop that are the outputs of all iterations.
        is_zeroed: Whether the output is zero, and not the last one, for what the mask leaves out.
    """

    cell: Cell
    x: int
    mask: int | None
    initial: tuple[int, ...]
    finals: Mapping[int, int]
    stacked: tuple[int, ...]
    is_zeroed: bool


class _Loop:
    """A loop while it is looked at."""

    def __init__(self, draft: Draft, start: Op, end: Op) -> None:
        self.draft, self.start, self.end = draft, start, end
        self.index, *begun = start.outputs
        self.initial = dict(zip(begun, start.inputs, strict=True))
        self.following = dict(zip(begun, end.inputs[2:], strict=False))
        self.masks: set[int] = set()

    def layer(self) -> _Layer | None:
        """The layer that it is, or None."""
        states = [State(value, made) for value, v in self.following.items() if (made := self._made(v)) is not None]
        for count in sorted({count for count, _ in CELLS}, reverse=True):
            for chosen in itertools.permutations(states, count):
                cell = cell_of(self.draft, chosen)
                if cell is not None and (layer := self._of(cell)) is not None:
                    return layer
        return None

    def _made(self, following: int | None) -> int | None:
        """What a state becomes where no mask keeps it as it was."""
        op = self.draft.producer(following)
        if op is not None and op.type == "SELECT_V2":
            return op.inputs[1]
        return following

    def _of(self, cell: Cell) -> _Layer | None:
        self.masks = set()
        x, initial = self._sequence(cell.item), self._initial(cell)
        ends = dict(zip(self.end.outputs, self.end.inputs[2:], strict=True))
        used = {final: value for final, value in ends.items() if _is_used(self.draft, final)}
        numbers = {final: self._number(cell, value) for final, value in used.items()}
        own = [self._number(cell, self.following[state.value]) for state in cell.states]
        if x is None or initial is None or None in numbers.values() or None in own:
            return None
        mask = self._mask() if self.masks else None
        kept = [self.following[state.value] for state in cell.states]
        is_masked = [self._is_chosen(value) for value in (*kept, *used.values())]
        if len(self.draft.shape(x)) != 3 or len(set(is_masked)) != 1 or is_masked[0] != (mask is not None):
            return None
        stacked = tuple(final for final in self.end.outputs[len(self.following) :] if final in used)
        if any(numbers[final] != _OUTPUT for final in stacked):
            return None
        finals = {final: n for final, n in numbers.items() if n is not None and final not in stacked}
        outputs = set(stacked or (final for final, n in finals.items() if n == _OUTPUT))
        zeroed = {final for final, value in used.items() if self._is_zeroed(value)}
        return None if zeroed and zeroed != outputs else _Layer(cell, x, mask, initial, finals, stacked, bool(zeroed))

    def _is_zeroed(self, value: int | None) -> bool:
        """Whether it is zero where the mask leaves an item out."""
        op = self._plain(value)
        return op is not None and op.type == "SELECT_V2" and self._is_zero(op.inputs[2])

    def _is_chosen(self, value: int | None) -> bool:
        op = self._plain(value)
        return op is not None and op.type == "SELECT_V2"

    def _plain(self, value: int | None) -> Op | None:
        """What makes a value, but for its shape."""
        op = self.draft.producer(value)
        while op is not None and op.type == "RESHAPE":
            op = self.draft.producer(op.inputs[0])
        return op

    def _sequence(self, item: int) -> int | None:
        """What the loop takes one item of in each iteration."""
        op = self.draft.producer(item)
        if op is None or op.type != "GATHER" or op.inputs[1] != self.index or op.inputs[0] is None:
            return None
        is_whole = self.draft.shape(op.inputs[0])[:1] == (self.end.attributes["trips"],)
        if not is_whole or op.attributes["axis"] != 0 or reached(self.draft, op.inputs[:1], self.start):
            return None
        return None if self.draft.weight(op.inputs[0]) is not None else op.inputs[0]

    def _initial(self, cell: Cell) -> tuple[int, ...] | None:
        given = [self.initial[state.value] for state in cell.states]
        if all(self._is_zero(value) for value in given):
            return ()
        free = tuple(value for value in given if value is not None and self.draft.weight(value) is None)
        return free if len(free) == len(given) else None

    def _is_zero(self, value: int | None) -> bool:
        known = array(self.draft, value)
        return known is not None and not known.any()

    def _number(self, cell: Cell, value: int | None) -> int | None:
        """Which state of the cell a value of the body is, but for its shape; a mask may choose it."""
        op, made = self._plain(value), [state.next for state in cell.states]
        if op is None or op.type != "SELECT_V2":
            return made.index(op.outputs[0]) if op is not None and op.outputs[0] in made else None
        condition, new, old = op.inputs
        if new not in made or condition is None or old is None:
            return None
        self.masks.add(condition)
        number = made.index(new)
        if self._is_zero(old):
            return number if number == _OUTPUT else None
        # Keras's output is zero before the first item that is not masked.
        is_own = old == cell.states[number].value
        is_from_zero = self._is_zero(self.initial.get(old)) and self._plain(self.following.get(old)) is op
        return number if is_own or (number == _OUTPUT and is_from_zero and self._starts_at_zero(cell)) else None

    def _starts_at_zero(self, cell: Cell) -> bool:
        return self._is_zero(self.initial[cell.states[_OUTPUT].value])

    def _mask(self) -> int | None:
        """The one sequence that all masks are items of."""
        found = set()
        for value in self.masks:
            op = self.draft.producer(value)
            while op is not None and op.type in _REPEATS:
                op = self.draft.producer(op.inputs[0])
            found.add(None if op is None or not op.outputs else self._sequence(op.outputs[0]))
        return found.pop() if len(found) == 1 else None


def _is_used(draft: Draft, value: int) -> bool:
    return bool(draft.consumers(value)) or value in draft.outputs


def _replace(draft: Draft, loop: _Loop, layer: _Layer) -> None:
    end, cell, write = loop.end, layer.cell, Writer(draft, loop.end)
    x, mask, is_backwards = layer.x, layer.mask, False
    turned = [from_the_end(draft, value) for value in (x, mask) if value is not None]
    if all(value is not None for value in turned):
        x, mask, is_backwards = turned[0] or x, turned[-1] if mask is not None else None, True
    x = batch_first(draft, write, x)
    if mask is None and (inner := from_the_end(draft, x, axis=1)) is not None:
        x, is_backwards = inner, not is_backwards
    batch, steps, _ = draft.shape(x)
    if mask is not None:
        made = draft.producer(mask)
        is_moved = made is not None and made.type == "RESHAPE" and draft.shape(made.inputs[0])[:2] == (1, steps)
        first = made.inputs[0] if made is not None and is_moved else batch_first(draft, write, mask)
        mask = write.reshaped(first, (batch, steps))
    units, dtype = draft.shape(cell.states[0].value)[-1], draft.values[x].dtype
    lasts = [_last_step(draft, final, steps) for final in layer.stacked]
    is_sequence = any(last is None for last in lasts)
    asked = set(layer.finals.values())
    has_states = bool(asked - {_OUTPUT}) or (is_sequence and bool(asked))
    name = draft.values[end.outputs[0]].name
    results = [draft.new_value((batch, steps, units) if is_sequence else (batch, units), dtype, name)]
    if has_states:
        results += [draft.new_value((batch, units), dtype, name) for _ in cell.states]
    weights = tuple(None if array is None else draft.constant(Literal.of(array)) for array in cell.weights)
    attributes = {"cell": cell.kind, **cell.attributes, "go_backwards": is_backwards}
    attributes |= {"return_sequences": is_sequence, "return_state": has_states}
    attributes |= {"zero_output_for_mask": layer.is_zeroed}
    draft.remove(end.id)
    inputs = (x, *weights, mask, *layer.initial)
    draft.add(end.evolve(type="RECURRENT", inputs=inputs, outputs=tuple(results), attributes=attributes))
    for final, number in layer.finals.items():
        become(draft, write, final, results[1 + number] if has_states else results[0])
    for final, last in zip(layer.stacked, lasts, strict=True):
        if is_sequence:
            unstack(draft, write, final, results[0])
        elif last is not None:
            become(draft, write, last, results[0])


def _last_step(draft: Draft, final: int, steps: int) -> int | None:
    """The last item of a stacked result, where nothing takes another."""
    op = draft.only_consumer(final)
    slices: tuple[object, ...] = (steps - 1,)
    if op is not None and swapped(draft, op) == final:
        op, slices = draft.only_consumer(op.outputs[0]), (WHOLE, steps - 1)
    is_last = op is not None and op.type == "STRIDED_SLICE" and op.attributes["slices"] == slices
    return op.outputs[0] if op is not None and is_last else None


def unstack(draft: Draft, write: Writer, final: int, sequence: int) -> None:
    """Operators that bring the batch of a stacked result to the front again go."""
    for user, _ in draft.consumers(final):
        if swapped(draft, user) == final and draft.shape(user.outputs[0]) == draft.shape(sequence):
            draft.redirect(user.outputs[0], sequence)
            draft.remove(user.id)
    if _is_used(draft, final):
        become(draft, write, final, swap(draft, write, sequence))


def become(draft: Draft, write: Writer, old: int, new: int) -> None:
    """A value is another one, but for its shape; operators that only give it that shape go."""
    for user, _ in draft.consumers(old):
        if user.type == "RESHAPE" and draft.shape(user.outputs[0]) == draft.shape(new):
            draft.redirect(user.outputs[0], new)
            draft.remove(user.id)
    if _is_used(draft, old) and (made := write.reshaped(new, draft.shape(old))) is not None:
        draft.redirect(old, made)
