"""From names to things: every name of a mapping is looked up in the file and the model, and must be there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TypeVar

from tflrecover.errors import StaleMapping
from tflrecover.ir import Difference, short_name
from tflrecover.mapping.loader import Gathering, Mapping, nearest
from tflrecover.mapping.model import WeightRule
from tflrecover.ops import by_name

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OpName:
    """An operator of the file, or a layer of the first of two models, as a mapping can name it.

    Attributes:
        index: Of the operator, or path of the layer.
        type: Of the operator, or class of the layer.
        name: Of its output, or path of the layer.
    """

    index: int | str
    type: str | int
    name: str


@dataclass(frozen=True, slots=True)
class ResolvedAccept:
    """A wanted difference; None fits anything."""

    layer: str | None
    op: int | str | None
    attribute: str | None
    kind: str | None

    def accepts(self, difference: Difference) -> bool:
        """Whether the difference is meant."""
        return (
            self.layer in (None, difference.keras_layer)
            and self.op in (None, difference.tflite_op, difference.tflite_name)
            and self.attribute in (None, difference.attribute)
            and self.kind in (None, difference.kind)
        )

    def __str__(self) -> str:
        op = f"#{self.op}" if isinstance(self.op, int) else self.op
        fields = {"layer": self.layer, "op": op, "attribute": self.attribute, "kind": self.kind}
        return f"{{{', '.join(f'{name}: {value}' for name, value in fields.items() if value is not None)}}}"


@dataclass(frozen=True, slots=True)
class ResolvedWeight:
    """Where the numbers of a variable come from.

    Attributes:
        rule: The entry.
        error: Gives an error that names the entry and its line.
    """

    rule: WeightRule
    error: Callable[[str], StaleMapping]


@dataclass(frozen=True, slots=True)
class ResolvedMapping:
    """A mapping in terms of one file and one model.

    Attributes:
        match: Operator index to Keras layer path.
        inputs: File input number to Keras input number.
        outputs: File output number to Keras output number.
        skip: Layer paths.
        ignore: Operator indices.
        accept: Wanted differences.
        weights: Variable path to rule.
        custom_ops: Custom code to operator of the vocabulary.
    """

    match: AbstractMapping[int | str, str] = field(default_factory=dict)
    inputs: AbstractMapping[int, int] = field(default_factory=dict)
    outputs: AbstractMapping[int, int] = field(default_factory=dict)
    skip: frozenset[str] = frozenset()
    ignore: frozenset[int | str] = frozenset()
    accept: tuple[ResolvedAccept, ...] = ()
    weights: AbstractMapping[str, ResolvedWeight] = field(default_factory=dict)
    custom_ops: AbstractMapping[str, str] = field(default_factory=dict)


def unused(accept: Sequence[ResolvedAccept], differences: Sequence[Difference]) -> Iterator[str]:
    """A note on every entry of ``accept`` that accepts nothing, as one does in which a value is misspelt."""
    for number, entry in enumerate(accept, 1):
        if any(entry.accepts(difference) for difference in differences):
            continue
        place = replace(entry, attribute=None, kind=None)
        there = [
            str(replace(place, attribute=difference.attribute, kind=difference.kind))
            for difference in differences
            if place.accepts(difference)
        ]
        hint = f"; what differs there is {' and '.join(there)}" if there else ""
        yield f"The mapping's accept entry {number}, {entry}, accepts nothing{hint}."


def resolve(
    mapping: Mapping,
    *,
    layers: Sequence[str],
    variables: Sequence[str],
    ops: Sequence[OpName],
    file_inputs: Sequence[str],
    file_outputs: Sequence[str],
    keras_inputs: Sequence[str],
    keras_outputs: Sequence[str],
    sha256: Callable[[], str],
) -> ResolvedMapping:
    """Looks every name up.

    Args:
        mapping: A loaded mapping.
        layers: Layer paths of the model.
        variables: Variable paths of the model.
        ops: Operators of the file.
        file_inputs: Names of the file's inputs; likewise the next three.
        file_outputs: Names of the file's outputs.
        keras_inputs: Names of the model's inputs.
        keras_outputs: Names of the model's outputs.
        sha256: Gives the file's digest; only called when the mapping has a guard.

    Raises:
        StaleMapping: a name is not there or not unique, or the file is another one; with the line and the nearest name.
            Of several, all are told.
    """
    model = mapping.model
    if model.tflite is not None and not sha256().startswith(model.tflite.sha256.lower()):
        told = f"written for another file: this one has sha256 {sha256()}; if the mapping holds for it too, write that"
        raise mapping.error(told, "tflite", "sha256")
    with Gathering() as gathering:
        ends: dict[str, dict[int, int]] = {"inputs": {}, "outputs": {}}
        for end, theirs, mine in (("inputs", keras_inputs, file_inputs), ("outputs", keras_outputs, file_outputs)):
            with gathering.one():
                ends[end] = mapping.pairs(end, theirs, mine)
        return ResolvedMapping(
            _match(mapping, gathering, layers, ops),
            skip=frozenset(_fitting(gathering, model.skip, lambda one, i: _layers(mapping, one, layers, "skip", i))),
            ignore=frozenset(_fitting(gathering, model.ignore, lambda one, i: _ops(mapping, one, ops, "ignore", i))),
            accept=tuple(_accept(mapping, gathering, layers, ops)),
            weights=dict(_weights(mapping, gathering, variables)),
            custom_ops=_custom_ops(mapping, gathering, ops),
            **ends,
        )


def _match(
    mapping: Mapping, gathering: Gathering, layers: Sequence[str], ops: Sequence[OpName]
) -> dict[int | str, str]:
    found: dict[int | str, str] = {}
    for name, place in mapping.model.match.items():
        with gathering.one():
            layer = _layer(mapping, name, layers, "match", name)
            op = _op(mapping, place, ops, "match", name)
            if op in found:
                raise mapping.error(f"operator #{op} is matched to layer {found[op]!r} already", "match", name)
            found[op] = layer
    return found


def _fitting(gathering: Gathering, patterns: Sequence[str], look_up: Callable[[str, int], Sequence[T]]) -> Iterator[T]:
    for i, pattern in enumerate(patterns):
        with gathering.one():
            yield from look_up(pattern, i)


def _accept(
    mapping: Mapping, gathering: Gathering, layers: Sequence[str], ops: Sequence[OpName]
) -> Iterator[ResolvedAccept]:
    for i, a in enumerate(mapping.model.accept):
        with gathering.one():
            layer = None if a.layer is None else _layer(mapping, a.layer, layers, "accept", i, "layer")
            op = None if a.op is None else _op(mapping, a.op, ops, "accept", i, "op")
            yield ResolvedAccept(layer, op, a.attribute, a.kind)


def _weights(mapping: Mapping, gathering: Gathering, variables: Sequence[str]) -> Iterator[tuple[str, ResolvedWeight]]:
    for name in mapping.model.weights:
        with gathering.one():
            yield _variable(mapping, name, variables), _weight(mapping, name)


def _custom_ops(mapping: Mapping, gathering: Gathering, ops: Sequence[OpName]) -> dict[str, str]:
    kinds = {str(op.type) for op in ops}
    for name, custom in mapping.model.custom_ops.items():
        with gathering.one():
            if name not in kinds:
                told = f"the file has no operator of type {name!r}{nearest(name, kinds)}"
                raise mapping.error(told, "custom_ops", name)
            if by_name(custom.as_) is None:
                message = f"{custom.as_!r} is no operator that tflrecover knows; register_op can make one known"
                raise mapping.error(message, "custom_ops", name, "as")
    return {name: custom.as_ for name, custom in mapping.model.custom_ops.items()}


def _ending(name: str, paths: Sequence[str]) -> list[str]:
    """Paths that are the name or end in it."""
    return [path for path in paths if path == name] or [path for path in paths if path.endswith(f"/{name}")]


def _layer(mapping: Mapping, name: str, layers: Sequence[str], *key: str | int) -> str:
    found = _ending(name, layers)
    if len(found) == 1:
        return found[0]
    if found:
        raise mapping.error(f"{name!r} stands for several layers: {', '.join(found[:5])}; write the longer path", *key)
    raise mapping.error(f"the model has no layer {name!r}{nearest(name, layers)}", *key)


def _variable(mapping: Mapping, name: str, variables: Sequence[str]) -> str:
    found = _ending(name, variables)
    if len(found) == 1:
        return found[0]
    if found:
        message = f"{name!r} stands for several variables: {', '.join(found[:5])}; write the longer path"
        raise mapping.error(message, "weights", name)
    raise mapping.error(f"the model has no variable {name!r}{nearest(name, variables)}", "weights", name)


def _weight(mapping: Mapping, name: str) -> ResolvedWeight:
    return ResolvedWeight(mapping.model.weights[name], lambda told: mapping.error(told, "weights", name))


def _layers(mapping: Mapping, pattern: str, layers: Sequence[str], *key: str | int) -> list[str]:
    # A path that numbers equal siblings has brackets, which a pattern would take for a set of letters.
    found = [path for path in layers if path == pattern or _fits(path, pattern)]
    if not found:
        raise mapping.error(f"no layer of the model fits {pattern!r}{nearest(pattern, layers)}", *key)
    return found


def _fits(path: str, pattern: str) -> bool:
    return fnmatchcase(path, pattern) or fnmatchcase(path.rsplit("/", 1)[-1], pattern)


def _numbered(name: str, ops: Sequence[OpName]) -> int | None:
    number = int(name[1:]) if name.startswith("#") and name[1:].isdecimal() else None
    return number if number is not None and any(op.index == number for op in ops) else None


def _names(op: OpName) -> tuple[str, str]:
    """The name of an operator's output, whole and as reports show it."""
    return op.name, short_name(op.name)


