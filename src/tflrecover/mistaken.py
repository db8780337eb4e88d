"""What was given in the place of a file or a model, when it is something else: told by its first bytes or its class."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

_ORDER = "the .tflite file comes first, the model second"
TFLITE, KERAS, HDF5, SAVED_MODEL = "a .tflite file", "a Keras file", "an HDF5 file", "a SavedModel"
MAPPING = "a mapping"

# Contents at an offset, and what begins so. An archive is Keras's when Keras's own entries are in it.
_MAGIC = (
    (4, b"TFL3", TFLITE),
    (0, b"\x89HDF\r\n\x1a\n", HDF5),
    (0, b"\x80\x02", "a pickled (PyTorch) file"),
    (0, b"tflrecover:", MAPPING),
)
_ZIP = b"PK\x03\x04"
_ARCHIVES = (
    ("metadata.json", KERAS),
    ("config.json", KERAS),
    ("data.pkl", "a PyTorch file"),
)
_SUFFIXES = {
    ".keras": KERAS,
    ".h5": HDF5,
    ".hdf5": HDF5,
    ".onnx": "an ONNX file",
    ".pb": "a TensorFlow graph",
    ".pt": "a PyTorch file",
    ".pth": "a PyTorch file",
    ".safetensors": "a safetensors file",
    ".py": "a Python file",
    ".yaml": MAPPING,
    ".yml": MAPPING,
}
_HEAD = 16


def kind_of(path: str | os.PathLike[str]) -> str | None:
    """What a path leads to, or None when it is not known or not there."""
    target = Path(path)
    try:
        if (target / "saved_model.pb").is_file():
            return SAVED_MODEL
        with target.open("rb") as file:
            head = file.read(_HEAD)
    except (OSError, ValueError):
        return None
    return kind_of_bytes(head, target) or _SUFFIXES.get(target.suffix.lower())


def kind_of_bytes(head: bytes, path: Path | None = None) -> str | None:
    """What begins with those bytes, or None."""
    if head.startswith(_ZIP):
        return _archive(path)
    return next((kind for offset, magic, kind in _MAGIC if head[offset:].startswith(magic)), None)


def _archive(path: Path | None) -> str | None:
    import zipfile

    try:
        names = {name.rsplit("/", 1)[-1] for name in zipfile.ZipFile(path).namelist()} if path else set()
    except (OSError, zipfile.BadZipFile):
        # One that was cut off has lost its list; its name may still tell.
        return None
    return next((kind for name, kind in _ARCHIVES if name in names), "a zip archive")


def is_layer(value: Any) -> bool:
    """Whether it is a layer or model of Keras 3 or tf_keras, not a class of them."""
    is_one = all(hasattr(value, name) for name in ("variables", "_flatten_layers", "built"))
    return is_one and not isinstance(value, type)


def is_of_keras(layer: Any) -> bool:
    """Whether a layer's class is Keras's own: what it computes inside no user has written."""
    return type(layer).__module__.partition(".")[0] in ("keras", "tf_keras")


def is_file(value: Any) -> bool:
    """Whether it is meant for a TFLite file: bytes, or the path of one or of what is called so."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return True
    return isinstance(value, (str, os.PathLike)) and (
        os.fsdecode(value).endswith(".tflite") or kind_of(os.fsdecode(value)) == TFLITE
    )


def instead_of_a_file(given: Any) -> str:
    """What to say of a thing that is no path and no bytes."""
    expected = "expected the path of a .tflite file or its bytes"
    if is_layer(given):
        return f"{expected}, got the Keras model {given.name!r}; {_ORDER}"
    return f"{expected}, got {'None' if given is None else f'a {type(given).__name__}'}"


def wrong_file(kind: str) -> str:
    """What to say of another kind of file in the file's place."""
    order = f"; where both are given, {_ORDER}" if kind in (KERAS, HDF5, SAVED_MODEL) else ""
    return f"is {kind}, not a TFLite file{order}"


def unopened(path: str, reason: str) -> str:
    """What to say of a path that cannot be opened as a file."""
    if _named(path):
        return f"is package.module:name of a model, not the path of a .tflite file; {_ORDER}"
    return f"cannot be opened: {reason}; give the path of a .tflite file"


def file_for_model(path: str) -> str:
    """What to say of a TFLite file in the model's place."""
    return f"expected a Keras model, got {TFLITE}, {path!r}; {_ORDER}"


def instead_of_a_model(given: Any) -> str:
    """What to say of a thing that is no Keras model."""
    if isinstance(given, (str, os.PathLike)):
        return _path_for_model(os.fspath(given))
    if isinstance(given, (bytes, bytearray, memoryview)):
        return f"expected a Keras model, got bytes; {_ORDER}"
    if isinstance(given, type):
        return f"expected a Keras model, got the class {given.__name__}: make one of it, {given.__name__}(…)"
    if callable(given) and hasattr(given, "__name__"):
        return f"expected a Keras model, got the function {given.__name__!r}: call it, {given.__name__}()"
    if given is None:
        return "expected a Keras model, got None; does the function that makes it end with `return model`?"
    kind = f"{type(given).__module__}.{type(given).__qualname__}".removeprefix("builtins.")
    return (
        f"expected a Keras model, got {kind}: pass a keras.Model; a network of another framework is first written in "
        "Keras, and tflrecover.recover(path) makes such a model from the file alone"
    )


def _path_for_model(path: str) -> str:
    if kind_of(path) == TFLITE or path.endswith(".tflite"):
        return file_for_model(path)
    if named := _named(path):
        module, name = named
        written = f"from {module} import {name}, and pass the model: {name}() where it is a function that makes one"
        return f"expected a Keras model, got the text {path!r}, as the command line takes it; in Python, {written}"
    return f"expected a Keras model, got the text {path!r}: load it first, keras.models.load_model({path!r})"


def _named(text: str) -> tuple[str, str] | None:
    """The module and the name of what is written as the command line names a model, or None."""
    module, _, name = text.partition(":")
    return (module, name) if all(part.isidentifier() for part in (*module.split("."), name)) else None
