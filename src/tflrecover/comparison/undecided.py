"""What structure leaves undecided, in words: ambiguities with the mapping lines that settle them, and assumptions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tflrecover.align import Alignment
from tflrecover.align.order import ByOrder
from tflrecover.comparison.inputs import end_names
from tflrecover.differences import describe
from tflrecover.differences.tails import match_lines, quoted
from tflrecover.ir import Ambiguity
from tflrecover.tflite import TFLiteModel

if TYPE_CHECKING:
    from tflrecover.tracing import Trace


@dataclass(frozen=True, slots=True)
class _End:
    """Inputs or outputs: pairs by order, pairs by the names in the file, and what either side calls them."""

    kind: str
    pairs: Mapping[int, int]
    named: Mapping[int, int]
    mine: Sequence[str]
    theirs: Sequence[str]

    def text(self, pairs: Mapping[int, int]) -> str:
        """``output_0 = sex, output_1 = age``, in the model's order."""
        listed = sorted((j, i) for i, j in pairs.items())
        return ", ".join(f"{self.mine[i]} = {self.theirs[j] or f'the one numbered {j}'}" for j, i in listed)

    def line(self, pair: tuple[int, int]) -> str:
        """The line of a mapping that says so."""
        i, j = pair
        theirs, mine = (quoted(name) if name else f'"#{n}"' for name, n in ((self.theirs[j], j), (self.mine[i], i)))
        return f"  {theirs}: {mine}"


def _ends(by_order: ByOrder, file: TFLiteModel, trace: Trace) -> tuple[_End, _End]:
    names = end_names(file, "inputs"), end_names(file, "outputs")
    return (
        _End("inputs", by_order.inputs, by_order.named_inputs, names[0], trace.input_names),
        _End("outputs", by_order.outputs, by_order.named_outputs, names[1], trace.output_names),
    )


def assumptions(by_order: ByOrder, file: TFLiteModel, trace: Trace) -> tuple[str, ...]:
    """What is taken on trust: ends that nothing but their order tells apart."""
    return tuple(
        f"{end.kind} paired by order: {end.text(end.pairs)}. Nothing in the file tells them apart; if it is another "
        f"order, say so under `{end.kind}:` in a mapping"
        for end in _ends(by_order, file, trace)
        if end.pairs and not end.named
    )


def contradictions(by_order: ByOrder, file: TFLiteModel, trace: Trace) -> tuple[Ambiguity, ...]:
    """Ends that are paired one way by order and another way by the layers' names in the file."""
    return tuple(
        Ambiguity(
            f"{end.kind}: by order {end.text(end.pairs)}, but the names in the file say {end.text(end.named)}; say in "
            "the mapping which is which",
            (),
            (),
            "\n".join([f"{end.kind}:", *map(end.line, sorted(end.named.items()))]),
        )
        for end in _ends(by_order, file, trace)
        if end.named
    )


def ambiguities(alignment: Alignment, skip: Collection[str]) -> tuple[Ambiguity, ...]:
    """Operators that cannot be told apart, with mapping lines; not those whose layers keep their weights anyway."""
    found = []
    for fs, ks in alignment.ambiguous:
        if ks and all(describe.layer_of(alignment.keras.ops[k]) in skip for k in ks):
            continue
        mine = [alignment.file.ops[f] for f in fs]
        layers = [describe.layer_of(op := alignment.keras.ops[k]) or str(op.type) for k in ks]
        indices = [index for op in mine if (index := describe.file_index(op)) is not None]
        once, types = list(dict.fromkeys(indices)), ", ".join(dict.fromkeys(str(op.type) for op in mine))
        found.append(
            Ambiguity(
                f"operators {once} ({types}) and layers {list(dict.fromkeys(layers))} cannot be told apart by "
                "structure; say in the mapping which is which",
                tuple(once),
                tuple(dict.fromkeys(layers)),
                match_lines(layers, [f"#{index}" for index in indices]),
            )
        )
    return tuple(found)
