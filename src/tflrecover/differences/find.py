"""Finds every difference of an alignment and sorts roots from what follows from them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tflrecover.align import Alignment
from tflrecover.align.view import INPUT, Edge, View, shape_of
from tflrecover.differences import constants, describe
from tflrecover.differences.attributes import compare
from tflrecover.differences.functions import function_name
from tflrecover.differences.layers import Layers, activation_of
from tflrecover.differences.regions import Region, open_regions, replacements
from tflrecover.ir import Difference, Op, Shape, short_name
from tflrecover.transfer.state import Failure
from tflrecover.weight import keys

_LAYOUT = ("RESHAPE", "TRANSPOSE")


@dataclass(frozen=True, slots=True)
class _Found:
    """A difference with its place in the file, for ordering and grouping."""

    place: int
    difference: Difference
    is_root: bool = True


def find(alignment: Alignment, failed: Sequence[Failure], layers: Layers) -> tuple[Difference, ...]:
    """Roots in file order, each with its consequences.

    Args:
        alignment: The pairs.
        failed: Equations that do not hold.
        layers: The model's layers by path.
    """
    found = [
        *_inputs(alignment),
        *_attributes(alignment, layers),
        *_regions(alignment, layers),
        *_wiring(alignment),
        *_affines(alignment, layers),
        *_outputs(alignment),
    ]
    found += _constants(alignment, failed, found, layers)
    if not found and not alignment.complete and not alignment.ambiguous:
        # Nothing may pass as the same that is not proved to be.
        message = (
            "the file and the model could not be proved to be the same network, though no single difference was found"
        )
        found.append(_Found(0, Difference("wiring", message)))
    return _grouped(found)


def _grouped(found: Iterable[_Found]) -> tuple[Difference, ...]:
    """Hangs what is no root under the nearest root before it; it becomes a root itself when there is none."""
    roots: list[_Found] = []
    followers: dict[int, list[Difference]] = {}
    for item in sorted(found, key=lambda item: item.place):
        if item.is_root:
            roots.append(item)
    rest = sorted((item for item in found if not item.is_root), key=lambda item: item.place)
    for item in rest:
        before = [i for i, root in enumerate(roots) if root.place <= item.place]
        if before or roots:
            followers.setdefault(before[-1] if before else 0, []).append(item.difference)
    if not roots:
        return tuple(item.difference for item in rest)
    return tuple(replace(root.difference, consequences=tuple(followers.get(i, ()))) for i, root in enumerate(roots))


def _inputs(alignment: Alignment) -> Iterator[_Found]:
    for i, j in alignment.inputs.items():
        mine, theirs = alignment.file.inputs[i], alignment.keras.inputs[j]
        if mine != theirs:
            name = alignment.file.graph.values[alignment.file.graph.inputs[i]].name
            # Keras's shapes have no batch.
            is_batch = mine[1:] == theirs[1:]
            wanted = f"keras.Input(batch_shape={mine})" if is_batch else f"keras.Input({mine[1:]})"
            message = (
                f"build the model for inputs of shape {mine[1:]}, {wanted}: the file takes {name!r} as {mine}, "
                f"the model {theirs}"
            )
            yield _Found(
                -1,
                Difference(
                    "shape", message, tflite_name=name, attribute="shape", tflite_value=mine, keras_value=theirs
                ),
            )


def _attributes(alignment: Alignment, layers: Layers) -> Iterator[_Found]:
    file, keras = alignment.file, alignment.keras
    for f, k in alignment.pairs.items():
        if _declared(file, f) == _declared(keras, k):
            continue
        for difference in compare(file, keras, file.ops[f], keras.ops[k], layers):
            yield _Found(f, difference)


def _declared(side: View, node: int) -> tuple[Hashable, list[Shape]]:
    """All that can differ in a node alone."""
    return side.strict[node], [shape_of(side.graph, value) for value in side.ops[node].inputs]


def _place(alignment: Alignment, region: Region) -> int:
    """Where in the file a region of Keras would stand."""
    known = [node for node in region.sources if node >= 0]
    return max(known) if known else min((node for node in region.targets if node >= 0), default=len(alignment.file))


def _regions(alignment: Alignment, layers: Layers) -> Iterator[_Found]:
    keras = alignment.keras
    mine, theirs = open_regions(alignment)
    paired = replacements(mine, theirs)
    for a, b in paired:
        # What only brings a tensor into another shape is no counterpart: the layer that it belongs to is behind it.
        is_nothing = all(keras.ops[node].type in _LAYOUT for node in b.nodes)
        told = _missing(alignment, a) if is_nothing else _replacement(alignment, a, b, layers)
        yield _Found(a.nodes[0], told)
    done = {id(region) for pair in paired for region in pair}
    for region in mine:
        if id(region) not in done:
            yield _Found(region.nodes[0], _missing(alignment, region))
    elsewhere = describe.layers_of(keras.ops[k] for k in alignment.pairs.values())
    resized = set(describe.layers_of(_on_other_shapes(alignment)))
    for region in theirs:
        if id(region) not in done:
            nodes = [keras.ops[node] for node in region.nodes]
            told = describe.extra(keras, nodes, layers, elsewhere)
            # A layer that has a part per step has more of them because more steps come in.
            follows = set(told.layers) <= set(elsewhere) and not resized.isdisjoint(told.layers)
            yield _Found(_place(alignment, region), told, is_root=not follows)


def _on_other_shapes(alignment: Alignment) -> Iterator[Op]:
    """Operators of the model that take other shapes than their counterparts in the file."""
    file, keras = alignment.file, alignment.keras
    for f, k in alignment.pairs.items():
        mine, theirs = file.ops[f], keras.ops[k]
        if [shape_of(file.graph, v) for v in mine.inputs[:1]] != [shape_of(keras.graph, v) for v in theirs.inputs[:1]]:
            yield theirs


def _missing(alignment: Alignment, region: Region) -> Difference:
    """A region of the file that the model has nothing for."""
    file = alignment.file
    nodes = [file.ops[node] for node in region.nodes]
    told = describe.missing(file, nodes, _after(alignment, region), function_name(file, region.nodes))
    return replace(told, operators=_ids(file, region))


def _ids(side: View, region: Region) -> tuple[int | str, ...]:
    """Ids of a region's operators and of the scalings on the edges into and behind it."""
    edges = [edge for node in region.nodes for edge in side.operands[node]]
    edges += [edge for edge in side.outputs if edge.source in region.nodes]
    return (*(side.ops[node].id for node in region.nodes), *dict.fromkeys(i for edge in edges for i in edge.through))


