"""How a model wants to be called: every way to give it a number of tensors, the likeliest first.

A Functional model says it; a subclassed one was called once, and Keras 3 keeps the shapes of that call (of its first
argument only, unless ``build`` takes more), tf_keras all of it. What is left open is tried.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from typing import Any

import tensorflow as tf

from tflrecover.errors import InputMismatch

FreeShape = tuple[int | None, ...]

# Arguments of a call that Keras fills in itself unless they are given.
_CONTEXT = ("training", "mask")
_MOST_SUBSETS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """One way to call a model.

    Attributes:
        names: One per tensor; ``""`` where there is none.
        shapes: What the model declares, None for free sizes; None where it declares nothing.
        built: Shapes that the model was built with; None where that is not known.
        dtypes: What the model declares; None where it takes what it gets.
        pack: From the tensors to the call's ``(args, kwargs)``.
    """

    names: tuple[str, ...]
    shapes: tuple[FreeShape | None, ...]
    built: tuple[FreeShape | None, ...]
    dtypes: tuple[str | None, ...]
    pack: Callable[[Sequence[Any]], tuple[tuple[Any, ...], dict[str, Any]]]

    def call(self, model: Any, tensors: Sequence[Any]) -> Any:
        """Calls the model for inference."""
        args, kwargs = self.pack(tensors)
        parameters = inspect.signature(model.call).parameters
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        if "training" in parameters or takes_any or hasattr(model, "inputs") or _knows_training(model):
            kwargs = {**kwargs, "training": False}
        return model(*args, **kwargs)


def _knows_training(model: Any) -> bool:
    return hasattr(model, "_call_has_training_arg") or hasattr(model, "_expects_training_arg")


def forms(model: Any, count: int, names: Collection[str] = ()) -> list[Form]:
    """Every way to call a model with ``count`` tensors, the likeliest first.

    Args:
        model: A built model.
        count: Number of tensors.
        names: What a file calls its inputs; a form with more of these names comes first.

    Raises:
        InputMismatch: the model takes another number of tensors.
    """
    found = list(islice(_forms(model, count), _MOST_SUBSETS))
    if not found:
        raise InputMismatch(
            f"model {model.name!r} cannot be called with {count} input{'s' * (count != 1)}: it takes {_wanted(model)}"
        )
    return sorted(found, key=lambda form: -len(set(form.names) & set(names)))


def declared_inputs(model: Any) -> list[Any] | None:
    """Keras's symbolic inputs, in Keras's order, or None for subclassed models."""
    try:
        inputs = model.inputs
    except (AttributeError, ValueError):
        return None
    return list(inputs) if inputs else None


def _forms(model: Any, count: int) -> Iterator[Form]:
    if declared_inputs(model) is not None:
        yield from _functional(model, count)
    elif getattr(model, "_saved_model_arg_spec", None) is not None:
        yield from _recorded(model.save_spec(), count)
    else:
        yield from _subclassed(model, count)


def _wanted(model: Any) -> str:
    declared = declared_inputs(model)
    if declared is not None:
        return f"{len(declared)}: {[_plain_name(tensor) for tensor in declared]}"
    return f"the arguments {list(_parameters(model))}"


def _plain_name(tensor: Any) -> str:
    return str(tensor.name).split(":")[0]


def _functional(model: Any, count: int) -> Iterator[Form]:
    """The inputs that a Functional model declares, without some of the optional ones where they are too many."""
    struct = getattr(model, "_inputs_struct", None)
    struct = getattr(model, "_nested_inputs", None) if struct is None else struct
    struct = struct if struct is not None else model.inputs if len(model.inputs) > 1 else model.inputs[0]
    tensors = tf.nest.flatten(struct)
    optional = [i for i, tensor in enumerate(tensors) if _is_optional(tensor)]
    for left_out in combinations(reversed(optional), max(len(tensors) - count, 0)):
        kept = [i for i in range(len(tensors)) if i not in left_out]
        if len(kept) != count:
            return
        yield _structured(
            [struct],
            [tensors[i] for i in kept],
            [_plain_name(tensors[i]) for i in kept],
            kept,
        )


def _is_optional(tensor: Any) -> bool:
    history = getattr(tensor, "_keras_history", None)
    return bool(getattr(getattr(history, "operation", None), "optional", False))


def _structured(args: Sequence[Any], specs: Sequence[Any], names: Sequence[str], kept: Sequence[int]) -> Form:
    """Positional arguments of known structure, of whose leaves those numbered ``kept`` are given."""
    leaves = len(tf.nest.flatten(list(args)))
    shapes = tuple(None if spec.shape is None else tuple(spec.shape) for spec in specs)
    dtypes = tuple(tf.as_dtype(spec.dtype).name for spec in specs)

    def pack(tensors: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        given = dict(zip(kept, tensors, strict=True))
        packed = tf.nest.pack_sequence_as(list(args), [given.get(i) for i in range(leaves)])
        return tuple(packed), {}

    return Form(tuple(names), shapes, (None,) * len(shapes), dtypes, pack)


def _recorded(structure: tuple[Any, Any], count: int) -> Iterator[Form]:
    """What tf_keras has kept of the first call: ``(args, kwargs)``."""
    specs = tf.nest.flatten(structure)
    kept = [i for i, spec in enumerate(specs) if hasattr(spec, "shape")]
    if len(kept) != count:
        return

    def pack(tensors: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        given = dict(zip(kept, tensors, strict=True))
        flat = [given.get(i, spec) for i, spec in enumerate(specs)]
        packed, named = tf.nest.pack_sequence_as(structure, flat)
        return tuple(packed), {name: value for name, value in named.items() if name != "training"}

    chosen = [specs[i] for i in kept]
    shapes = tuple(None if s.shape.rank is None else tuple(s.shape.as_list()) for s in chosen)
    free = tuple(None if shape is None else (None,) * len(shape) for shape in shapes)
    names = [_leaf_name(path) for path in _paths(structure)]
    dtypes = tuple(s.dtype.name for s in chosen)
    yield Form(tuple(names[i] for i in kept), free, shapes, dtypes, pack)


def _paths(structure: Any) -> list[tuple[Any, ...]]:
    from tensorflow.python.util import nest

    return [path for path, _ in nest.flatten_with_tuple_paths(structure)]


def _leaf_name(path: Sequence[Any]) -> str:
    """The key under which a tensor is given, if it has one of its own."""
    return path[-1] if path and isinstance(path[-1], str) else ""


def _parameters(model: Any) -> dict[str, inspect.Parameter]:
    """Arguments of the call that carry tensors, in order; the context arguments last."""
    takes = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    listed = {p.name: p for p in inspect.signature(model.call).parameters.values() if p.kind in takes}
    context = {"mask": listed["mask"]} if "mask" in listed else {}
    return {name: p for name, p in listed.items() if name not in _CONTEXT} | context


def _subclassed(model: Any, count: int) -> Iterator[Form]:
    """Combinations of arguments: those without a default always, each with what is known or with one tensor."""
    parameters = _parameters(model)
    if not parameters:
        # ``call(self, *inputs)``.
        kinds = [inspect.Parameter.POSITIONAL_ONLY] * count
        yield _form([""] * count, [_Leaf() for _ in kinds], kinds, count)
        return
    known = _built_structures(model, parameters)
    first = next(iter(parameters))
    required = [name for name, p in parameters.items() if p.default is p.empty or name in known]
    optional = [name for name in parameters if name not in required]
    for extra in range(len(optional) + 1):
        for chosen in combinations(optional, extra):
            names = [name for name in parameters if name in (*required, *chosen)]
            yield from _arguments(names, [known.get(name, _Leaf()) for name in names], parameters, count)
    if count > 1 and (first not in known or len(tf.nest.flatten(known[first])) != count):
        for container in (list, tuple):
            yield from _arguments([first], [container(_Leaf() for _ in range(count))], parameters, count)


class _Leaf:
    """One tensor of an argument, and the shape that the model was built with for it."""

    def __init__(self, shape: FreeShape | None = None) -> None:
        self.shape = shape


def _arguments(
    names: Sequence[str], structures: list[Any], parameters: Mapping[str, inspect.Parameter], count: int
) -> Iterator[Form]:
    """The form of those arguments; one of which nothing is known takes what is left over as a list."""
    surplus = count - len(tf.nest.flatten(structures))
    open_ = [i for i, structure in enumerate(structures) if isinstance(structure, _Leaf) and structure.shape is None]
    if surplus > 0 and len(open_) == 1 and len(structures) > 1:
        structures = list(structures)
        structures[open_[0]] = [_Leaf() for _ in range(surplus + 1)]
    if len(tf.nest.flatten(structures)) == count:
        yield _form(names, structures, [parameters[name].kind for name in names], count)


def _form(names: Sequence[str], structures: list[Any], kinds: Sequence[Any], count: int) -> Form:
    leaves = tf.nest.flatten(structures)
    paths = _paths(structures)
    built = tuple(leaf.shape if isinstance(leaf, _Leaf) else None for leaf in leaves)

    def pack(tensors: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        packed = tf.nest.pack_sequence_as(structures, list(tensors))
        args, kwargs = [], {}
        for i, (name, kind, value) in enumerate(zip(names, kinds, packed, strict=True)):
            # Keras takes the first argument by position only.
            if i == 0 or kind is inspect.Parameter.POSITIONAL_ONLY:
                args.append(value)
            else:
                kwargs[name] = value
        return tuple(args), kwargs

    labels = tuple((names[path[0]] if len(path) == 1 else _leaf_name(path)) for path in paths)
    free = tuple(None if shape is None else (None,) * len(shape) for shape in built)
    return Form(labels, free, built, (None,) * count, pack)


def _built_structures(model: Any, parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """Argument to structure of leaves, from the shapes that Keras 3 has kept."""
    recorded = getattr(model, "_build_shapes_dict", None) or {}
    first = next(iter(parameters))
    found: dict[str, Any] = {}
    for key, shapes in recorded.items():
        name = key.removesuffix("_shape") if key.removesuffix("_shape") in parameters else key
        if name in parameters:
            found[name] = _leaves(shapes)
        elif len(recorded) == 1:
            found[first] = _leaves(shapes)
    return {name: structure for name, structure in found.items() if structure is not None}


def _leaves(shapes: Any) -> Any:
    """A structure of shapes as one of leaves; None when it is none."""
    if isinstance(shapes, Mapping):
        return {key: _leaves(value) for key, value in shapes.items()}
    if not isinstance(shapes, (list, tuple)):
        return None
    if all(size is None or isinstance(size, int) for size in shapes):
        return _Leaf(tuple(shapes))
    return type(shapes)(_leaves(value) for value in shapes)
