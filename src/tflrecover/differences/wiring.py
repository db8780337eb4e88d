"""Operands and outputs that come from somewhere else than in the file."""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterator, Sequence

from tflrecover.align import Alignment
from tflrecover.align.view import INPUT, Edge, View
from tflrecover.differences import describe
from tflrecover.differences.found import Found
from tflrecover.differences.layers import Layers, owners
from tflrecover.ir import Difference, called

Wrong = dict[tuple[int, int], list[tuple[Edge | None, Edge | None]]]
"""Pair of nodes to its operands that are not the same, side by side."""


def _through(side: View, edge: Edge | None, paired: Container[int]) -> Edge | None:
    """Where an operand comes from, whatever only brings it into another shape and has no counterpart."""
    while edge is not None and edge.source >= 0 and edge.source not in paired:
        if side.ops[edge.source].type not in describe.LAYOUT:
            break
        edge = side.operands[edge.source][0]
    return edge


def _explained(alignment: Alignment, mine: Edge | None, theirs: Edge | None) -> bool:
    """Whether an operand differs only because one of the two sources has no counterpart: that is told already.

    What only brings another value into the shape that is wanted is no reason.
    """
    ours = _through(alignment.file, mine, alignment.pairs)
    other = _through(alignment.keras, theirs, alignment.back)
    if (ours, other) != (mine, theirs) and ours is not None and other is not None:
        mine, theirs = ours, other
        if _same(alignment, mine, theirs):
            return True
    if mine is not None and mine.source >= 0 and mine.source not in alignment.pairs:
        return True
    return theirs is not None and theirs.source >= 0 and theirs.source not in alignment.back


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


def operands(alignment: Alignment, wrong: Wrong, layers: Layers) -> Iterator[Found]:
    """Pairs that take something else; where layers stand in another order, they take each other's operands.

    What a layer of Keras's own is called with may go to several operators: that is told once, of the layer.
    """
    file, keras = alignment.file, alignment.keras
    called_as = owners(layers)
    told: set[Hashable] = set()
    pairs = [pair for bad in wrong.values() for pair in bad]
    wanted = {_place(alignment, mine) for mine, _ in pairs}
    is_order = len(wrong) > 1 and wanted == {theirs and (theirs.source, theirs.slot) for _, theirs in pairs}
    taking = {called_as.get(path, path) for _, k in wrong if (path := describe.layer_of(keras.ops[k])) is not None}
    is_first = True
    for (f, k), bad in wrong.items():
        op, other = file.ops[f], keras.ops[k]
        path = describe.layer_of(other)
        is_again = False
        if path in called_as:
            other = other.evolve(layer=called_as[path])
            is_again = (called_as[path], tuple(bad)) in told
            told.add((called_as[path], tuple(bad)))
        want = ", ".join(_source_name(alignment, _through(file, mine, alignment.pairs)) for mine, _ in bad)
        have = ", ".join(_keras_source(alignment, theirs) for _, theirs in bad)
        here, there = describe.in_keras(other), f"the file's {describe.in_file(file, op)}"
        if _are_crossed(alignment, bad) or (is_order and len(taking) == 1 and path in called_as):
            message = f"exchange the inputs of {here}: {there} takes them in the other order"
        else:
            message = f"connect {here} to {want}: {there} takes that, the model's layer takes {have}"
        if is_order and is_first and len(taking) > 1:
            message = f"put the layers in the file's order: {message}"
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
                layers=tuple(dict.fromkeys(path for _, theirs in bad for path in _alike(keras, theirs))),
            ),
            is_root=is_first or not (is_order or is_again),
        )
        is_first = False


def _place(alignment: Alignment, edge: Edge | None) -> tuple[int, int] | None:
    """Where an operand of the file comes from, as a place in the model."""
    if edge is None:
        return None
    if edge.source < 0:
        return edge.source, alignment.inputs.get(edge.slot, -1)
    return alignment.pairs.get(edge.source, -1), edge.slot


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
    return _name(alignment.keras, alignment.in_keras(edge))


def _keras_source(alignment: Alignment, edge: Edge | None) -> str:
    if edge is None:
        return "nothing"
    if edge.source < 0:
        return f"input {edge.slot}" if edge.source == INPUT else "a constant"
    return _name(alignment.keras, edge)


def _alike(keras: View, edge: Edge | None) -> list[str]:
    """The layers that make a value, where several compute the same: one of them may be meant to compute another."""
    origins = keras.ops[edge.source].origins if edge is not None and edge.source >= 0 else ()
    paths = [origin.layer for origin in origins if origin.layer is not None and origin.type == origins[0].type]
    return paths if len(set(paths)) > 1 else []


def _name(keras: View, edge: Edge) -> str:
    """The layer that makes a value; not one that only gives it another shape, which may be any of several."""
    while (
        not edge.through
        and keras.ops[edge.source].type in describe.LAYOUT
        and keras.operands[edge.source][0].source >= 0
    ):
        edge = keras.operands[edge.source][0]
    op = keras.ops[edge.source]
    name = repr(describe.maker(keras, edge) or op.type)
    if len(op.outputs) > 1:
        return f"result {edge.slot} of {name}"
    layer = describe.layer_of(op)
    is_part = op.type == "STRIDED_SLICE" and sum(one.type == op.type and one.layer == layer for one in keras.ops) > 1
    return f"{describe.layer_name(op, keras.graph)} of {name}" if is_part else name


def misled(alignment: Alignment, wrong: Wrong) -> set[int]:
    """Nodes of Keras that only bring a wrong operand into the shape that is wanted."""
    found: set[int] = set()
    for bad in wrong.values():
        for _, edge in bad:
            while edge is not None and edge.source >= 0 and edge.source not in alignment.back:
                found.add(edge.source)
                edge = alignment.keras.operands[edge.source][0]
    return found


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
            # Its branch goes on in the file, with a layer that is told already.
            f = alignment.back.get(edge.source)
            is_cut = f is not None and any(c >= 0 and c not in alignment.pairs for c, _, _ in file.consumers[f])
            message = f"the model's output {j} ({_keras_source(alignment, edge)}) is no output of the file"
            layer = describe.maker(keras, edge) if edge.source >= 0 else None
            difference = Difference("wiring", message, keras_layer=layer, attribute="outputs", keras_value=j)
            yield Found(len(file), difference, is_root=not is_cut)


def _feeds_extra(alignment: Alignment, edge: Edge) -> bool:
    """Whether the model goes on with an extra layer where the file ends."""
    k = alignment.pairs.get(edge.source)
    return k is not None and any(c >= 0 and c not in alignment.back for c, _, _ in alignment.keras.consumers[k])
