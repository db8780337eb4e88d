"""The state that matching steps work on: one-to-one pairs of nodes, each with the step that found it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tflrecover.align.hashing import Interner
from tflrecover.align.links import Link, link
from tflrecover.align.pins import Pins
from tflrecover.align.view import INPUT, Edge, View, declared
from tflrecover.ir import Match

Level = Literal["strict", "declared", "loose", "unshaped"]


@dataclass(eq=False)
class Matching:
    """Pairs found so far.

    Attributes:
        file: The file's side.
        keras: Keras's side.
        pins: What was certain from the start.
        pairs: File node to Keras node.
        back: Keras node to file node.
        step: File node to ``(step, evidence)``.
        inputs: File input to Keras input.
        intern: The table of descriptions that both sides share.
    """

    file: View
    keras: View
    pins: Pins
    intern: Interner = field(default_factory=Interner)
    pairs: dict[int, int] = field(default_factory=dict)
    back: dict[int, int] = field(default_factory=dict)
    step: dict[int, tuple[str, str]] = field(default_factory=dict)
    inputs: dict[int, int] = field(default_factory=dict)

    @classmethod
    def start(cls, file: View, keras: View, pins: Pins) -> Matching:
        """Nothing matched but inputs."""
        return cls(file, keras, pins, inputs=dict(pins.inputs))

    def add(self, f: int, k: int, step: str, evidence: str = "") -> bool:
        """Records a pair unless one of the two is taken."""
        if f in self.pairs or k in self.back:
            return False
        self.pairs[f], self.back[k] = k, f
        self.step[f] = (step, evidence)
        return True

    def without(self, disputed: Iterable[int]) -> Matching:
        """A copy that lacks the pairs of those file nodes."""
        kept = Matching(self.file, self.keras, self.pins, self.intern, inputs=dict(self.inputs))
        leave = set(disputed)
        for f, k in self.pairs.items():
            if f not in leave:
                kept.add(f, k, *self.step[f])
        return kept

    @property
    def is_full(self) -> bool:
        """Whether no further pair is possible."""
        return len(self.pairs) == min(len(self.file), len(self.keras))

    @property
    def is_whole(self) -> bool:
        """Whether every operator of either side has a partner."""
        return len(self.pairs) == len(self.file) == len(self.keras)

    def open_file(self) -> list[int]:
        """Unmatched nodes of the file."""
        return [f for f in range(len(self.file)) if f not in self.pairs]

    def open_keras(self) -> list[int]:
        """Unmatched nodes of Keras."""
        return [k for k in range(len(self.keras)) if k not in self.back]

    @staticmethod
    def labels(side: View, level: Level) -> Sequence[Hashable]:
        """What a node is: all of it, what is written of it whatever its operands' shapes, or its type alone.

        Unshaped, what only gives a tensor another shape is nothing: where it stands depends on what is behind it.
        """
        if level == "strict":
            return side.strict
        if level == "unshaped":
            return [None if kind == "RESHAPE" else kind for kind in side.loose]
        return [declared(op) for op in side.ops] if level == "declared" else side.loose

    def ends(self, *, strict: bool) -> tuple[list[Hashable], list[Hashable], list[Hashable], list[Hashable]]:
        """Labels of file inputs, Keras inputs, file outputs, Keras outputs: pinned ones are told apart."""
        pins = self.pins
        into = {k: f for f, k in self.inputs.items()}
        out = {k: f for f, k in pins.outputs.items()}

        def label(number: int | None, shape: Hashable) -> Hashable:
            if number is not None:
                return ("pinned", number)
            return ("free", shape) if strict else ("free",)

        return (
            [label(i if i in self.inputs else None, s) for i, s in enumerate(self.file.inputs)],
            [label(into.get(i), s) for i, s in enumerate(self.keras.inputs)],
            [label(i if i in pins.outputs else None, s) for i, s in enumerate(self.file.output_shapes)],
            [label(out.get(i), s) for i, s in enumerate(self.keras.output_shapes)],
        )

    def same_source(self, a: Edge, b: Edge) -> bool:
        """Whether an operand of the file and one of Keras come from the same place."""
        if a.source >= 0:
            return self.pairs.get(a.source) == b.source and a.slot == b.slot
        if a.source == INPUT:
            return b.source == INPUT and self.inputs.get(a.slot) == b.slot
        return a.source == b.source

    def paired_operands(self, f: int, k: int) -> Iterator[tuple[Edge | None, Edge | None]]:
        """Operands of a matched pair side by side; of commutative operators by where they come from."""
        mine, theirs = list(self.file.operands[f]), list(self.keras.operands[k])
        if not self.file.commutative[f]:
            for i in range(max(len(mine), len(theirs))):
                yield (mine[i] if i < len(mine) else None, theirs[i] if i < len(theirs) else None)
            return
        rest = []
        for edge in mine:
            found = [other for other in theirs if self.same_source(edge, other)]
            partner = min(found, key=lambda other: abs(len(other.through) - len(edge.through)), default=None)
            if partner is None:
                rest.append(edge)
            else:
                theirs.remove(partner)
                yield edge, partner
        for i in range(max(len(rest), len(theirs))):
            yield (rest[i] if i < len(rest) else None, theirs[i] if i < len(theirs) else None)

    def outputs(self) -> dict[int, int]:
        """File output to Keras output: pinned, or because the operators that make them are a pair."""
        pairs = dict(self.pins.outputs)
        free = [j for j in range(len(self.keras.outputs)) if j not in pairs.values()]
        for i, edge in enumerate(self.file.outputs):
            if i in pairs:
                continue
            found = [j for j in free if self.same_source(edge, self.keras.outputs[j])]
            # Outputs that are the same value may be exchanged.
            if found and all(self.keras.outputs[j] == self.keras.outputs[found[0]] for j in found):
                pairs[i] = found[0]
                free.remove(found[0])
        return pairs

    def infer_inputs(self) -> None:
        """Pairs inputs that nothing has told apart but the operators that take them."""
        for i in range(len(self.file.inputs)):
            if i in self.inputs:
                continue
            seen = set()
            for consumer, position in self.file.input_uses[i]:
                k = self.pairs.get(consumer)
                if k is not None and not self.file.commutative[consumer] and position < len(self.keras.operands[k]):
                    seen.add(self.keras.operands[k][position])
            slots = {edge.slot for edge in seen if edge.source == INPUT}
            if len(slots) == 1 and not slots & set(self.inputs.values()):
                self.inputs[i] = slots.pop()

    def edges(self) -> Iterator[tuple[Edge | None, Edge | None, tuple[int, int] | None]]:
        """Operands of all pairs side by side, each with the pair that takes it; last the graph's outputs."""
        for f, k in self.pairs.items():
            for mine, theirs in self.paired_operands(f, k):
                yield mine, theirs, (f, k)
        for i, j in self.outputs().items():
            yield self.file.outputs[i], self.keras.outputs[j], None

    def links(self) -> tuple[Link, ...]:
        """Edges between the same places of both graphs, each once; those with the fewest AFFINE first."""
        found = {
            link(self.file, self.keras, mine, theirs, nodes)
            for mine, theirs, nodes in self.edges()
            if mine and theirs and self.same_source(mine, theirs)
        }
        return tuple(sorted(found, key=lambda one: (len(one.file) + len(one.keras), one.place, str(one.keras))))

    def matches(self) -> Iterator[Match]:
        """The pairs with ids, in file order."""
        for f, k in sorted(self.pairs.items()):
            yield Match(self.file.ops[f].id, self.keras.ops[k].id, *self.step[f])
