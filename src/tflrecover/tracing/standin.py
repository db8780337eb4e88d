"""Another layer in the place of one of the model's, for one trace: what would the model be if it were built so?

The model itself is not touched. Every call of a layer goes through the recorder of the trace, which lets the stand-in
take the call; layers behind it that do not fit its shapes are built anew from their configuration.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tflrecover.mistaken import is_of_keras


@dataclass(frozen=True, eq=False)
class StandIn:
    """Takes the calls of a layer.

    Attributes:
        target: The layer that does not get its calls.
        layer: Who gets them: not built, or the layer itself; None: nobody, and nothing comes of them.
        arguments: What these calls are given besides.
    """

    target: Any
    layer: Any
    arguments: Mapping[str, Any] = field(default_factory=dict)


def call(
    stand_ins: Sequence[StandIn],
    anew: dict[int, Any],
    around: Sequence[Any],
    original: Callable[..., Any],
    operation: Any,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """A call of any layer of the model, or of a ``keras.ops`` operation, during the trace.

    Args:
        stand_ins: Who takes whose calls.
        anew: By the ``id`` of a layer what was built anew in its place: one for all of its calls.
        around: The calls that this one is made in, the innermost last.
        original: The ``__call__`` of the class.
        operation: The layer that is called.
        *args: What it is called with.
        **kwargs: Likewise.
    """
    found = next((stand_in for stand_in in stand_ins if stand_in.target is operation), None)
    if found is not None and found.layer is None:
        return None
    if found is not None:
        return original(found.layer, *args, **_taken(found, {**kwargs, **found.arguments}))
    if id(operation) in anew:
        return original(anew[id(operation)], *args, **kwargs)
    try:
        return original(operation, *args, **kwargs)
    except Exception:
        if not stand_ins or not hasattr(operation, "get_config") or _is_part(operation, around):
            raise
        anew[id(operation)] = type(operation).from_config(unbuilt(operation.get_config()))
        return original(anew[id(operation)], *args, **kwargs)


def _is_part(operation: Any, around: Sequence[Any]) -> bool:
    """Whether a layer was made by one of Keras's own, which makes all of its parts for the shapes that it is called on.

    A model takes its layers as they are, whoever wrote its class.
    """
    outer = around[-1] if around else None
    return operation is not outer and is_of_keras(outer) and not hasattr(outer, "compile")


def _taken(stand_in: StandIn, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of what calls are given what a layer of another class takes: a batch norm is told that it is not trained."""
    if type(stand_in.layer) is type(stand_in.target):
        return given
    parameters = inspect.signature(stand_in.layer.call).parameters
    is_open = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return given if is_open else {name: value for name, value in given.items() if name in parameters}


def unbuilt(config: Any) -> Any:
    """A configuration without the shapes that wrapped layers were built for."""
    if isinstance(config, Mapping):
        return {key: unbuilt(value) for key, value in config.items() if key != "build_config"}
    return [unbuilt(value) for value in config] if isinstance(config, list) else config


def identity(layer: Any) -> Any:
    """A layer that gives back what it gets, of the same family as another: of Keras 3 or of tf_keras."""
    base = next(cls for cls in type(layer).__mro__ if cls.__name__ in ("Layer", "Operation"))

    class Identity(base):  # type: ignore[misc, valid-type]
        def call(self, *args: Any, **kwargs: Any) -> Any:
            return args[0] if args else next(iter(kwargs.values()))

        def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
            return self.call(*args)

    return Identity()
