"""The models: those that the tests port, under one way to build, fill, call and convert them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.core.lite import INTEGER, quantize

FORMS = ("fp32", "fp16", "dynamic", "int8", "int16x8")
_TESTS = Path(__file__).parents[2] / "tests" / "core"
_CALIBRATIONS = 8


def _module(name: str) -> Any:
    """A module of the tests, which import one another without a package."""
    if str(_TESTS) not in sys.path:
        sys.path.insert(0, str(_TESTS))
    return importlib.import_module(name)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of layer or model.

    Attributes:
        name: Unique.
        group: Which table of the tests it stands in.
        build: Makes it; ``(model, arguments, keyword arguments)``.
        is_recurrent: Whether its file may need TensorFlow's lists.
    """

    name: str
    group: str
    build: Callable[[], tuple[Any, tuple[Any, ...], dict[str, Any]]]
    is_recurrent: bool = False

    @property
    def key(self) -> str:
        """What it is called in results."""
        return f"{self.group} {self.name}"


@functools.cache
def by_key() -> dict[str, Kind]:
    """All, in the order of the tests' tables."""
    return {kind.key: kind for kind in kinds()}


def kinds() -> list[Kind]:
    """All, in the order of the tests' tables."""
    return [*_functional("layer", "layer_models"), *_functional("layer", "layer_models_more"), *_others()]


def _functional(group: str, module: str, table: str = "MODELS") -> Iterator[Kind]:
    for name, make in getattr(_module(module), table).items():
        yield Kind(name, group, functools.partial(_called, make))


def _others() -> Iterator[Kind]:
    yield from _functional("weight", "weight_models", "WEIGHTS")
    recurrent = _module("recurrent_models")
    for name, make in recurrent.MODELS.items():
        yield Kind(name, "recurrent", functools.partial(_called, make, 1), is_recurrent=True)
    for name, make in recurrent.EITHER.items():
        build = functools.partial(_called, make(True), 1)
        yield Kind(f"{name} unrolled", "recurrent", build, is_recurrent=True)
    for name, make in _module("model_kinds").KINDS.items():
        yield Kind(name, "model", make)


def _called(make: Callable[..., Any], *args: Any) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    model = make(*args)
    is_free = any(None in tensor.shape[1:] for tensor in model.inputs)
    made = _module("recurrent_models" if is_free else "layer_models").example_inputs(model)
    inputs = [array.astype(tensor.dtype) for array, tensor in zip(made, model.inputs, strict=True)]
    return model, (inputs if len(inputs) > 1 else inputs[0],), {}


def randomize(model: Any, seed: int) -> Any:
    """Random weights, never zeros or ones."""
    return _module("keras_models").randomize(model, seed)


def feeds(args: tuple[Any, ...], kwargs: dict[str, Any], seed: int) -> tuple[Any, Any]:
    """Other numbers in the same structure; integers and booleans stay, for they are places and masks."""
    import numpy as np
    import tensorflow as tf

    rng = np.random.default_rng(seed)

    def other(value: Any) -> Any:
        is_real = isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating)
        return rng.uniform(-1, 1, value.shape).astype(value.dtype) if is_real else value

    new: tuple[Any, Any] = tf.nest.map_structure(other, (args, kwargs))
    return new


def convert(kind: Kind, model: Any, args: tuple[Any, ...], kwargs: dict[str, Any], form: str) -> bytes:
    """The model's file: static sizes, the inputs in the order of the arguments."""
    import tensorflow as tf

    def samples() -> Iterator[dict[str, Any]]:
        # By name: a file has its inputs in an order of its own.
        for seed in range(_CALIBRATIONS):
            given = [x for x in tf.nest.flatten(feeds(args, kwargs, seed)) if x is not None]
            yield {f"args_{i}": x for i, x in enumerate(given)}

    def options(converter: Any) -> None:
        quantize(converter, form, samples, falls_back=True)
        if kind.is_recurrent and form in INTEGER:
            # The calibration cannot run TensorFlow's lists.
            converter._experimental_lower_tensor_list_ops = True

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return bytes(_module("model_kinds").convert_call(_inferring(model), args, kwargs, "static", options))


def _inferring(model: Any) -> Any:
    """A Functional model with its training argument given; layers that augment images are active otherwise."""
    if not getattr(model, "inputs", None):
        return model
    call = functools.partial(model, training=False)
    call.variables = model.variables  # type: ignore[attr-defined]
    return call


def outputs(model: Any, args: Any, kwargs: Any) -> list[Any]:
    """Its results, flat."""
    import numpy as np
    import tensorflow as tf

    result = _inferring(model)(*args, **kwargs)
    result = vars(result) if dataclasses.is_dataclass(result) else result
    return [np.asarray(y).astype("float32") for y in tf.nest.flatten(result) if y is not None]
