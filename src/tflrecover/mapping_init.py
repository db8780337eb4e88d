"""A mapping to begin with: everything that a comparison leaves open, as lines to decide on."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from pathlib import PurePath
from typing import Any

import yaml

from tflrecover import mistaken
from tflrecover.api import diff
from tflrecover.differences.tails import accept_line, quoted
from tflrecover.errors import InvalidModel
from tflrecover.mapping.model import SCHEMA_FILE, VERSION
from tflrecover.render.values import safe
from tflrecover.report import Report
from tflrecover.tflite import read

_HOW = (
    "Lines behind `##` are remarks, lines behind `# ` are proposals: take the `# ` away from what you want. The schema "
    f"of the first line completes keys in an editor; `tflrecover mapping schema > {SCHEMA_FILE}` writes it."
)


def init_mapping(path: Any, model: Any) -> str:
    """A mapping in YAML that proposes, in comments, how to settle what structure leaves open.

    As it is written it only decides which file it is for: a guess that nobody has looked at must not copy weights.

    Args:
        path: The file: a str, a PathLike, or its bytes.
        model: The Keras model; it is not changed.

    Returns:
        The mapping's text, which :meth:`Mapping.load <tflrecover.Mapping.load>` takes once it is in a file.

    Raises:
        InvalidFile: the file cannot be read.
        InvalidModel: the model cannot be traced.

    Example:
        >>> Path("map.yaml").write_text(tflrecover.init_mapping("palm_detection.tflite", model))
    """
    if not mistaken.is_layer(model):
        raise InvalidModel(mistaken.instead_of_a_model(model))
    file = read(path)
    report = diff(file, model)
    parts = [*_ambiguities(report), *_differences(report), *_trust(report)]
    lines = [
        f"# yaml-language-server: $schema={SCHEMA_FILE}",
        *_remark(f"{PurePath(file.source).name} into {report.model!r}, begun by `tflrecover mapping init`. {_HOW}"),
        f"tflrecover: {VERSION}",
        f"tflite: {{sha256: {quoted(file.sha256)}}}",
        "",
        *(parts or _remark("There is nothing to settle: structure decides everything, and nothing differs.")),
    ]
    return "\n".join(lines) + "\n"


def _ambiguities(report: Report) -> Iterator[str]:
    """One section per key: a key that is there twice is no mapping."""
    said = [(ambiguity.message, yaml.safe_load(ambiguity.mapping) or {}) for ambiguity in report.ambiguities]
    for key in dict.fromkeys(key for _, sections in said for key in sections):
        yield f"# {key}:"
        for message, sections in said:
            if key in sections:
                yield from _remark(f"A guess, check it: {message}.")
                yield from _proposal(f"  {quoted(a)}: {quoted(b)}" for a, b in sections[key].items())


def _differences(report: Report) -> Iterator[str]:
    if report.suggestion:
        yield from _remark("The model ends otherwise than the file. If that is meant (a new head, or none):")
        yield from _proposal(report.suggestion.splitlines())
        return
    open_ = [difference for difference in report.differences if not difference.accepted]
    if open_:
        yield from _remark("What differs. Better change the model; what is meant to differ can be accepted.")
        yield "# accept:"
    for difference in open_:
        yield from _remark(difference.message)
        if difference.keras_layer is not None or difference.tflite_op is not None:
            yield from _proposal([accept_line(difference)])
    unresolved = [a.variable for a in report.assignments if a.state == "unresolved"]
    if unresolved:
        told = f"Variables without a weight in the file: {len(unresolved)}, e.g. {unresolved[0]}. `skip:` lets layers"
        yield from _remark(f"{told} keep their own weights, `weights:` says where a variable's numbers come from.")


def _trust(report: Report) -> Iterator[str]:
    for assumption in report.assumptions:
        yield from _remark(f"Taken on trust: {assumption}.")


def _remark(text: str) -> list[str]:
    return textwrap.wrap(safe(text), 118, initial_indent="## ", subsequent_indent="## ", break_long_words=False)


def _proposal(lines: Iterable[str]) -> Iterator[str]:
    return (f"# {line}" for line in lines)


__all__ = ["init_mapping"]
