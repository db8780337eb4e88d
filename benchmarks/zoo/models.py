"""Which models and modes there are, and how one is built, filled and converted."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from tests.core.lite import converted, quantize

MODES = ("fp32", "int8", "fp16", "dynamic", "int16x8")
EVERY_MODEL = ("fp32", "int8")

# Of each family, the first is also ported in the modes that are not for every model.
FAMILIES: dict[str, tuple[str, ...]] = {
    "MobileNet": ("MobileNet",),
    "MobileNetV2": ("MobileNetV2",),
    "MobileNetV3": ("MobileNetV3Small", "MobileNetV3Large"),
    "VGG": ("VGG16", "VGG19"),
    "ResNet": ("ResNet50", "ResNet101", "ResNet152"),
    "ResNetV2": ("ResNet50V2", "ResNet101V2", "ResNet152V2"),
    "DenseNet": ("DenseNet121", "DenseNet169", "DenseNet201"),
    "Inception": ("InceptionV3",),
    "InceptionResNet": ("InceptionResNetV2",),
    "Xception": ("Xception",),
    "NASNet": ("NASNetMobile", "NASNetLarge"),
    "EfficientNet": tuple(f"EfficientNetB{i}" for i in range(8)),
    "EfficientNetV2": tuple(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")),
    "ConvNeXt": tuple(f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")),
}
MODELS = tuple(name for family in FAMILIES.values() for name in family)
FIRST = tuple(family[0] for family in FAMILIES.values())
QUICK = ("MobileNetV2", "ResNet50")

# Random weights say as much on small images; these models take no smaller ones, or lose their last layers on them.
_SIZE = {"InceptionV3": 96, "InceptionResNetV2": 96, "Xception": 96, "NASNetLarge": 96}
_PREPROCESSING = ("ConvNeXt", "EfficientNetV2", "MobileNetV3")
_JUDGE = Path(__file__).parents[2].parent / "shared" / "bench" / "zoo.py"


def cases(models: tuple[str, ...] = MODELS, modes: tuple[str, ...] = MODES) -> list[tuple[str, str]]:
    """``(model, mode)`` in order: first one of each family, mode by mode, so that what fails is seen early."""
    first = [(name, mode) for mode in modes for name in models if name in FIRST]
    rest = [(name, mode) for name in models if name not in FIRST for mode in modes if mode in EVERY_MODEL]
    return first + rest


def builders(judge: Path | None = None) -> Any:
    """What has ``build(name)``, ``randomize(model, seed)`` and ``convert(model, mode)``.

    The judge's own, where ``../shared`` is beside the repository; otherwise those of this file, by the same rules.
    """
    path = judge or Path(os.environ.get("ZOO_JUDGE", _JUDGE))
    return _loaded(path) if path.is_file() else SimpleNamespace(build=build, randomize=randomize, convert=convert)


def _loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("judge_zoo", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build(name: str) -> Any:
    """A model of Keras Applications on small images, with ten classes and without downloaded weights."""
    import keras

    size = _SIZE.get(name, 64)
    options: dict[str, Any] = {"weights": None, "input_shape": (size, size, 3), "classes": 10}
    if name.startswith(_PREPROCESSING):
        options["include_preprocessing"] = True
    return getattr(keras.applications, name)(**options)


def randomize(model: Any, seed: int) -> Any:
    """Gives every variable a random value that keeps activations in range, so that nothing folds away."""
    import numpy as np

    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if not str(variable.dtype).startswith("float"):
            continue
        name, shape = variable.path.rsplit("/", 1)[-1], tuple(variable.shape)
        if "variance" in name or name in ("gamma", "scale"):
            value = rng.uniform(0.5, 1.5, shape)
        elif "kernel" in name and len(shape) > 1:
            fan_in = np.prod(shape[:-2] if "depthwise" in name else shape[:-1])
            value = rng.normal(0, (1.5 / fan_in) ** 0.5, shape)
        else:
            value = rng.normal(0, 0.2, shape)
        variable.assign(value.astype("float32"))
    return model


def convert(model: Any, mode: str) -> bytes:
    """The model's file in one of :data:`MODES`."""
    import numpy as np
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    shapes = [(1, *tensor.shape[1:]) for tensor in model.inputs]
    rng = np.random.default_rng(0)
    quantize(
        converter,
        mode,
        lambda: ([rng.uniform(0, 1, shape).astype("float32") for shape in shapes] for _ in range(4)),
        falls_back=True,
    )
    return bytes(converted(converter))
