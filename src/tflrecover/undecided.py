"""What structure leaves undecided, in words: ambiguities with the mapping lines that settle them, and assumptions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from tflrecover.align import Alignment
from tflrecover.align.order import ByOrder
from tflrecover.differences import describe
from tflrecover.differences.tails import quoted
from tflrecover.inputs import end_names
from tflrecover.ir import Ambiguity
from tflrecover.tflite import TFLiteModel

if TYPE_CHECKING:
    from tflrecover.tracing import Trace


def assumptions(by_order: ByOrder, file: TFLiteModel, trace: Trace) -> tuple[str, ...]:
    """What is taken on trust: ends that nothing but their order tells apart."""
    ends = (("inputs", by_order.inputs, trace.input_names), ("outputs", by_order.outputs, trace.output_names))
    return tuple(
        f"{end} paired by order: {_pairs_text(pairs, end_names(file, end), theirs)}. Nothing in the file tells them "
        f"apart; if it is another order, say so under `{end}:` in a mapping"
        for end, pairs, theirs in ends
        if pairs and not (end == "outputs" and by_order.contradicted)
    )


def _pairs_text(pairs: Mapping[int, int], names: Sequence[str], theirs: Sequence[str]) -> str:
    return ", ".join(f"{names[i]} = {theirs[j] or f'the {j}th'}" for j, i in sorted((j, i) for i, j in pairs.items()))


def contradictions(by_order: ByOrder, names: Sequence[str], theirs: Sequence[str]) -> tuple[Ambiguity, ...]:
    """Outputs that are paired one way by order and another way by the layers' names in the file."""
    if not by_order.contradicted:
        return ()
    pairs = sorted(by_order.contradicted.items())
    told = Ambiguity(
        f"outputs: by order {_pairs_text(by_order.outputs, names, theirs)}, but the names in the file say "
        f"{_pairs_text(by_order.contradicted, names, theirs)}; say in the mapping which is which",
        (),
        (),
        "\n".join(["outputs:", *(f"  {_end_name(theirs[j], j)}: {_end_name(names[i], i)}" for i, j in pairs)]),
    )
    return (told,)


def _end_name(name: str, number: int) -> str:
    return quoted(name) if name else f'"#{number}"'


def ambiguities(alignment: Alignment, skip: Collection[str]) -> tuple[Ambiguity, ...]:
    """Operators that cannot be told apart, with mapping lines; not those whose layers keep their weights anyway."""
    found = []
    for fs, ks in alignment.ambiguous:
        if ks and all(describe.layer_of(alignment.keras.ops[k]) in skip for k in ks):
            continue
        mine = [alignment.file.ops[f] for f in fs]
        theirs = [alignment.keras.ops[k] for k in ks]
        layers = tuple(describe.layer_of(op) or str(op.type) for op in theirs)
        indices = tuple(index for op in mine if (index := describe.file_index(op)) is not None)
        lines = [f"  {layer}: '#{index}'" for layer, index in zip(layers, indices, strict=False)]
        found.append(
            Ambiguity(
                f"operators {list(indices)} ({mine[0].type}) and layers {list(layers)} cannot be told apart by "
                "structure; say in the mapping which is which",
                indices,
                layers,
                "\n".join(["match:", *lines]),
            )
        )
    return tuple(found)
