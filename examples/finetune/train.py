"""Trains a new head on what a TFLite file has learned: ``python -m examples.finetune.train FILE --out DIR``.

The file's network becomes a Keras model, everything but a new head is frozen, the head learns to tell bright squares
from dark ones on images that are made here, and the result becomes a TFLite file again.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

import tflrecover

CLASSES = 3
# A new head can take large steps; what the file has learned would be lost by them, for no batch norm keeps it in range.
HEAD_RATE, FILE_RATE = 0.02, 0.002


@dataclass(frozen=True)
class Outcome:
    """What training came to: the losses of the epochs, and how far the new file is from the model, relatively."""

    losses: list[float]
    error: float
    file: Path


def images(count: int, shape: tuple[int, ...], seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Noise with a square in it that is dark, grey or bright: the class."""
    generator = np.random.default_rng(seed)
    height, width, _ = shape
    found = generator.uniform(0, 0.3, (count, *shape)).astype("float32")
    labels = generator.integers(0, CLASSES, count).astype("int32")
    for image, label in zip(found, labels, strict=True):
        side = generator.integers(height // 4, height // 2)
        top, left = generator.integers(0, height - side), generator.integers(0, width - side)
        image[top : top + side, left : left + side] += 0.35 * label
    return found, labels


def last_features(model: keras.Model) -> keras.KerasTensor:
    """The last feature maps of the network: what the first of its heads begins with."""
    maps = [layer.output for layer in model.layers if isinstance(layer.output, keras.KerasTensor)]
    return next(tensor for tensor in reversed(maps) if len(tensor.shape) == 4 and tensor.shape[1] > 1)


def with_new_head(model: keras.Model) -> keras.Model:
    """The same network up to its last feature maps, and a classifier behind them."""
    x = keras.layers.GlobalAveragePooling2D(name="new_pool")(last_features(model))
    x = keras.layers.BatchNormalization(name="new_norm")(x)
    return keras.Model(model.input, keras.layers.Dense(CLASSES, activation="softmax", name="new_head")(x))


def finetune(path: Path, out: Path, *, trained: Sequence[str] = (), epochs: int = 8, count: int = 96) -> Outcome:
    """Recovers, replaces the head, trains it and the layers that fit a pattern, converts and runs the new file."""
    keras.utils.set_random_seed(0)
    model = with_new_head(tflrecover.recover(path))
    tflrecover.freeze(model, but=["new_*", *trained])
    rate = FILE_RATE if trained else HEAD_RATE
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    x, y = images(count, model.inputs[0].shape[1:])
    history = model.fit(x, y, epochs=epochs, batch_size=16, verbose=0)

    file = out / f"{path.stem}_finetuned.tflite"
    out.mkdir(parents=True, exist_ok=True)
    # The converter tells of everything that it saves.
    with contextlib.redirect_stdout(io.StringIO()):
        file.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    wanted = np.asarray(model(x[:1], training=False))
    error = float(np.abs(run(file, x[:1]) - wanted).max() / np.abs(wanted).max())
    return Outcome([float(loss) for loss in history.history["loss"]], error, file)


def run(file: Path, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """One image through LiteRT."""
    interpreter = Interpreter(model_path=str(file))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--out", type=Path, default=Path("build/finetune"))
    parser.add_argument("--train", nargs="*", default=[], help="patterns of layers that are trained, too")
    parser.add_argument("--epochs", type=int, default=8)
    arguments = parser.parse_args()
    try:
        outcome = finetune(arguments.file, arguments.out, trained=arguments.train, epochs=arguments.epochs)
    except tflrecover.TFLRecoverError as error:
        print(f"finetune: {error}", file=sys.stderr)
        return 2
    print("loss per epoch:", " ".join(f"{loss:.3f}" for loss in outcome.losses))
    print(f"wrote {outcome.file}; LiteRT's output is within {outcome.error:.1e} of the model's")
    if outcome.losses[-1] > outcome.losses[0]:
        print("finetune: the loss did not fall", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
