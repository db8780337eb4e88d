"""Finds every difference of an alignment and sorts roots from what follows from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from tflrecover.align import Alignment
from tflrecover.align.view import View, shape_of
from tflrecover.differences import constants, describe, scalings, wiring
from tflrecover.differences.attributes import compare
from tflrecover.differences.found import Found
from tflrecover.differences.functions import function_name
from tflrecover.differences.layers import Layers, activation_of, needs_none
from tflrecover.differences.likes import like_a_layer
from tflrecover.differences.moved import moved
from tflrecover.differences.padded import padded
from tflrecover.differences.regions import Region, open_regions, region_of, replacements
from tflrecover.differences.reshapes import (
    has_as_many,
    is_brought_to_others,
    is_shift,
    makes_other_rows,
    on_other_shapes,
)
from tflrecover.differences.strides import exchanged
from tflrecover.ir import Difference, Op, Shape, called
from tflrecover.transfer.state import Failure
from tflrecover.weight import Array, keys

# Arguments that say how large an image becomes.
_SIZES = ("size", "height", "width")
# Those that say how many channels a layer makes.
_WIDTHS = ("units", "filters")


def find(alignment: Alignment, failed: Sequence[Failure], layers: Layers) -> tuple[Difference, ...]:
    """Roots in file order, each with its consequences.

    Args:
        alignment: The pairs.
        failed: Equations that do not hold.
        layers: The model's layers by path.
    """
    wrong = wiring.wrong_operands(alignment)
    # What a layer has in its weights depends on who else takes its result.
    taken = {theirs.source for bad in wrong.values() for _, theirs in bad if theirs is not None and theirs.source >= 0}
    taken |= {k for f, k in alignment.pairs.items() if _leads_to_nothing(alignment, f)}
    found = [
        *_inputs(alignment),
        *_attributes(alignment, layers),
        *_regions(alignment, layers, wiring.misled(alignment, wrong)),
        *wiring.operands(alignment, wrong, layers),
        *scalings.unmatched(alignment, layers, taken),
        *wiring.outputs(alignment),
    ]
    found += _constants(alignment, failed, found, layers, taken)
    found = exchanged(alignment, padded(alignment, moved(alignment, found, layers)))
    if not found and not alignment.complete and not alignment.ambiguous:
        # Nothing may pass as the same that is not proved to be.
        message = (
            "the file and the model could not be proved to be the same network, though no single difference was found"
        )
        found.append(Found(0, Difference("wiring", message)))
    return _grouped(found)


def _leads_to_nothing(alignment: Alignment, f: int) -> bool:
    """Whether all that takes a value in the file has no counterpart: a scaling behind that may be in front of it."""
    uses = alignment.file.consumers[f]
    return bool(uses) and all(c >= 0 and c not in alignment.pairs for c, _, _ in uses)


def _grouped(found: Iterable[Found]) -> tuple[Difference, ...]:
    """Hangs what is no root under the nearest root before it; it becomes a root itself when there is none."""
    roots: list[Found] = []
    rest: list[Found] = []
    said: set[Hashable] = set()
    followers: dict[int, list[Difference]] = {}
    for item in sorted(found, key=lambda item: item.place):
        # A layer that is called several times is one layer: what it lacks, it lacks in each call.
        says = item.said or _said(item.difference)
        is_again = says is not None and says in said
        (roots if item.is_root and not is_again else rest).append(item)
        if item.is_root:
            said.add(says)
    if not roots:
        # Of what moves with others something did; what is connected otherwise follows from it.
        roots = [item for item in rest if item.difference.kind in ("missing", "extra")] or rest
        rest = [item for item in rest if item not in roots]
    for item in rest:
        before = [i for i, root in enumerate(roots) if root.place <= item.place]
        if before or roots:
            followers.setdefault(before[-1] if before else 0, []).append(item.difference)
    return tuple(
        replace(root.difference, consequences=(*root.difference.consequences, *followers.get(i, ())))
        for i, root in enumerate(roots)
    )


def _said(difference: Difference) -> Hashable:
    """What a difference asks of a layer; None where it names none."""
    d = difference
    return d.keras_layer and (d.kind, d.keras_layer, d.layers, d.attribute, repr(d.tflite_value), repr(d.keras_value))


def _inputs(alignment: Alignment) -> Iterator[Found]:
    for i, j in alignment.inputs.items():
        mine, theirs = alignment.file.inputs[i], alignment.keras.inputs[j]
        if mine != theirs:
            name = alignment.file.graph.values[alignment.file.graph.inputs[i]].name
            # Keras's shapes have no batch.
            is_batch = mine[1:] == theirs[1:]
            wanted = f"keras.Input(batch_shape={mine})" if is_batch else f"keras.Input({mine[1:]})"
            taken = f"the file takes {called(name, f'input {i}')} as {mine}, the model {theirs}"
            message = f"build the model for inputs of shape {mine[1:]}, {wanted}: {taken}"
            yield Found(
                -1,
                Difference(
                    "shape", message, tflite_name=name, attribute="shape", tflite_value=mine, keras_value=theirs
                ),
            )


def _attributes(alignment: Alignment, layers: Layers) -> Iterator[Found]:
    file, keras = alignment.file, alignment.keras
    for f, k in alignment.pairs.items():
        if _declared(file, f) == _declared(keras, k):
            continue
        told: list[Difference] = []
        if _is_of_neighbour(alignment, f, k):
            yield replace(_missing(alignment, region_of(alignment, f), layers), is_root=True)
            continue
        for difference in compare(file, keras, file.ops[f], keras.ops[k], layers):
            follows = _follows(keras.ops[k], difference, told, layers)
            follows = follows or (difference.attribute in _SIZES and is_brought_to_others(alignment, f, k))
            yield Found(f, difference, is_root=not follows)
            told.append(difference)


def _is_of_neighbour(alignment: Alignment, f: int, k: int) -> bool:
    """Whether the file has a reshape where a layer of the model, which is in the file, only moves its own axes."""
    mine, theirs = alignment.file.ops[f], alignment.keras.ops[k]
    own = (op for node in alignment.back if (op := alignment.keras.ops[node]).type not in describe.LAYOUT)
    is_own = theirs.type == "TRANSPOSE" and describe.layer_of(theirs) in map(describe.layer_of, own)
    return mine.type == "RESHAPE" and is_own


def _follows(op: Op, difference: Difference, before: Sequence[Difference], layers: Layers) -> bool:
    """Whether an attribute is what another makes of it, where there is such: nobody has given it."""
    values = difference.tflite_value, difference.keras_value
    layer = layers.get(difference.keras_layer or "")
    if needs_none(layer, difference.attribute or "") and values in [(d.tflite_value, d.keras_value) for d in before]:
        # Windows of a pool that nobody has spaced lie side by side.
        return True
    if op.type == "PAD" and difference.attribute == "padding":
        # How much is put before the first step follows from the kernel and its dilation.
        return getattr(layer, "padding", None) == "causal"
    # How often a loop runs follows from how many steps come in.
    return difference.attribute == "trips"


def _declared(side: View, node: int) -> tuple[Hashable, list[Shape]]:
    """All that can differ in a node alone."""
    return side.strict[node], [shape_of(side.graph, value) for value in side.ops[node].inputs]


def _place(alignment: Alignment, region: Region) -> int:
    """Where in the file a region of Keras would stand."""
    known = [node for node in region.sources if node >= 0]
    return max(known) if known else min((node for node in region.targets if node >= 0), default=len(alignment.file))


def _regions(alignment: Alignment, layers: Layers, misled: Collection[int]) -> Iterator[Found]:
    """Regions of either side; ``misled`` nodes only bring a wrong operand into shape."""
    keras = alignment.keras
    mine, theirs = open_regions(alignment)
    paired = replacements(mine, theirs)
    for a, b in paired:
        # What only brings a tensor into another shape or type is no counterpart: the layer that has it is behind it.
        is_nothing = all(_only_shapes(alignment, node) for node in b.nodes)
        lacking = a if is_nothing else _in_front(alignment, a, b) or _besides(alignment.file, a, keras, b)
        surplus = None if lacking is not None else _besides(keras, b, alignment.file, a)
        if lacking is not None:
            yield _missing(alignment, lacking, layers)
        elif surplus is not None:
            told = describe.extra(keras, [keras.ops[node] for node in surplus.nodes], layers)
            yield Found(a.nodes[0], told)
        else:
            yield Found(a.nodes[0], _replacement(alignment, a, b, layers))
    done = {id(region) for pair in paired for region in pair}
    for region in mine:
        if id(region) not in done:
            yield _missing(alignment, region, layers)
    elsewhere = describe.layers_of(keras.ops[k] for k in alignment.pairs.values())
    resized = set(describe.layers_of(on_other_shapes(alignment)))
    reshaped = has_as_many(alignment)
    for region in theirs:
        if id(region) not in done:
            nodes = [keras.ops[node] for node in region.nodes]
            told = describe.extra(keras, nodes, layers, elsewhere)
            # A layer that has a part per step has more of them because more steps come in.
            follows = set(told.layers) <= set(elsewhere) and not resized.isdisjoint(told.layers)
            follows = follows or set(region.nodes) <= set(misled) or is_shift(keras, region, layers, reshaped)
            yield Found(_place(alignment, region), told, is_root=not follows)


def _only_shapes(alignment: Alignment, node: int) -> bool:
    """Whether a node of Keras computes nothing: one that makes numbers of a type that a layer takes is its own."""
    keras = alignment.keras
    op, layer = keras.ops[node], describe.layer_of(keras.ops[node])
    is_own = op.type == "CAST" and any(describe.layer_of(keras.ops[k]) == layer for k in alignment.back)
    return is_own or op.type in describe.LAYOUT


def _missing(alignment: Alignment, region: Region, layers: Layers) -> Found:
    """A region of the file that the model has nothing for."""
    file = alignment.file
    nodes = [file.ops[node] for node in region.nodes]
    after = _after(alignment, region)
    name = function_name(file, region.nodes) or like_a_layer(nodes, alignment.keras, layers)
    told = describe.missing(file, nodes, after, name)
    before, behind = (
        [alignment.keras.ops[alignment.pairs[f]] for f in sorted(ends) if f >= 0]
        for ends in (region.sources, region.targets)
    )
    is_after, is_before = (any(constants.calls_of(alignment, op) > 1 for op in ops) for ops in (before, behind))
    place = after if is_after else tuple(describe.layers_of(behind)) if is_before else None
    said = None if place is None else (place, name, tuple(op.type for op in nodes))
    moves = is_shift(file, region, {}) and not makes_other_rows(alignment, region)
    return Found(region.nodes[0], replace(told, operators=_ids(alignment, region)), not moves, said)


def _in_front(alignment: Alignment, mine: Region, theirs: Region) -> Region | None:
    """What the file has in front of all that stands on both sides, if that is it.

    A group norm leaves its shape behind an activation, whose own operators are no pairs then.
    """
    file, keras = alignment.file, alignment.keras
    own = [node for node in mine.nodes if file.ops[node].type not in describe.LAYOUT]
    got = [keras.ops[node].type for node in theirs.nodes if keras.ops[node].type not in describe.LAYOUT]
    front, both = own[: len(own) - len(got)], own[len(own) - len(got) :]
    is_it = bool(front and got) and [file.ops[node].type for node in both] == got
    return replace(mine, nodes=tuple(front)) if is_it else None


def _besides(side: View, mine: Region, other: View, theirs: Region) -> Region | None:
    """What one side has besides all that stands on both, if both have weights: a branch, say, and what joins it."""
    if describe.is_weightless(other.ops[node] for node in theirs.nodes):
        return None
    rest = {node: other.ops[node].type for node in sorted(theirs.nodes, key=lambda node: _only_brings(other, node))}
    nodes = []
    for node in mine.nodes:
        alike = next((known for known, kind in rest.items() if kind == side.ops[node].type), None)
        if alike is None:
            nodes.append(node)
        else:
            del rest[alike]
    # Without it others have no layer to be taken into, and move axes themselves.
    is_another = all(_only_brings(other, node) for node in rest) and not describe.is_weightless(
        side.ops[node] for node in nodes
    )
    return replace(mine, nodes=tuple(nodes)) if is_another else None


def _only_brings(side: View, node: int) -> bool:
    """Whether a node moves, shapes or scales what another one computes."""
    op = side.ops[node]
    is_scaling = op.type in ("MUL", "ADD") and any(
        value is not None and side.graph.values[value].weight is not None for value in op.inputs
    )
    return is_scaling or op.type in describe.LAYOUT


def _ids(alignment: Alignment, region: Region) -> tuple[int | str, ...]:
    """Ids of a region's operators and of the scalings on the edges into and behind it, but for those of both sides."""
    side = alignment.file
    before = [edge for node in region.nodes for edge in side.operands[node]]
    edges = [edge for edge in before if edge.source not in alignment.pairs or not alignment.in_keras(edge).through]
    edges += [edge for edge in side.outputs if edge.source in region.nodes]
    return (*(side.ops[node].id for node in region.nodes), *dict.fromkeys(i for edge in edges for i in edge.through))