def _ops(mapping: Mapping, pattern: str, ops: Sequence[OpName], *key: str | int) -> list[int | str]:
    number = _numbered(pattern, ops)
    found: list[int | str] = (
        [number]
        if number is not None
        else [op.index for op in ops if pattern in _names(op) or any(fnmatchcase(n, pattern) for n in _names(op))]
    )
    if not found:
        raise mapping.error(
            f"no operator of the file fits {pattern!r}{_past_the_end(pattern, ops) or _nearest(pattern, ops)}", *key
        )
    return found


def _op(mapping: Mapping, name: str, ops: Sequence[OpName], *key: str | int) -> int | str:
    number = _numbered(name, ops)
    found: list[int | str] = [number] if number is not None else [op.index for op in ops if op.name == name]
    found = found or [op.index for op in ops if name in _names(op)]
    if len(found) == 1:
        return found[0]
    if number_only := _past_the_end(name, ops):
        raise mapping.error(f"the file has no operator {name}{number_only}", *key)
    if found:
        indices = ", ".join(f'"#{index}"' for index in found)
        raise mapping.error(f"{name!r} is the output of several operators; write one of {indices}", *key)
    raise mapping.error(f"the file has no operator with output {name!r}{_nearest(name, ops)}", *key)


def _nearest(name: str, ops: Sequence[OpName]) -> str:
    """As reports show names, for these are what a user has seen."""
    return nearest(name, (short_name(op.name) for op in ops))


def _past_the_end(name: str, ops: Sequence[OpName]) -> str:
    """What to say of a number that no operator has, or nothing if the name is no number."""
    if not (name.startswith("#") and name[1:].isdecimal()):
        return ""
    last = max((op.index for op in ops if isinstance(op.index, int)), default=0)
    return f"; its operators are #0 to #{last}"