def _after(alignment: Alignment, region: Region) -> str:
    layers = [describe.layer_of(alignment.keras.ops[alignment.pairs[f]]) for f in sorted(region.sources) if f >= 0]
    names = [repr(layer) for layer in layers if layer]
    return f" after {' and '.join(dict.fromkeys(names))}" if names else ""


def _replacement(alignment: Alignment, mine: Region, theirs: Region, layers: Layers) -> Difference:
    """Several operators stand where the file has others: told by the layer that computes them."""
    file, keras = alignment.file, alignment.keras
    wanted, got = [file.ops[n] for n in mine.nodes], [keras.ops[n] for n in theirs.nodes]
    named = describe.layers_of(got)
    where = describe.layer_names(named, " and ") if named else "the model"
    want = function_name(file, mine.nodes) or describe.operator_names(wanted, file.graph)
    is_activation = len(named) == 1 and describe.is_weightless(got)
    given = activation_of(layers, named[0]) if is_activation else None
    have = given or function_name(keras, theirs.nodes) or describe.operator_names(got, keras.graph)
    return Difference(
        "attribute",
        f"make {where} compute {want}: the file has it at {describe.in_file(file, wanted[0])}, "
        f"the model computes {have}",
        describe.file_index(wanted[0]),
        describe.file_type(wanted[0]),
        describe.file_name(file, wanted[0]),
        named[0] if named else None,
        "activation" if len(named) == 1 else "layer",
        want,
        have,
        operators=_ids(file, mine),
        layers=tuple(named),
    )


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