def _after(alignment: Alignment, region: Region) -> str:
    file, inside = alignment.file, set(region.nodes)
    edges = {edge.source: edge for node in region.nodes for edge in file.operands[node] if edge.source not in inside}
    layers = [
        describe.maker(alignment.keras, alignment.in_keras(edges[f])) for f in sorted(edges) if f in alignment.pairs
    ]
    names = [repr(layer) for layer in layers if layer]
    return f" after {' and '.join(dict.fromkeys(names))}" if names else ""


def _replacement(alignment: Alignment, mine: Region, theirs: Region, layers: Layers) -> Difference:
    """Several operators stand where the file has others: told by the layer that computes them."""
    file, keras = alignment.file, alignment.keras
    wanted, got = [file.ops[n] for n in mine.nodes], [keras.ops[n] for n in theirs.nodes]
    named = describe.layers_of(op for op in got if op.type not in describe.LAYOUT) or describe.layers_of(got)
    where = describe.layer_names(named, " and ") if named else "the model's own call"
    want = function_name(file, mine.nodes) or describe.operator_names(wanted, file.graph)
    is_activation = len(named) == 1 and describe.is_activation(got)
    given = activation_of(layers, named[0]) if is_activation else None
    have = given or function_name(keras, theirs.nodes) or describe.operator_names(got, keras.graph)
    is_order = len(named) > 1 and Counter(op.type for op in wanted) == Counter(op.type for op in got)
    message = (
        f"put {where} in the file's order, {want}: the file has it at {describe.in_file(file, wanted[0])}, "
        f"the model computes {have}"
        if is_order
        else describe.instead(file, wanted[0], want, have, where, given)
    )
    return Difference(
        "wiring" if is_order else "attribute",
        message,
        describe.file_index(wanted[0]),
        describe.file_type(wanted[0]),
        describe.file_name(file, wanted[0]),
        named[0] if named else None,
        "inputs" if is_order else "activation" if is_activation else "layer",
        want,
        have,
        operators=_ids(alignment, mine),
        layers=tuple(named),
    )


