"""Operands and outputs that come from somewhere else than in the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tflrecover.align import Alignment
from tflrecover.align.view import INPUT, Edge
from tflrecover.differences import describe
from tflrecover.differences.found import Found
from tflrecover.ir import Difference, called

Wrong = dict[tuple[int, int], list[tuple[Edge | None, Edge | None]]]
"""Pair of nodes to its operands that are not the same, side by side."""


def _explained(alignment: Alignment, mine: Edge | None, theirs: Edge | None) -> bool:
    """Whether an operand differs only because one of the two sources has no counterpart: that is told already."""
    if mine is not None and mine.source >= 0 and mine.source not in alignment.pairs:
        return True
    return theirs is not None and theirs.source >= 0 and theirs.source not in alignment.pairs.values()


def _same(alignment: Alignment, mine: Edge, theirs: Edge) -> bool:
    if mine.source >= 0:
        return alignment.pairs.get(mine.source) == theirs.source and mine.slot == theirs.slot
    if mine.source == INPUT:
        return theirs.source == INPUT and alignment.inputs.get(mine.slot, theirs.slot) == theirs.slot
    return mine.source == theirs.source


def wrong_operands(alignment: Alignment) -> Wrong:
    """Operands of pairs that come from somewhere else; not those whose source has no counterpart, which is told."""
    found: Wrong = {}
    for f, k in alignment.pairs.items():
        bad = [pair for pair in alignment.operands(f, k) if not _agrees(alignment, *pair)]
        if bad and not any(_explained(alignment, mine, theirs) for mine, theirs in bad):
            found[f, k] = bad
    return found


def operands(alignment: Alignment, wrong: Wrong) -> Iterator[Found]:
    """Pairs that take something else."""
    file, keras = alignment.file, alignment.keras
    for (f, k), bad in wrong.items():
        op, other = file.ops[f], keras.ops[k]
        want = ", ".join(_source_name(alignment, mine) for mine, _ in bad)
        have = ", ".join(_keras_source(alignment, theirs) for _, theirs in bad)
        here, there = describe.in_keras(other), f"the file's {describe.in_file(file, op)}"
        if _are_crossed(alignment, bad):
            message = f"exchange the inputs of {here}: {there} takes them in the other order"
        else:
            message = f"connect {here} to {want}: {there} takes that, the model's layer takes {have}"
        yield Found(
            f,
            Difference(
                "wiring",
                message,
                describe.file_index(op),
                describe.file_type(op),
                describe.file_name(file, op),
                describe.layer_of(other),
                "inputs",
                want,
                have,
            ),
        )


def _are_crossed(alignment: Alignment, pairs: Sequence[tuple[Edge | None, Edge | None]]) -> bool:
    """Whether two operands would agree if they changed places."""
    if len(pairs) != 2:
        return False
    (mine, theirs), (mine_too, theirs_too) = pairs
    return _agrees(alignment, mine, theirs_too) and _agrees(alignment, mine_too, theirs)


def _agrees(alignment: Alignment, mine: Edge | None, theirs: Edge | None) -> bool:
    return mine is not None and theirs is not None and _same(alignment, mine, theirs)


def _source_name(alignment: Alignment, edge: Edge | None) -> str:
    if edge is None:
        return "nothing"
    if edge.source < 0:
        return f"input {edge.slot}" if edge.source == INPUT else "a constant"
    partner = alignment.keras.ops[alignment.pairs[edge.source]]
    return repr(describe.layer_of(partner) or partner.type)


def _keras_source(alignment: Alignment, edge: Edge | None) -> str:
    if edge is None:
        return "nothing"
    if edge.source < 0:
        return f"input {edge.slot}" if edge.source == INPUT else "a constant"
    op = alignment.keras.ops[edge.source]
    return repr(describe.layer_of(op) or op.type)


def outputs(alignment: Alignment) -> Iterator[Found]:
    """Outputs that come from somewhere else, or have no counterpart."""
    file, keras = alignment.file, alignment.keras
    pairs = [(file.outputs[i], j) for i, j in alignment.outputs.items()]
    wrong = {j: edge for edge, j in pairs if not _agrees(alignment, edge, keras.outputs[j])}
    # Outputs in another order are one fault, however many they are.
    wanted = {alignment.pairs.get(edge.source) for edge in wrong.values()}
    is_order = bool(wrong) and wanted == {keras.outputs[j].source for j in wrong}
    if is_order:
        order = ", ".join(f"output {j} must be that of {_source_name(alignment, wrong[j])}" for j in sorted(wrong))
        message = f"put the model's outputs in the file's order: {order}"
        yield Found(len(file), Difference("wiring", message, attribute="outputs", keras_value=tuple(sorted(wrong))))
    for i, edge in enumerate(file.outputs):
        name = file.graph.values[file.graph.outputs[i]].name
        j = alignment.outputs.get(i)
        if j is None:
            told = _explained(alignment, edge, None) or _feeds_extra(alignment, edge)
        elif j in wrong:
            told = is_order or _explained(alignment, edge, keras.outputs[j])
        else:
            continue
        partner = (
            _source_name(alignment, edge) if edge.source < 0 or edge.source in alignment.pairs else "a missing layer"
        )
        message = f"make the output of {partner} an output of the model: it is the file's output {called(name, str(i))}"
        index = describe.file_index(file.ops[edge.source]) if edge.source >= 0 else None
        difference = Difference("wiring", message, index, None, name, attribute="outputs", tflite_value=name)
        yield Found(len(file), difference, is_root=not told)
    matched = set(alignment.outputs.values())
    for j, edge in enumerate(keras.outputs):
        if j not in matched and not _explained(alignment, None, edge):
            message = f"the model's output {j} ({_keras_source(alignment, edge)}) is no output of the file"
            layer = describe.layer_of(keras.ops[edge.source]) if edge.source >= 0 else None
            yield Found(len(file), Difference("wiring", message, keras_layer=layer, attribute="outputs", keras_value=j))


def _feeds_extra(alignment: Alignment, edge: Edge) -> bool:
    """Whether the model goes on with an extra layer where the file ends."""
    k = alignment.pairs.get(edge.source)
    back = set(alignment.pairs.values())
    return k is not None and any(c >= 0 and c not in back for c, _, _ in alignment.keras.consumers[k])
