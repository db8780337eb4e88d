"""The state that matching steps work on: one-to-one pairs of nodes, each with the step that found it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field

from tflrecover.align.hashing import Interner
from tflrecover.align.pins import Pins
from tflrecover.align.view import INPUT, Edge, View
from tflrecover.ir import Match
from tflrecover.rewrite.affine import Pair
from tflrecover.rewrite.forward import can_absorb, chained


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

    def drop(self, f: int) -> None:
        """Takes a pair back."""
        del self.back[self.pairs.pop(f)]
        del self.step[f]

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

    def open_file(self) -> list[int]:
        """Unmatched nodes of the file."""
        return [f for f in range(len(self.file)) if f not in self.pairs]

    def open_keras(self) -> list[int]:
        """Unmatched nodes of Keras."""
        return [k for k in range(len(self.keras)) if k not in self.back]

    def labels(self, side: View, *, strict: bool) -> tuple[Hashable, ...]:
        """What a node is, with or without attributes and shapes."""
        return side.strict if strict else side.loose

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
            partner = next((other for other in theirs if self.same_source(edge, other)), None)
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
            if len(found) == 1:
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

    def edges(self) -> Iterator[tuple[Edge | None, Edge | None, int | None]]:
        """Operands of all pairs side by side, each with the Keras node that takes it; last the graph's outputs."""
        for f, k in self.pairs.items():
            for mine, theirs in self.paired_operands(f, k):
                yield mine, theirs, k
        for i, j in self.outputs().items():
            yield self.file.outputs[i], self.keras.outputs[j], None

    def _surplus(self, mine: Edge, theirs: Edge, k: int | None) -> Pair | None:
        """What Keras does more than the file on an edge, if the operator behind it can take it into its weights."""
        if (
            k is None
            or len(theirs.through) <= len(mine.through)
            or self.file.loose[self.back[k]] != self.keras.loose[k]
        ):
            return None
        pair = chained(self.keras.graph, theirs.through[len(mine.through) :])
        is_only = len(self.keras.operands[k]) == 1
        return pair if is_only and can_absorb(self.keras.graph, self.keras.ops[k], pair) else None

    def affines(self) -> dict[int | str, int | str]:
        """AFFINE operators that lie on the same edge of both sides, file id to Keras id.

        One that stands alone on some edge, where the other side has none, has no counterpart on any other edge either.
        """
        chains: list[tuple[tuple[int | str, ...], tuple[int | str, ...]]] = []
        for mine, theirs, k in self.edges():
            if mine and theirs and self.same_source(mine, theirs):
                is_absorbed = self._surplus(mine, theirs, k) is not None
                chains.append((mine.through, theirs.through[: len(mine.through)] if is_absorbed else theirs.through))
        alone = {op for a, b in chains if not a or not b for op in (*a, *b)}
        found: dict[int | str, int | str] = {}
        for first, second in chains:
            left, right = ([op for op in chain if op not in alone] for chain in (first, second))
            if len(left) == len(right):
                for a, b in zip(left, right, strict=True):
                    found.setdefault(a, b)
        return found

    def forward(self) -> dict[int, Pair]:
        """Keras nodes whose operand carries an AFFINE that the file has inside the node's weights, with its numbers."""
        found: dict[int, Pair] = {}
        paired = self.affines()
        for mine, theirs, k in self.edges():
            if mine and theirs and k is not None and self.same_source(mine, theirs):
                pair = self._surplus(mine, theirs, k)
                if pair is not None and tuple(map(paired.get, mine.through)) == theirs.through[: len(mine.through)]:
                    found[k] = pair
        return found

    def odd_affines(self) -> Iterator[tuple[tuple[int | str, ...], tuple[int | str, ...], int | None]]:
        """Per edge, AFFINE operators of the file and of Keras that the other side lacks on it, and the node behind."""
        paired, forward = self.affines(), self.forward()
        for mine, theirs, k in self.edges():
            if mine is None or theirs is None or k in forward or not self.same_source(mine, theirs):
                continue
            images = tuple(map(paired.get, mine.through))
            if images != theirs.through:
                lacking = tuple(
                    op for op, image in zip(mine.through, images, strict=True) if image not in theirs.through
                )
                surplus = tuple(op for op in theirs.through if op not in images)
                yield lacking, surplus, k

    def matches(self) -> Iterator[Match]:
        """The pairs with ids, in file order, AFFINE operators included."""
        for f, k in sorted(self.pairs.items()):
            yield Match(self.file.ops[f].id, self.keras.ops[k].id, *self.step[f])
        for mine, theirs in self.affines().items():
            yield Match(mine, theirs, "edge", "on the same edge of both graphs")
