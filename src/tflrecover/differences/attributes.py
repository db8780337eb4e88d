"""Attributes of a pair, compared in Keras's terms on the file's own shapes.

Only what is still different when Keras's operator is put on the file's input is a root: changed shapes from further up
do not count. If replacing one declared attribute makes the lowered numbers equal, that one alone is the difference, so
a SAME pool of another size is not also said to have other paddings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from tflrecover import ops
from tflrecover.align.view import View, lowered, shape_of
from tflrecover.differences import describe
from tflrecover.differences.layers import Layers, activation_of, class_of, padding_layer
from tflrecover.ir import Difference, Op
from tflrecover.rewrite.common import freeze

# Arguments that tell where a tensor goes, not what is computed: their value follows from the shapes before them.
_FOLLOWS_SHAPE = frozenset({"target_shape"})


def same_numbers(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two sets of lowered attributes are equal."""
    return freeze(dict(a)) == freeze(dict(b))


def compare(file: View, keras: View, f: Op, k: Op, layers: Layers) -> Iterator[Difference]:
    """Root differences of one pair."""
    if f.type != k.type:
        spec = ops.by_name(f.type)
        is_activation = spec is not None and spec.family == "activation"
        have = activation_of(layers, describe.layer_of(k)) if is_activation else None
        yield describe.other_type(file, f, k, "activation" if is_activation else "layer", have)
        return
    shapes = [shape_of(file.graph, value) for value in f.inputs]
    for name in differing(file, keras, f, k):
        origin = k.attribute_origins.get(name)
        mine, theirs = f.attributes.get(name), k.attributes.get(name)
        layer = origin.layer if origin else None
        advice = _padding(f, k, shapes, layer, layers) if name == "padding" else ""
        yield describe.attribute(file, f, k, name, mine, theirs, layer, advice)


def differing(file: View, keras: View, f: Op, k: Op) -> tuple[str, ...]:
    """Attributes that two operators of one type must agree on to compute the same on the file's shapes."""
    shapes = [shape_of(file.graph, value) for value in f.inputs]
    follows = shape_of(keras.graph, k.inputs[0]) != shapes[0] if shapes and k.inputs else False
    return tuple(name for name in _smallest_cause(f, k, shapes) if not (follows and name in _FOLLOWS_SHAPE))


def _padding(f: Op, k: Op, shapes: list[tuple[int, ...]], pad: str | None, layers: Layers) -> str:
    """What to do for another padding: Keras's convolutions know names only, numbers are a layer of their own.

    Args:
        f: The file's operator.
        k: The model's operator.
        shapes: The file's operands.
        pad: The layer that pads in the model, if it is one of its own.
        layers: The model's layers.
    """
    where, wanted = describe.in_keras(k), lowered(f, shapes)
    names = ("same", "valid")
    name = f.attributes["padding"] if f.attributes["padding"] in names else None
    if name is None and pad is not None:
        return ""
    name = name or next((n for n in names if same_numbers(lowered(_padded(k, f, n), shapes), wanted)), None)
    if name is None:
        numbers = describe.show(f.attributes["padding"])
        return (
            f"put {padding_layer(layers, describe.layer_of(k))}({numbers}) before {where} and set its `padding='valid'`"
        )
    if pad is None:
        return f"set `padding={name!r}` on {where}"
    kind = class_of(layers, pad)
    return f"remove layer {pad!r}{f' ({kind})' if kind else ''} and set `padding={name!r}` on {where}"


def _padded(k: Op, f: Op, padding: str) -> Op:
    """The model's operator with the file's window and that padding."""
    return k.evolve(attributes={**k.attributes, **f.attributes, "padding": padding})


def _smallest_cause(f: Op, k: Op, shapes: list[tuple[int, ...]]) -> tuple[str, ...]:
    """The fewest declared attributes that must be taken from the file for the numbers to be equal; none if they are."""
    wanted = lowered(f, shapes)
    if same_numbers(wanted, lowered(k, shapes)):
        return ()
    spec = ops.by_name(f.type)
    declared = spec.declared if spec is not None and spec.declared else tuple(sorted({*f.attributes, *k.attributes}))
    changed = [name for name in declared if freeze(f.attributes.get(name)) != freeze(k.attributes.get(name))]
    for count in range(1, len(changed)):
        for names in combinations(changed, count):
            tried = k.evolve(attributes={**k.attributes, **{name: f.attributes.get(name) for name in names}})
            if same_numbers(lowered(tried, shapes), wanted):
                return names
    return tuple(changed)
