"""Attributes of a pair, compared in Keras's terms on the file's own shapes.

Only what is still different when Keras's operator is put on the file's input is a root: changed shapes from further up
do not count. If replacing one declared attribute makes the lowered numbers equal, that one alone is the difference, so
a SAME pool of another size is not also said to have other paddings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from tflrecover import ops
from tflrecover.align.view import View, lowered, shape_of
from tflrecover.differences import describe
from tflrecover.differences.layers import Layers, activation_of, class_of, padding_layer
from tflrecover.ir import Difference, Op, Shape
from tflrecover.rewrite.common import freeze

# All places of an axis.
_WHOLE = (None, None, 1)


def _from_the_end(places: Sequence[Any], shape: Sequence[int]) -> tuple[Any, ...]:
    """Slices as a cropping tells them, single places likewise; those that add axes as they are."""
    if any(isinstance(place, str) for place in places) or len(places) > len(shape):
        return tuple(places)
    return tuple(
        (place[0], place[1] and place[1] - n, place[2]) if isinstance(place, tuple) else place - n
        for place, n in zip(places, shape, strict=False)
    )


def _besides_ones(places: Sequence[Any], shape: Shape) -> tuple[Any, ...]:
    """Slices without the axes of size 1 that they take whole: there may be more of them or less."""
    if any(isinstance(place, str) for place in places) or len(places) > len(shape):
        return tuple(places)
    kept = [(place, n) for place, n in zip(places, shape, strict=False) if (place, n) != (_WHOLE, 1)]
    return _from_the_end([place for place, _ in kept], [n for _, n in kept])


def _around_the_middle(places: Sequence[Any], shape: Sequence[int]) -> tuple[Any, ...]:
    """Slices as how much they take, and how far its middle is from that of what they are taken from."""
    if any(not isinstance(place, tuple) for place in places) or len(places) > len(shape):
        return tuple(places)
    whole = [
        ((place[0] or 0), n if place[1] is None else place[1], place[2])
        for place, n in zip(places, shape, strict=False)
    ]
    return tuple((end - begin, begin + end - n, step) for (begin, end, step), n in zip(whole, shape, strict=False))


def _as_parts(places: Sequence[Any], shape: Shape) -> tuple[Any, ...]:
    """Slices as parts of what they are taken from, such as the gates of a cell, whatever axes of size 1 there are."""
    if any(not isinstance(place, tuple) for place in places) or len(places) > len(shape):
        return tuple(places)
    return tuple(
        (place[0] and place[0] / n, place[1] and place[1] / n, place[2])
        for place, n in zip(places, shape, strict=False)
        if (place, n) != (_WHOLE, 1)
    )


def _in_pixels(factors: Sequence[float], shape: Shape) -> tuple[int, ...]:
    """The size that an image of a shape is brought to by factors for height and width."""
    return tuple(round(factor * n) for factor, n in zip(factors, shape[1:], strict=False))


def _axes_from_the_end(axes: Any, shape: Shape) -> Any:
    """Axes as they are counted from the last."""
    if isinstance(axes, (list, tuple)):
        return tuple(_axes_from_the_end(axis, shape) for axis in axes)
    return axes - len(shape) if isinstance(axes, int) and axes >= 0 else axes


def _of_one_example(equation: Any, shape: Shape) -> Any:
    """An equation without the axes that all operands and the result have: it is the same for each of their places."""
    operands, arrow, made = str(equation).partition("->")
    common = set(made).intersection(*operands.split(",")) if arrow else set()
    kept = [axis for axis in str(equation) if axis not in common]
    names = {axis: i for i, axis in enumerate(dict.fromkeys(axis for axis in kept if axis.isalpha()))}
    return tuple(names.get(axis, axis) for axis in kept)


# Attributes whose value may follow from the shapes before them: what they are apart from those. A target shape tells
# where a tensor goes, not what is computed.
_APART_FROM_SHAPES: Mapping[str, tuple[Callable[[Any, Shape], Any], ...]] = {
    "target_shape": (lambda value, shape: None,),
    "slices": (_from_the_end, _as_parts, _besides_ones, _around_the_middle),
    "size": (_in_pixels,),
    "axis": (_axes_from_the_end,),
    "equation": (_of_one_example,),
}

_DATA_FORMATS = ("channels_last", "channels_first")
# Arguments of Keras that name an attribute otherwise, and how many axes they leave out.
_ARGUMENTS: Mapping[str, tuple[tuple[str, int], ...]] = {"perm": (("dims", 1), ("axes", 0))}


def same_numbers(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two sets of lowered attributes are equal."""
    return freeze(dict(a)) == freeze(dict(b))


