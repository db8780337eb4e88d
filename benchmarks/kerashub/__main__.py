"""Ports KerasHub backbones of small random configurations; needs ``pip install keras-hub``, which is no dependency.

Usage: ``PYTHONPATH=.:src:tests/core python -m benchmarks.kerashub [--mode int8] [name ...]``. Prints a Markdown table:
backbone, sizes of the file, outcome: how far the outputs of the original and of the model with the file's weights are
apart, which in another mode than fp32 is what the file has rounded.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import keras
import keras_models as zoo
import numpy as np
import tensorflow as tf
from model_kinds import convert_call

import tflrecover
from benchmarks.kerashub.composed import COMPOSED, built
from benchmarks.kerashub.single import CONFIGURATIONS
from tests.core.lite import quantize, stripped
from tflrecover import tolerances

MODES = ("fp32", "fp16", "dynamic", "int8", "int16x8")
FORMS = ("static", "batch")
# Position embeddings are as long: of a shorter sequence the file would hold a part only.
STEPS = 12
# How many there are of what else may be any number, by input: three images in a prompt are as many tokens as there are.
SIZES = {"encoder_input_values": (2000,), "images": (3,), "pixel_values": (3, 16, 48), "pixel_position_ids": (3, 16)}
# The numbers of integers that are no tokens, by a part of the input's name.
MOST = {"segment": 2, "indices": STEPS, "position": 4}
# Variables that the code computes, and nobody trains.
COMPUTED = ("inv_freq", "up", "reg_scale")


def example(model: Any, seed: int = 4) -> Any:
    """Inputs in the structure that the model declares."""
    rng = np.random.default_rng(seed)

    def numbers(tensor: Any) -> Any:
        free = iter(SIZES.get(tensor.name, ()))
        shape = [1, *(size or next(free, STEPS) for size in tensor.shape[1:])]
        if tensor.name.endswith("mask"):
            return np.broadcast_to(np.arange(shape[-1]) < shape[-1] - 1, shape).astype(tensor.dtype)
        high = next((most for part, most in MOST.items() if part in tensor.name), 50)
        made = rng.integers(0, high, shape) if "int" in tensor.dtype else rng.uniform(-1, 1, shape)
        return made.astype(tensor.dtype)

    return keras.tree.map_structure(numbers, model._inputs_struct)


def randomized(build: Callable[[], Any], seed: int) -> Any:
    """A model with random weights, but for what its code computes."""
    model = build()
    kept = [(v, np.asarray(v)) for v in model.variables if v.name in COMPUTED]
    zoo.randomize(model, seed)
    for variable, value in kept:
        variable.assign(value)
    return model


class Inference:
    """A model that is not trained: some backbones fix the mode of a part unless they are told."""

    def __init__(self, model: Any) -> None:
        self._model, self.variables = model, model.variables

    def __call__(self, inputs: Any) -> Any:
        """What the model gives."""
        return self._model(inputs, training=False)


def converted(model: Any, form: str, mode: str) -> bytes:
    """A file of the model, without names."""

    def samples() -> Iterator[dict[str, Any]]:
        # By name: a file has its inputs in an order of its own.
        for seed in range(4):
            yield {f"args_{i}": x for i, x in enumerate(tf.nest.flatten(example(model, seed)))}

    def options(converter: Any) -> None:
        quantize(converter, mode, samples, falls_back=True)

    return stripped(convert_call(Inference(model), (example(model),), {}, form, options))


def outcome(build: Callable[[], Any], form: str, mode: str) -> str:
    """``exact 1e-07``, ``WRONG``, or why it was refused."""
    keras.utils.clear_session()
    try:
        original, twin = randomized(build, 1), randomized(build, 2)
        content = converted(original, form, mode)
    except Exception as error:  # a backbone that its own library cannot build, or TensorFlow not convert
        return f"not made: {type(error).__name__}: {' '.join(str(error).split())[:160]}"
    try:
        tflrecover.port(content, twin)
    except tflrecover.TFLRecoverError as error:
        return f"refused: {' '.join(str(error).splitlines()[1:2])[:160]}"
    inputs = example(original)
    results = [keras.tree.flatten(model(inputs, training=False)) for model in (original, twin)]
    pairs = [tuple(map(np.asarray, pair)) for pair in zip(*results, strict=True)]
    worst = max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in pairs)
    # Rounded weights are off by what the file rounded: the tolerance is only good for telling a fault.
    limit = tolerances.OUTPUT if mode == "fp32" else tolerances.MOST_ON_THE_WAY
    return f"exact to {worst:.0e}" if worst <= limit else f"WRONG by {worst:.0e}"


def rows(names: list[str], mode: str) -> Iterator[str]:
    """Lines of the table."""
    yield "| backbone | sizes | outcome |\n|---|---|---|"
    for name in names or [*CONFIGURATIONS, *COMPOSED]:
        for form in FORMS:
            yield f"| {name} | {form} | {outcome(partial(built, name), form, mode)} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--mode", choices=MODES, default="fp32")
    given = parser.parse_args()
    for row in rows(given.names, given.mode):
        print(row, flush=True)
