"""Which classes a model file needs that Keras does not know."""

from __future__ import annotations

import importlib
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any

# Keras's own, by the beginning of their module.
_BUILTIN = ("keras", "builtins")
# What an HDF5 file says of its layers.
_CONFIGURATION = "model_config"


def unknown_classes(path: str, keras: Any) -> list[str]:
    """Names of the classes and functions in a model file that are registered nowhere, each with its module.

    Args:
        path: A ``.keras`` or ``.h5`` file.
        keras: The module.

    Returns:
        In the order of the file; empty where the file does not say what it consists of.
    """
    found: dict[str, None] = {}
    for config in _objects(_configuration(path)):
        name, module = config["class_name"], config.get("module")
        registered = config.get("registered_name") or name
        is_builtin = isinstance(module, str) and module.split(".")[0] in _BUILTIN
        if not is_builtin and not _is_known(keras, name, registered, config):
            found[f"{name} (of {module})" if module else name] = None
    return list(found)


def _is_known(keras: Any, name: str, registered: str, config: dict[str, Any]) -> bool:
    if keras.saving.get_registered_object(registered) is not None:
        return True
    # Files of Keras 2 give no module; Keras finds its own layers by their names alone.
    return "registered_name" not in config and (hasattr(keras.layers, name) or hasattr(keras, name))


def _configuration(path: str) -> Any:
    """What a file says of its layers, or None."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return json.loads(archive.read("config.json"))
        h5py = importlib.import_module("h5py")
        with h5py.File(path, "r") as file:
            return json.loads(file.attrs[_CONFIGURATION])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return None


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """All configurations of objects, the outer before the inner."""
    if isinstance(value, dict):
        # Tensors, shapes and the like are marked by names with underscores.
        if isinstance(value.get("class_name"), str) and not re.match("__", value["class_name"]):
            yield value
        for inner in value.values():
            yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)