def compare(file: View, keras: View, f: Op, k: Op, layers: Layers) -> Iterator[Difference]:
    """Root differences of one pair."""
    if f.type != k.type:
        yield describe.other_type(file, f, keras, k, activation_of(layers, describe.layer_of(k)))
        return
    shapes = [shape_of(file.graph, value) for value in f.inputs]
    for name in differing(file, keras, f, k):
        origin = k.attribute_origins.get(name)
        mine, theirs = f.attributes.get(name), k.attributes.get(name)
        layer = origin.layer if origin else None
        path = layer or describe.layer_of(k)
        if name == "size" and (told := _resizing(file, f, keras, k, layers.get(path or ""))) is not None:
            yield told
            continue
        for maker in (path, *(origin.layer for origin in k.origins)):
            if (argument := _as_argument(layers.get(maker or ""), name, mine, theirs)) is not None:
                name, mine, theirs = argument
                layer = path = maker
                break
        mine, theirs = _as_declared(getattr(layers.get(path or ""), name, None), mine, theirs)
        advice = _padding(f, k, shapes, layer, layers) if name == "padding" and "strides" in f.attributes else ""
        if name == "value" and class_of(layers, path or "").startswith("ZeroPadding"):
            advice = _pads_with(f, path or "")
        if name == "slices" and isinstance(mine, tuple):
            taken = describe.sliced(mine, shapes[0] if shapes and shapes[0] else ())
            advice = f"take `{taken}` at {describe.in_keras(k)}"
        if name == "equation" and not hasattr(layers.get(path or ""), name):
            advice = _transposed(str(mine), str(theirs), path)
        yield describe.attribute(file, f, k, name, mine, theirs, layer, advice)


def _transposed(mine: str, theirs: str, layer: str | None) -> str:
    """What to do for the axes of a product in another order, which is no argument of a function."""
    (taken, _, made), (same, _, got) = (equation.partition("->") for equation in (mine, theirs))
    if taken != same or sorted(made) != sorted(got) or layer is None:
        return ""
    # From the last, for a form of one example lacks the first.
    moved = [(got.index(axis) - len(got), i - len(got)) for i, axis in enumerate(made) if got[i] != axis]
    sources, places = zip(*moved, strict=True)
    return f"put `keras.ops.moveaxis(x, {sources}, {places})` behind layer {layer!r}"


def _pads_with(f: Op, layer: str) -> str:
    """What to do for padding that is not zeros: no layer of Keras has another."""
    amounts, value = f.attributes["padding"], lowered(f, [])["value"]
    return f"put `keras.ops.pad(x, {amounts}, constant_values=float('{value}'))` in the place of layer {layer!r}"


def _as_argument(layer: Any, name: str, mine: Any, theirs: Any) -> tuple[str, Any, Any] | None:
    """An attribute and its values as the argument of a layer, where that is the attribute by another name."""
    have = getattr(layer, "data_format", None)
    if name == "axis" and have in _DATA_FORMATS and not hasattr(layer, "axis"):
        # A pool over all of an image or all steps.
        axes = (tuple(range(1, len(mine) + 1)), tuple(range(2, len(mine) + 2)))
        formats = dict(zip(axes, _DATA_FORMATS, strict=True))
        return ("data_format", formats[mine], have) if mine in formats and formats.get(theirs) == have else None
    for argument, left_out in _ARGUMENTS.get(name, ()):
        given = getattr(layer, argument, None)
        if given is not None and tuple(given) == theirs[left_out:] and mine[:left_out] == theirs[:left_out]:
            return argument, mine[left_out:], theirs[left_out:]
    return None