def _constants(
    alignment: Alignment,
    failed: Sequence[Failure],
    found: Sequence[Found],
    layers: Layers,
    taken: Collection[int],
) -> Iterator[Found]:
    """Weights that do not fit: a consequence where anything else differs before them."""
    told = {item.difference.tflite_op for item in found}
    widened = {item.difference.tflite_op for item in found if item.difference.attribute in _WIDTHS}
    reshaped = _reshaped_elsewhere(alignment)
    seen: set[Hashable] = set()
    scales: dict[Hashable, Array] = {}
    for failure in failed:
        difference = constants.describe_failure(alignment, failure, layers)
        if difference.tflite_op in told and difference.kind == "shape":
            continue
        place = failure.equation.place(alignment)
        before = any(item.place <= place and item.is_root for item in found)
        is_shifted = difference.kind == "shape" or difference.keras_layer in reshaped or _is_shifted(alignment, failure)
        # Of a layer with other units a bias would have another size in any case.
        is_shifted = is_shifted or (failure.equation.role == "bias" and difference.tflite_op in widened)
        cause = _cause(alignment, failure, difference, layers)
        again = cause is not None and cause in seen
        again = again or alignment.keras.number.get(failure.equation.keras_op or "", -1) in taken
        again = again or _is_scaled_too(failure, scales)
        seen.add(cause)
        yield Found(place, difference, is_root=not again and not (is_shifted and before))


