"""Differences of two files, or of two models, in words that ask nobody to change anything.

Elsewhere a difference says how a model becomes the file's network. Between two releases there is nothing to change:
what the one has and what the other has is told, from the fields of the difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from tflrecover.align import Alignment
from tflrecover.align.view import View
from tflrecover.differences import describe
from tflrecover.differences.layouts import LAYOUTS
from tflrecover.differences.overview import is_far_apart
from tflrecover.differences.tails import match_lines
from tflrecover.ir import Ambiguity, Difference, Op, OperatorCounts, called, short_name

# Attributes that are no argument of a layer: what stands in the same place.
_WHAT_IT_IS = ("activation", "layer")
_ALONE = {"missing": "first", "extra": "second"}


def retold(difference: Difference, alignment: Alignment) -> Difference:
    """The difference, and what follows from it, in neutral words."""
    under = tuple(retold(one, alignment) for one in difference.consequences)
    return replace(difference, message=_message(difference, alignment), consequences=under)


def _message(difference: Difference, alignment: Alignment) -> str:
    mine, theirs = describe.show(difference.tflite_value), describe.show(difference.keras_value)
    beside = f"{mine} in the first, {theirs} in the second"
    where, attribute = _where(difference), difference.attribute
    if attribute == "inputs" and difference.kind in _ALONE:
        name = difference.tflite_name or difference.keras_layer
        return f"the input {name!r} is only in the {_ALONE[difference.kind]}"
    if difference.kind == "missing":
        return f"{_only_mine(difference, alignment)} at {where}, only in the first"
    if difference.kind == "extra":
        return f"{_only_theirs(difference, alignment)} at {_second(difference)}, only in the second"
    if attribute is None:
        return "the two could not be proved to be the same network, though no single difference was found"
    if attribute == "outputs":
        return _output(difference)
    if difference.kind == "wiring":
        return f"{where} takes {difference.tflite_value} in the first, {difference.keras_value} in the second"
    if difference.kind == "shape" and difference.tflite_op is None and attribute == "shape":
        return f"the input {difference.tflite_name!r} is {beside}"
    if attribute in LAYOUTS:
        return f"the {LAYOUTS[attribute]} {difference.tflite_name!r} is {beside}"
    if difference.kind == "attribute" and attribute in _WHAT_IT_IS:
        return f"{where}: {difference.tflite_value} in the first, {difference.keras_value} in the second"
    if difference.kind == "constant" and difference.tflite_value is None:
        return f"the {attribute} of {where} is made with other constants"
    names = {"attribute": f"`{attribute}`", "shape": f"the shape of the {attribute}"}
    return f"{names.get(difference.kind, f'the {attribute}')} of {where}: {beside}"


def _where(difference: Difference) -> str:
    """The place in the first, and in the second where it is called otherwise there."""
    name = short_name(difference.tflite_name or "")
    if difference.tflite_op is not None:
        place = f"operator {difference.tflite_op} ({difference.tflite_type}{name and f', {name!r}'})"
    else:
        place = called(name, "a place without a name")
    is_same = difference.keras_layer in (None, name)
    return place if is_same else f"{place} / {_second(difference)}" if name else _second(difference)


def _second(difference: Difference) -> str:
    named = difference.layers or ((difference.keras_layer,) if difference.keras_layer else ())
    return describe.layer_names(named).partition(" ")[2] if named else "no layer"


def _only_mine(difference: Difference, alignment: Alignment) -> str:
    graph = alignment.file.graph
    found = [graph.op(op_id) for op_id in difference.operators if op_id in graph]
    return _operators(found) or str(difference.tflite_type)


def _only_theirs(difference: Difference, alignment: Alignment) -> str:
    back, keras = set(alignment.pairs.values()), alignment.keras
    named = {difference.keras_layer, *difference.layers}
    alone = [op for k, op in enumerate(keras.ops) if k not in back and describe.layer_of(op) in named]
    return _operators(alone or [op for op in keras.graph.ops() if describe.layer_of(op) in named]) or "operators"


def _operators(listed: list[Op]) -> str:
    main = [op for op in listed if op.type != "AFFINE"] or listed
    return describe.operator_names(main) if main else ""


def _output(difference: Difference) -> str:
    if isinstance(difference.keras_value, tuple):
        listed = ", ".join(map(str, difference.keras_value))
        return f"the second has its outputs {listed} in another order than the first"
    if difference.tflite_name is not None:
        return (
            f"the output {called(difference.tflite_name, 'without a name')} of the first is no output of the second's "
            "counterpart"
        )
    return f"the output {difference.keras_value} of the second ({_second(difference)}) is no output of the first"


def inputs_alone(alignment: Alignment, mine: Sequence[str], theirs: Sequence[str]) -> Iterator[Difference]:
    """Inputs that one of the two alone has; a model and a file are never compared with other numbers of inputs.

    Args:
        alignment: The pairs.
        mine: Names of the first's inputs.
        theirs: Names of the second's.
    """
    pairs = alignment.inputs
    for i in _alone(alignment.file, set(pairs), len(theirs)):
        yield Difference("missing", "", tflite_name=mine[i] or f"#{i}", attribute="inputs")
    for j in _alone(alignment.keras, set(pairs.values()), len(mine)):
        yield Difference("extra", "", keras_layer=theirs[j] or f"#{j}", attribute="inputs")


def _alone(side: View, paired: set[int], others: int) -> list[int]:
    """Inputs without a partner, as far as there are too many of them."""
    free = [i for i in range(len(side.inputs)) if i not in paired]
    return free if len(side.inputs) > others else []


def undecided(alignment: Alignment) -> tuple[Ambiguity, ...]:
    """Operators of both that structure cannot tell apart, with mapping lines."""
    return tuple(_ambiguity(alignment, fs, ks) for fs, ks in alignment.ambiguous)


def _ambiguity(alignment: Alignment, fs: tuple[int, ...], ks: tuple[int, ...]) -> Ambiguity:
    mine = [alignment.file.ops[f] for f in fs]
    layers = tuple(describe.layer_of(alignment.keras.ops[k]) or str(alignment.keras.ops[k].type) for k in ks)
    indices = tuple(index for op in mine if (index := describe.file_index(op)) is not None)
    places = [f"#{index}" for index in indices] or [describe.layer_of(op) or str(op.type) for op in mine]
    told = f"{', '.join(places)} of the first and {', '.join(layers)} of the second cannot be told apart by structure"
    return Ambiguity(f"{told}; say in a mapping which is which", indices, layers, match_lines(layers, places))


def other_order(alignment: Alignment) -> Iterator[str]:
    """Notes on ends that are in another order."""
    for end, pairs in alignment.reordered():
        order = ", ".join(f"{i} is the second's {j}" for i, j in pairs)
        yield f"The {end}s are in another order: the first's {end} {order}."


def far_apart(counts: OperatorCounts, differences: tuple[Difference, ...]) -> str:
    """What to say when fewer than half of the operators of the smaller of the two match; else nothing."""
    if not is_far_apart(counts, differences):
        return ""
    return (
        f"only {counts.matched} canonical operators match, of {counts.canonical} in the first and {counts.model} in "
        "the second: these are probably different architectures"
    )
