"""From what the command line is given to what it means: a model of a file or of a function."""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
import tempfile
import traceback
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from tflrecover import mistaken
from tflrecover.cli.unknown_classes import unknown_classes
from tflrecover.errors import InvalidModel
from tflrecover.stages import stage

_FILES = (".keras", ".h5", ".hdf5")
_WEIGHTS = (".weights.h5", ".weights.json")
_SHOWN = 5


def names_model(target: str) -> bool:
    """Whether a FILE argument is written as a MODEL argument is."""
    return target.endswith(_FILES) or (":" in target and not Path(target).exists())


def load_model(target: str) -> Any:
    """The Keras model that a MODEL argument means.

    Args:
        target: A ``.keras`` or ``.h5`` file, or ``package.module:name`` of a model or of a function that makes one.

    Raises:
        InvalidModel: there is no such file, module or function, or it gives no model.
    """
    if target.endswith(_WEIGHTS):
        raise InvalidModel(f"{target!r} holds weights only; pass package.module:function, which makes the layers too")
    if target.endswith(_FILES):
        return _load_file(target)
    module, _, name = target.partition(":")
    if not (module and name) or module.endswith(".py"):
        raise InvalidModel(_advice(target, module, name))
    return _named(module, name)


def _load_file(path: str) -> Any:
    if not Path(path).is_file():
        what = f"{path!r} is a folder" if Path(path).is_dir() else f"there is no model file {path!r}"
        raise InvalidModel(f"{what}; give a .keras or .h5 file, or package.module:function")
    kind = mistaken.kind_of(path)
    if kind == mistaken.TFLITE:
        raise InvalidModel(mistaken.file_for_model(path))
    if path.endswith(".keras") and (kind != mistaken.KERAS or not zipfile.is_zipfile(path)):
        known = f": it is {kind}" if kind not in (None, mistaken.KERAS) else ""
        told = f"{path!r} is no archive that Keras reads{known}"
        raise InvalidModel(f"{told}; it may be damaged or cut off: get it again, or save it with model.save({path!r})")
    keras = import_keras()
    # A recovered model may have layers of this library; Keras finds them by their registration.
    importlib.import_module("tflrecover.recovery.layers")
    stage(f"loading the model {path}")
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:
        unknown = unknown_classes(path, keras)
        if unknown:
            raise InvalidModel(_own_classes(path, unknown)) from error
        raise InvalidModel(f"{path!r} cannot be loaded by Keras: {_without_configurations(error)}") from error


def _own_classes(path: str, names: Sequence[str]) -> str:
    """How to load a model with classes that Keras does not know."""
    shown = [*names[:_SHOWN], *([f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else [])]
    return (
        f"{path!r} has classes of your own, which Keras does not know here: {', '.join(shown)}. Write a module that "
        f"imports them and loads the file, e.g. loaded.py with `model = keras.models.load_model({path!r})` (a class "
        "without register_keras_serializable goes into its custom_objects=), and give loaded:model; see "
        "docs/tutorial.md#layers-of-your-own"
    )


def _without_configurations(error: Exception) -> str:
    """Keras's message but for the configurations around its cause, which can be as long as the model."""
    return str(error).rpartition("Exception encountered: ")[2].partition(" Full object config:")[0]


def import_keras() -> Any:
    """Keras, without the lines that TensorFlow's native code writes to stderr while it is loaded.

    No log level stops those. If loading fails they are shown.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if "keras" in sys.modules:
        return sys.modules["keras"]
    stage("loading TensorFlow and Keras")
    with tempfile.TemporaryFile() as written:
        stderr = os.dup(2)
        os.dup2(written.fileno(), 2)
        try:
            return importlib.import_module("keras")
        except BaseException:
            written.seek(0)
            os.write(stderr, written.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _advice(target: str, module: str, name: str) -> str:
    """What to write instead of a target that is neither a file of Keras's nor ``module:name``."""
    what = f"{target!r} is neither a .keras or .h5 file nor package.module:function"
    if module.endswith(".py"):
        dotted = ".".join(Path(module).with_suffix("").parts)
        return f"{what}; write {dotted}:{name or 'function'}, without the .py"
    kind = mistaken.kind_of(target)
    if kind == mistaken.TFLITE or target.endswith(".tflite"):
        return mistaken.file_for_model(target)
    if kind is not None:
        return f"{what}: it is {kind}"
    return what + _candidates(module)


def _candidates(dotted: str) -> str:
    """The ``module:name`` that a dotted name without a colon may have meant."""
    package, _, last = dotted.rpartition(".")
    inner = _imported(package) if package else None
    if inner is not None and hasattr(inner, last):
        return f"; write {package}:{last}"
    found = _imported(dotted)
    makers = [f"{dotted}:{name}" for name in _makers(found)] if found is not None else []
    return f"; write {' or '.join(makers[:_SHOWN])}" if makers else ""


def _imported(module: str) -> ModuleType | None:
    try:
        return _import(module)
    # Only a hint is lost.
    except (Exception, SystemExit):
        return None


def _import(module: str) -> ModuleType:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    import_keras()
    return importlib.import_module(module)


def _makers(module: ModuleType) -> Iterable[str]:
    """Names of the functions and models that a module defines."""
    for name, value in vars(module).items():
        is_own = getattr(value, "__module__", None) == module.__name__ and callable(value)
        if not name.startswith("_") and (is_own or mistaken.is_layer(value)):
            yield name


def _named(module: str, name: str) -> Any:
    try:
        found = _attribute(_import(module), name)
        stage(f"making the model {module}:{name}")
        made = found if mistaken.is_layer(found) or not callable(found) else found()
    # A script that ends itself when it is imported must not decide on our exit code.
    except (Exception, SystemExit) as error:
        looked = "; it is looked for in the current folder and on PYTHONPATH" if _is_absent(error, module) else ""
        told = f"{type(error).__name__}: {error}{_place(error)}{looked}"
        raise InvalidModel(f"{module}:{name} gives no model: {told}") from error
    if made is None:
        raise InvalidModel(f"{module}:{name} gives no model: it returns None; end it with `return model`")
    if not mistaken.is_layer(made):
        what = f"returns a {type(made).__name__}" if callable(found) else f"is a {type(made).__name__}"
        raise InvalidModel(f"{module}:{name} gives no model: it {what}; name a model, or a function that returns one")
    return made


def _place(error: BaseException) -> str:
    """Where an error arose in the user's code: the innermost frame that is neither Python's nor of a package."""
    found = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_installed(frame.filename)]
    if not found:
        return ""
    inside = Path(found[-1].filename).is_relative_to(Path.cwd())
    shown = os.path.relpath(found[-1].filename) if inside else found[-1].filename
    return f" ({shown}:{found[-1].lineno}, in {found[-1].name})"


def _is_installed(filename: str) -> bool:
    """Whether a source is part of Python, of what is installed, or of this library."""
    places = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return filename.startswith("<") or any(
        Path(filename).is_relative_to(place) for place in (*places, str(Path(__file__).parents[1]))
    )


def _is_absent(error: BaseException, module: str) -> bool:
    return isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]


def _attribute(module: ModuleType, name: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError as error:
        from tflrecover.mapping.loader import nearest

        raise AttributeError(f"{error}{nearest(name, _makers(module))}") from error
