"""A network of 3,000 canonical operators, in a file and as a model with one fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

STAGES = 20
BLOCKS = 30
FILE = Path("build/bench/deep.tflite")


def model(pool_size: int = 2) -> Any:
    """Residual blocks of five operators each, with a pool half way."""
    import keras

    inputs = keras.Input((16, 16, 4), batch_size=1)
    x = inputs
    for number in range(STAGES):
        if number == STAGES // 2:
            x = keras.layers.MaxPooling2D(pool_size, strides=2, padding="same", name="pool")(x)
        # Keras recurses over the layers of a model, so that a single one cannot be so deep.
        x = _stage(x.shape[1:], f"stage_{number}")(x)
    return keras.Model(inputs, x, name="deep")


def _stage(shape: tuple[int, ...], name: str) -> Any:
    import keras
    from keras import layers

    inputs = keras.Input(shape, batch_size=1)
    x = inputs
    for _ in range(BLOCKS):
        y = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", use_bias=False)(x)))
        y = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", use_bias=False)(y))
        x = layers.ReLU()(layers.Add()([x, y]))
    return keras.Model(inputs, x, name=name)


def file() -> Path:
    """The file of the network with the right pool, converted once."""
    if not FILE.exists():
        from benchmarks.speed import convert
        from tests.core.keras_models import randomize

        made = randomize(model(), seed=0)
        for variable in made.trainable_variables:
            if variable.name == "kernel":
                # Random ones make numbers larger from block to block, until they are infinite.
                variable.assign(variable * 0.05)
        FILE.parent.mkdir(parents=True, exist_ok=True)
        FILE.write_bytes(convert(made))
    return FILE
