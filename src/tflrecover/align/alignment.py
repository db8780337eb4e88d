"""Runs the matching steps in order and keeps what they agree on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from tflrecover.align.isomorphism import is_isomorphic, is_same_function
from tflrecover.align.links import Link
from tflrecover.align.matching import Matching
from tflrecover.align.pins import Pins
from tflrecover.align.sequence import read_in_order
from tflrecover.align.steps import (
    BY_DECLARATION,
    BY_TYPE,
    Groups,
    Step,
    break_ties,
    is_declared_alike,
    symmetric_groups,
)
from tflrecover.align.view import Edge, View, view
from tflrecover.ir import Graph, Match

# Steps whose choice is no evidence of which input or output is which.
_FREE = ("symmetry", "counted names")


@dataclass(frozen=True, eq=False)
class Alignment:
    """Pairs of operators, and what could not be decided.

    Attributes:
        file: The file's side.
        keras: Keras's side.
        pairs: Node of the file to node of Keras, pairs that the two orders of steps disagree on included.
        matches: The sure ones with ids, step and evidence.
        outputs: Output number of the file to output number of Keras.
        inputs: Input number of the file to input number of Keras.
        ambiguous: Groups of nodes that structure cannot tell apart, ``(file nodes, Keras nodes)``.
        links: Edges between sure pairs.
        odd: Edges that one side alone scales.
        choices: How many partners there were at each free choice between look-alikes.
        complete: Whether the pairs are an isomorphism of the two graphs, but for the scalings on edges.
        otherwise: The same with the pairs that were found in the other order, where the two orders disagree.
    """

    file: View
    keras: View
    pairs: Mapping[int, int]
    matches: tuple[Match, ...]
    inputs: Mapping[int, int]
    outputs: Mapping[int, int]
    ambiguous: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = ()
    complete: bool = False
    links: tuple[Link, ...] = ()
    odd: tuple[Link, ...] = ()
    choices: tuple[int, ...] = ()
    otherwise: Alignment | None = None
    _matching: Matching | None = None

    @cached_property
    def back(self) -> Mapping[int, int]:
        """Node of Keras to node of the file."""
        return {k: f for f, k in self.pairs.items()}

    def in_keras(self, edge: Edge) -> Edge:
        """What an edge of the file carries, from a pair, on Keras's side: scaled if there is something that scales."""
        k = self.pairs[edge.source]
        uses = [self.keras.operands[c][i] for c, i, _ in self.keras.consumers[k] if c >= 0]
        alike = (use for use in uses if (use.slot, len(use.through)) == (edge.slot, len(edge.through)))
        return next(alike, Edge(k, edge.slot))

    def reordered(self) -> Iterator[tuple[str, list[tuple[int, int]]]]:
        """``input`` or ``output`` with its pairs, where they are known to be in another order on the other side."""
        ends = () if self.ambiguous else (("input", self.inputs), ("output", self.outputs))
        yield from ((end, sorted(pairs.items())) for end, pairs in ends if any(i != j for i, j in pairs.items()))

    def operands(self, f: int, k: int) -> Iterator[tuple[Edge | None, Edge | None]]:
        """Operands of a pair side by side; of commutative operators by where they come from."""
        return self._matching.paired_operands(f, k) if self._matching is not None else iter(())