def _wiring(alignment: Alignment) -> Iterator[_Found]:
    file, keras = alignment.file, alignment.keras
    for f, k in alignment.pairs.items():
        bad = [pair for pair in alignment.operands(f, k) if not _agrees(alignment, *pair)]
        if not bad or any(_explained(alignment, mine, theirs) for mine, theirs in bad):
            continue
        op, other = file.ops[f], keras.ops[k]
        want = ", ".join(_source_name(alignment, mine) for mine, _ in bad)
        have = ", ".join(_keras_source(alignment, theirs) for _, theirs in bad)
        here, there = describe.in_keras(other), f"the file's {describe.in_file(file, op)}"
        if _are_crossed(alignment, bad):
            message = f"exchange the inputs of {here}: {there} takes them in the other order"
        else:
            message = f"connect {here} to {want}: {there} takes that, the model's layer takes {have}"
        yield _Found(
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


def _affines(alignment: Alignment, layers: Layers) -> Iterator[_Found]:
    """Batch norms and scalings that stand on one side only."""
    file, keras = alignment.file, alignment.keras
    common = {op_id for link in alignment.links if not link.is_odd for op_id in (*link.file, *link.keras)}
    seen: set[int | str] = set()
    for link in alignment.odd:
        alone = [op_id for op_id in (*link.file, *link.keras) if op_id not in seen]
        # An operator that is paired on another edge stands in the wrong place; any other is one too many.
        for op_id in [op_id for op_id in alone if op_id not in common] or alone:
            op = (file if link.file else keras).graph.op(op_id)
            layer = describe.layer_of(keras.ops[link.source]) if link.source >= 0 else None
            after = f" after {layer!r}" if layer else ""
            told = describe.missing(file, [op], after) if link.file else describe.extra(keras, [op], layers)
            operators = (op_id,) if link.file else ()
            yield _Found(min(link.place, len(file)), replace(told, operators=operators))
        seen.update(alone)


def _outputs(alignment: Alignment) -> Iterator[_Found]:
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
        yield _Found(len(file), Difference("wiring", message, attribute="outputs", keras_value=tuple(sorted(wrong))))
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
        message = f"make the output of {partner} an output of the model: it is the file's output {short_name(name)!r}"
        index = describe.file_index(file.ops[edge.source]) if edge.source >= 0 else None
        difference = Difference("wiring", message, index, None, name, attribute="outputs", tflite_value=name)
        yield _Found(len(file), difference, is_root=not told)
    matched = set(alignment.outputs.values())
    for j, edge in enumerate(keras.outputs):
        if j not in matched and not _explained(alignment, None, edge):
            message = f"the model's output {j} ({_keras_source(alignment, edge)}) is no output of the file"
            layer = describe.layer_of(keras.ops[edge.source]) if edge.source >= 0 else None
            yield _Found(
                len(file), Difference("wiring", message, keras_layer=layer, attribute="outputs", keras_value=j)
            )


def _feeds_extra(alignment: Alignment, edge: Edge) -> bool:
    """Whether the model goes on with an extra layer where the file ends."""
    k = alignment.pairs.get(edge.source)
    back = set(alignment.pairs.values())
    return k is not None and any(c >= 0 and c not in back for c, _, _ in alignment.keras.consumers[k])


def _constants(
    alignment: Alignment, failed: Sequence[Failure], found: Sequence[_Found], layers: Layers
) -> Iterator[_Found]:
    """Weights that do not fit: a consequence where anything else differs before them."""
    told = {item.difference.tflite_op for item in found}
    layers_told: set[str | None] = set()
    for failure in failed:
        difference = constants.describe_failure(alignment, failure, layers)
        if difference.tflite_op in told and difference.kind == "shape":
            continue
        place = failure.equation.place(alignment)
        before = any(item.place <= place and item.is_root for item in found)
        # Of a layer whose weights cannot be the file's, kernel and bias are one reason, wherever it is called.
        weight_of = difference.keras_layer if difference.kind == "constant" and keys(failure.equation.keras) else None
        again = weight_of is not None and weight_of in layers_told
        layers_told.add(weight_of)
        yield _Found(place, difference, is_root=not again and (difference.kind != "shape" or not before))
