"""Readable source of a model, from a file alone."""

from __future__ import annotations

import os
import runpy
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tflrecover.errors import InvalidModel, NoSource
from tflrecover.generation.calls import Written, written
from tflrecover.generation.literals import Unwritable
from tflrecover.generation.module import module_source
from tflrecover.recovery import Recovered, recovered
from tflrecover.recovery.model import defaults
from tflrecover.saving import require_free
from tflrecover.source_files import source_files
from tflrecover.stages import stage
from tflrecover.tflite import read

__all__ = ["generate", "generate_from"]


def generate(
    path: Any,
    out: str | os.PathLike[str],
    *,
    quantized: Literal["float", "simulate"] = "float",
    force: bool = False,
) -> tuple[Path, ...]:
    """Writes Python source that builds the model of a file, and the weights beside it.

    The source needs Keras, and TensorFlow where Keras has no name for an operator, but not tflrecover. What Keras has
    no layer for, such as a loop, is a class in the source; what the network repeats is a function or a loop. The file's
    names are only in it as string literals, or as identifiers of letters, digits and underscores. All is written, or
    nothing: the source is run, and its weights are compared, before it is put in its place.

    Args:
        path: A path, the file's bytes, or what :func:`tflrecover.read` gave.
        out: The source, ``NAME.py``. Weights are written to ``NAME.weights.h5``, and arrays that are operands of
            functions, if there are any, to ``NAME.constants.npz``.
        quantized: As for :func:`tflrecover.recover`: ``"simulate"`` keeps the rounding of a quantized file.
        force: Overwrite files that are there.

    Returns:
        The files that were written, the source first.

    Raises:
        UnsupportedOperators: the file has operators that cannot be expressed; the error lists all of them.
        NoSource: a registered operator became a layer whose class cannot be imported.
        InvalidFile: it cannot be read.
        InvalidModel: ``out`` is no name of a module with ``.py``, or that of a module which Keras needs.
        ValueError: ``quantized`` is neither word.
        OutputError: a file to be written is there, or cannot be written.

    Example:
        >>> tflrecover.generate("palm_detection_full.tflite", "palm_detection.py")
        (PosixPath('palm_detection.py'), PosixPath('palm_detection.weights.h5'))
    """
    for target in source_files(out):
        require_free(target, force)
    file = read(path)
    return generate_from(recovered(file, quantized=quantized), file.source, out)


def generate_from(found: Recovered, origin: str, out: str | os.PathLike[str]) -> tuple[Path, ...]:
    """The same for a model that was recovered, whatever is there.

    Args:
        found: The model and its calls.
        origin: The file that it was recovered from.
        out: As for :func:`generate`.
    """
    with defaults():
        return _generated(found, origin, source_files(out))


def _generated(found: Recovered, origin: str, files: tuple[Path, Path, Path]) -> tuple[Path, ...]:
    source, weights, constants = files
    stage(f"writing {source}")
    try:
        made = written(found.model, found.calls)
    except Unwritable as error:
        raise NoSource(origin, str(error)) from error
    if any(module.partition(".")[0] == source.stem for module in made.imports.values()):
        raise InvalidModel(f"{str(source)!r} is what it would import a layer from; give the source another name")
    source.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        drafts = [Path(folder) / target.name for target in (source, weights, constants)]
        _write(found.model, made, module_source(found.model, made, origin), drafts)
        try:
            _try(drafts[0], found.model)
        # Whatever the source raises, it is not right.
        except Exception as error:
            told = f"{type(error).__name__}: {error}".splitlines()[0]
            raise NoSource(origin, f"what was written does not work: {told}") from error
        # The source comes last: where it is, all is.
        pairs = [(draft, target) for draft, target in zip(drafts, (source, weights, constants), strict=True)]
        kept = [(draft, target) for draft, target in pairs if draft.exists()]
        for draft, target in reversed(kept):
            draft.replace(target)
        if not made.constants:
            # Of another source that was here before.
            constants.unlink(missing_ok=True)
    return tuple(target for _, target in kept)


def _write(model: Any, made: Written, source: str, drafts: list[Path]) -> None:
    drafts[0].write_text(source, encoding="utf-8")
    model.save_weights(drafts[1])
    if made.constants:
        np.savez(drafts[2], **made.constants)  # type: ignore[arg-type]  # names are no options


def _try(source: Path, model: Any) -> None:
    """Runs the source: it has to give the same weights, and tensors of the same kinds."""
    again = runpy.run_path(str(source))["load_model"]()
    for one, other in ((model.inputs, again.inputs), (model.outputs, again.outputs)):
        if [(x.shape, x.dtype) for x in one] != [(x.shape, x.dtype) for x in other]:
            raise Unwritable("the source is another network")
    pairs = zip(model.get_weights(), again.get_weights(), strict=True)
    if not all(one.tobytes() == other.tobytes() for one, other in pairs):
        raise Unwritable("the source has other weights")
