"""What stands around the functions of a source file: docstring, imports, and the function that loads weights."""

from __future__ import annotations

import re
from typing import Any

from tflrecover import __version__
from tflrecover.generation import tensorflow_function
from tflrecover.generation.calls import Written
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
    uses_tensorflow = f"{tensorflow_function.NAME}(" in code
    standard = ["import operator"] * uses_tensorflow + ["from pathlib import Path"]
    code += f"{tensorflow_function.SOURCE}" * uses_tensorflow
    modules = [name for name in ("layers", "ops") if re.search(rf"(?<![\w.\"]){name}\.", code)]
    others = ["import keras"]
    others += ["import numpy as np"] * bool("np." in code or made.constants)
    others += ["import tensorflow as tf"] * uses_tensorflow
    others += [f"from keras import {', '.join(modules)}"] * bool(modules)
    lines = [*_docstring(model, made, origin), "", *standard, "", *others, ""]
    lines += [f"WEIGHTS = Path(__file__).with_suffix({quoted('.weights.h5')})"]
    lines += [f"CONSTANTS = np.load(Path(__file__).with_suffix({quoted('.constants.npz')}))"] * bool(made.constants)
    return [*lines, "", "", *tensorflow_function.SOURCE.splitlines()] if uses_tensorflow else lines


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
