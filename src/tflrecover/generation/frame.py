"""What stands around the functions of a source file: docstring, imports, and the function that loads weights."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tflrecover import __version__
from tflrecover.generation.calls import Written
from tflrecover.generation.classes import CLASSES
from tflrecover.generation.layout import STEP, WIDTH
from tflrecover.generation.literals import quoted

LOAD = '''

def load_model():
    """The network with the weights of the file."""
    model = build_model()
    model.load_weights(WEIGHTS)
    return model


if __name__ == "__main__":
    load_model().summary()
'''


_QUOTES = '"""'


def head(model: Any, made: Written, origin: str, code: str) -> list[str]:
    """What stands before the functions.

    Args:
        model: The model.
        made: Its steps.
        origin: The file that it is from.
        code: What stands behind.
    """
    classes = [source for name, source in CLASSES.items() if re.search(rf"(?<![\w.\"]){name}\(", code)]
    code += "".join(classes)
    standard = ["import operator"] * any("operator." in source for source in classes) + ["from pathlib import Path"]
    modules = [name for name in ("layers", "ops") if re.search(rf"(?<![\w.\"]){name}\.", code)]
    others = ["import keras"]
    others += ["import numpy as np"] * bool("np." in code or made.constants)
    others += ["import tensorflow as tf"] * any(re.search(r"\btf[.)]", source) for source in classes)
    others += _imports({"keras": modules})
    # The user's own come last.
    others += ["", *_imports(_by_module(made.imports))] if made.imports else []
    lines = [*_docstring(model, made, origin), "", *standard, "", *others, ""]
    lines += [f"WEIGHTS = Path(__file__).with_suffix({quoted('.weights.h5')})"]
    lines += [f"CONSTANTS = np.load(Path(__file__).with_suffix({quoted('.constants.npz')}))"] * bool(made.constants)
    for source in classes:
        lines += ["", "", *source.splitlines()]
    return lines


def _by_module(imports: Mapping[str, str]) -> dict[str, list[str]]:
    return {module: sorted(name for name in imports if imports[name] == module) for module in imports.values()}


def _imports(names: Mapping[str, Sequence[str]]) -> list[str]:
    return [f"from {module} import {', '.join(names[module])}" for module in sorted(names) if names[module]]


def _docstring(model: Any, made: Written, origin: str) -> list[str]:
    """What it is, where it comes from, what it takes and what it gives."""
    name = origin.replace("\\", "/").rpartition("/")[2]
    title = f"{_plain(model.name)}, recovered from {_plain(name)}."
    short = title if len(title) <= WIDTH - len(_QUOTES) else "A network, recovered from a file."
    lines = [f"{_QUOTES}{short}", "", f"Written by tflrecover {__version__}."]
    ends = (
        ("Inputs", [tensor._keras_history[0].name for tensor in model.inputs], model.inputs),
        ("Outputs", [name or f"output {i}" for i, name in enumerate(made.output_names, 1)], model.outputs),
    )
    for title, names, tensors in ends:
        lines += ["", f"{title}:"]
        for end, tensor in zip(names, tensors, strict=True):
            shape = ", ".join("batch" if n is None and not i else str(n) for i, n in enumerate(tensor.shape))
            lines.append(f"{STEP}{_plain(end)}: {tensor.dtype} ({shape})")
    return [*lines, _QUOTES]


def _plain(name: str) -> str:
    """A name as it can stand in a docstring."""
    return re.sub(r"[^A-Za-z0-9_.\- ]", "_", name)
