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
from tflrecover.ir import Difference, Op
from tflrecover.rewrite.common import freeze

# Arguments that tell where a tensor goes, not what is computed: their value follows from the shapes before them.
_FOLLOWS_SHAPE = frozenset({"target_shape"})


def same_numbers(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two sets of lowered attributes are equal."""
    return freeze(dict(a)) == freeze(dict(b))


def compare(file: View, keras: View, f: Op, k: Op) -> Iterator[Difference]:
    """Root differences of one pair."""
    if f.type != k.type:
        spec = ops.by_name(f.type)
        yield describe.other_type(file, f, k, "activation" if spec and spec.family == "activation" else "layer")
        return
    shapes = [shape_of(file.graph, value) for value in f.inputs]
    wanted = lowered(f, shapes)
    if same_numbers(wanted, lowered(k, shapes)):
        return
    spec = ops.by_name(f.type)
    declared = spec.declared if spec is not None and spec.declared else tuple(sorted({*f.attributes, *k.attributes}))
    changed = [name for name in declared if freeze(f.attributes.get(name)) != freeze(k.attributes.get(name))]
    for name in _smallest_cause(f, k, shapes, changed):
        if name in _FOLLOWS_SHAPE and shape_of(keras.graph, k.inputs[0]) != shapes[0]:
            continue
        origin = k.attribute_origins.get(name)
        mine, theirs = f.attributes.get(name), k.attributes.get(name)
        yield describe.attribute(file, f, k, name, mine, theirs, origin.layer if origin else None)


def _smallest_cause(f: Op, k: Op, shapes: list[tuple[int, ...]], changed: list[str]) -> tuple[str, ...]:
    """The fewest declared attributes that must be taken from the file for the numbers to be equal."""
    wanted = lowered(f, shapes)
    for count in range(1, len(changed)):
        for names in combinations(changed, count):
            tried = k.evolve(attributes={**k.attributes, **{name: f.attributes.get(name) for name in names}})
            if same_numbers(lowered(tried, shapes), wanted):
                return names
    return tuple(changed)