def align(file_graph: Graph, keras_graph: Graph, pins: Pins, picks: Sequence[int] = ()) -> Alignment:
    """Aligns two canonical graphs.

    Args:
        file_graph: The file's.
        keras_graph: The model's.
        pins: Certain pairs of inputs, outputs and operators.
        picks: Which partner to take at each free choice between look-alikes.

    Returns:
        The alignment; never a guess: what the steps disagree on, or cannot decide, is left out and told.
    """
    file, keras = view(file_graph), view(keras_graph)
    first, again = _both(file, keras, pins, BY_TYPE)
    if not first.is_whole:
        first, again = max((first, again), _both(file, keras, pins, BY_DECLARATION), key=lambda found: _worth(found[0]))
    disputed = {f for f, k in first.pairs.items() if again.pairs.get(f, k) != k or again.back.get(k, f) != f}
    disputed |= {again.back[first.pairs[f]] for f in disputed if first.pairs[f] in again.back}
    agreed = first.without(disputed)
    trial = agreed.without(())
    choices = break_ties(trial, picks)
    trial.infer_inputs()
    agreed.infer_inputs()
    is_proved = is_isomorphic(trial)
    complete = is_proved and (not _undecided_ends(agreed, trial) or _may_be_swapped(agreed, trial, choices, picks))
    ambiguous: Groups = [] if complete else symmetric_groups(agreed)
    sure = trial if complete else agreed
    if disputed:
        ambiguous = [(sorted(disputed), sorted(first.pairs[f] for f in disputed if f in first.pairs))]
    # What differs is told on the first reading, disputed pairs and free choices included; weights are copied by sure
    # pairs only.
    told = first if disputed else trial if is_proved else sure
    if not (is_proved or told.is_whole):
        told = read_in_order(told)
    links = sure.links()
    found = Alignment(
        file,
        keras,
        dict(sorted(told.pairs.items())),
        tuple(sure.matches()),
        dict(sure.inputs),
        told.outputs(),
        tuple((tuple(fs), tuple(ks)) for fs, ks in ambiguous),
        complete,
        links,
        tuple(one for one in (links if told is sure else told.links()) if one.is_odd),
        choices,
        _matching=told,
    )
    return replace(found, otherwise=_telling(found, again)) if disputed else found


def _telling(alignment: Alignment, told: Matching) -> Alignment:
    """The alignment with other pairs to tell differences by."""
    odd = tuple(one for one in told.links() if one.is_odd)
    return replace(alignment, pairs=dict(sorted(told.pairs.items())), outputs=told.outputs(), odd=odd, _matching=told)


def _both(file: View, keras: View, pins: Pins, orders: tuple[tuple[Step, ...], ...]) -> tuple[Matching, Matching]:
    """What the steps find in either order."""
    first = _run(file, keras, pins, orders[0])
    return first, first if first.is_whole else _run(file, keras, pins, orders[1])


def _worth(matching: Matching) -> tuple[int, int, int]:
    """How many pairs there are; of how many the same is written on both sides; how many of their operands are pairs."""
    alike = sum(is_declared_alike(matching, f, k) for f, k in matching.pairs.items())
    joined = sum(bool(a and b and matching.same_source(a, b)) for a, b, _ in matching.edges())
    return len(matching.pairs), alike, joined


def _run(file: View, keras: View, pins: Pins, steps: tuple[Step, ...]) -> Matching:
    matching = Matching.start(file, keras, pins)
    for step in steps:
        step(matching)
        if matching.is_full:
            break
    return matching


def _undecided_ends(agreed: Matching, trial: Matching) -> bool:
    """Whether a free choice between look-alikes decided which input or output is which."""
    if all(step not in _FREE for step, _ in trial.step.values()):
        return False
    free = set(trial.pairs) - set(agreed.pairs)
    outputs = any(e.source in free for i, e in enumerate(trial.file.outputs) if i not in trial.pins.outputs)
    uses = ((i, c) for i, uses in enumerate(trial.file.input_uses) for c, _ in uses)
    return outputs or any(c in free for i, c in uses if i not in agreed.inputs)


def _may_be_swapped(agreed: Matching, trial: Matching, choices: Sequence[int], picks: Sequence[int]) -> bool:
    """Whether all free choices give the same function of the inputs, so that it does not matter which is which.

    Each is made otherwise once, behind the choices before it: what follows from these follows from them all.
    """
    if any(step == "counted names" for step, _ in trial.step.values()):
        return False
    made = [picks[i] if i < len(picks) else 0 for i in range(len(choices))]
    for i, size in enumerate(choices):
        for pick in range(size):
            if pick != made[i]:
                other = agreed.without(())
                break_ties(other, [*made[:i], pick])
                other.infer_inputs()
                if not is_same_function(trial, other):
                    return False
    return True