def _is_scaled_too(failure: Failure, scales: dict[Hashable, Array]) -> bool:
    """Whether an offset differs as the scale before it does: ``(x - c) / s`` has ``s`` in both."""
    mine, theirs, place = failure.file_value, failure.keras_value, failure.equation.file_op
    if mine is None or theirs is None or not np.all(theirs):
        return False
    if failure.equation.role == "scale":
        scales[place] = mine / theirs
        return False
    ratio = scales.get(place) if failure.equation.role == "offset" else None
    return ratio is not None and bool(np.allclose(mine, theirs * ratio, rtol=1e-4))


def _is_shifted(alignment: Alignment, failure: Failure) -> bool:
    """Whether what a constant belongs to has other axes on the other side, due to what is before it."""
    ends = (alignment.file.graph, failure.equation.file_op), (alignment.keras.graph, failure.equation.keras_op)
    ranks = {len(shape_of(graph, graph.op(op_id).outputs[0])) for graph, op_id in ends if op_id is not None}
    return len(ranks) > 1


def _reshaped_elsewhere(alignment: Alignment) -> set[str]:
    """Layers that take tensors in another shape than in the file: what scales them may stand before or behind it."""
    keras = alignment.keras
    open_ = (k for k, op in enumerate(keras.ops) if op.type == "RESHAPE" and k not in alignment.back)
    return set(describe.layers_of(keras.ops[c] for k in open_ for c, _, _ in keras.consumers[k] if c >= 0))


def _cause(alignment: Alignment, failure: Failure, difference: Difference, layers: Layers) -> Hashable:
    """What several constants that do not fit have for one reason; None: each is one of its own."""
    layer = difference.keras_layer
    if difference.kind != "constant" or layer is None:
        return None
    if keys(failure.equation.keras):
        # Of a layer whose weights cannot be the file's, kernel and bias are one, wherever it is called; so is a model.
        return constants.shared_around(alignment, layers, layer) or layer
    # A function of numbers is one: a sum in the place of a product has another scale and another offset.
    is_argument = hasattr(layers.get(layer), failure.equation.role)
    return None if is_argument else (layer, failure.equation.file_op)