def _as_declared(declared: Any, mine: Any, theirs: Any) -> tuple[Any, Any]:
    """Both values without axes that the layer's own argument does not have: the batch, the height of steps.

    Of a number, what one part is: the gates of a cell are side by side.
    """
    if all(type(value) is int for value in (declared, mine, theirs)) and declared and theirs % declared == 0:
        parts = theirs // declared
        return (mine // parts, declared) if parts and mine % parts == 0 else (mine, theirs)
    if not (isinstance(declared, (list, tuple)) and isinstance(mine, tuple) and isinstance(theirs, tuple)):
        return mine, theirs
    if declared and not isinstance(declared[0], (list, tuple)) and theirs and isinstance(theirs[0], tuple):
        # Of steps one writes the one pair of amounts as it is.
        one, other = _as_declared([declared], mine, theirs)
        return (one[0], other[0]) if len(one) == len(other) == 1 else (mine, theirs)
    found: list[tuple[Any, Any]] = []
    for first in range(len(theirs) - len(declared), -1, -1):
        behind = len(theirs) - len(declared) - first
        ends = [(value[:first], value[len(value) - behind :]) for value in (mine, theirs)]
        if ends[0] == ends[1]:
            found.append((mine[first : len(mine) - behind], theirs[first : len(theirs) - behind]))
    own = (pair for pair in found if freeze(pair[1]) == freeze(declared))
    return next(own, found[0] if found else (mine, theirs))


def _resizing(file: View, f: Op, keras: View, k: Op, layer: Any) -> Difference | None:
    """A layer that is told the size itself, and not a factor, has an argument per axis; None for any other."""
    axes = ("height", "width")
    if not all(hasattr(layer, axis) for axis in axes):
        return None
    wanted, got = (
        _in_pixels(op.attributes["size"], shape_of(side.graph, op.inputs[0])) for side, op in ((file, f), (keras, k))
    )
    changed = [(axis, a, b) for axis, a, b in zip(axes, wanted, got, strict=True) if a != b]
    if not changed:
        return None
    listed = ", ".join(f"{axis}={mine}" for axis, mine, _ in changed)
    axis, mine, theirs = changed[0]
    return describe.attribute(file, f, k, axis, mine, theirs, advice=f"set `{listed}` on {describe.in_keras(k)}")


def differing(file: View, keras: View, f: Op, k: Op) -> tuple[str, ...]:
    """Attributes that two operators of one type must agree on to compute the same on the file's shapes."""
    shapes = [shape_of(file.graph, value) for value in f.inputs]
    own = shape_of(keras.graph, k.inputs[0]) if k.inputs else ()
    return tuple(name for name in _smallest_cause(f, k, shapes) if not _follows(f, k, name, shapes[0], own))


def _follows(f: Op, k: Op, name: str, mine: Shape, theirs: Shape) -> bool:
    """Whether another value of an attribute is due to another shape of what the operator takes, and to nothing else."""
    if mine == theirs:
        return False
    wanted, got = f.attributes.get(name), k.attributes.get(name)
    if name == "axis" and isinstance(wanted, tuple) and isinstance(got, tuple) and len(mine) == len(theirs):
        # Along an axis of size 1 a reduction does nothing, and is not said to go.
        return set(got) == {axis for axis in wanted if theirs[axis] != 1}
    return any(freeze(apart(wanted, mine)) == freeze(apart(got, theirs)) for apart in _APART_FROM_SHAPES.get(name, ()))


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
    if same_numbers(f.attributes, k.attributes):
        # What is written alike is lowered alike.
        return ()
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
