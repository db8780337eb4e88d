"""Loads mappings: ``yaml.safe_load`` semantics, plus the line of every key, so that an error can point at it."""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydantic
import yaml

from tflrecover.errors import MappingError, StaleMapping
from tflrecover.mapping.model import VERSION, Accept, CustomOp, FileGuard, MappingModel, WeightRule
from tflrecover.mistaken import MAPPING, kind_of

# More than any mapping needs; an alias bomb would expand beyond the second.
_MAX_BYTES = 4 << 20
_MAX_NODES = 100_000
_NEAREST = 3
# A shorter beginning is that of anything.
_LEAST = 3
KeyPath = tuple[str | int, ...]


class Gathering:
    """Goes on where something of a mapping is wrong, and tells all of it at the end."""

    def __init__(self) -> None:
        self._errors: list[MappingError] = []

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Of several things that can be wrong, one."""
        try:
            yield
        except MappingError as error:
            self._errors.append(error)

    def __enter__(self) -> Gathering:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if error is None and self._errors:
            raise MappingError.of(self._errors)


@dataclass(frozen=True)
class Mapping:
    """A mapping that is well-formed; whether its names are there is only known with a file and a model.

    Attributes:
        model: The contents.
        source: The file it came from, or ``"<mapping>"``.
        lines: Key path to 1-based line.
    """

    model: MappingModel = field(default_factory=lambda: MappingModel(tflrecover=1))
    source: str = "<mapping>"
    lines: AbstractMapping[KeyPath, int] = field(default_factory=dict)

    @classmethod
    def load(cls, given: Mapping | AbstractMapping[str, Any] | str | os.PathLike[str] | None) -> Mapping:
        """Loads a mapping.

        Args:
            given: A path to YAML, a dict, a mapping (returned as it is), or None (an empty one).

        Raises:
            MappingError: the file cannot be read or is no mapping of version 1; with file, line and key.
        """
        if given is None:
            return cls()
        if isinstance(given, Mapping):
            return given
        if isinstance(given, AbstractMapping):
            return cls(_validated(dict(given), "<mapping>", {}))
        if not isinstance(given, str | os.PathLike):
            raise MappingError(f"expected a path, a dict, a Mapping or None, got {type(given).__name__}")
        source = os.fspath(given)
        content, lines = _parse(_read(source), source)
        return cls(_validated(content, source, lines), source, lines)

    def error(self, message: str, *key: str | int) -> StaleMapping:
        """The error for a name that is not there, with the line of its key."""
        return StaleMapping(message, source=self.source, line=self.lines.get(key), key=_dotted(key))

    def pairs(self, end: str, keras_names: Sequence[str], file_names: Sequence[str]) -> dict[int, int]:
        """``inputs`` or ``outputs`` as numbers, file to Keras.

        Raises:
            StaleMapping: a name is not there, or stands for several.
        """
        found: dict[int, int] = {}
        with Gathering() as gathering:
            for theirs, mine in getattr(self.model, end).items():
                with gathering.one():
                    j = self.one_of(theirs, keras_names, f"{end[:-1]} of the model", end, theirs)
                    i = self.one_of(mine, file_names, f"{end[:-1]} of the file", end, theirs)
                    if i in found or j in found.values():
                        told = f"{theirs!r}: {mine!r} pairs an {end[:-1]} that another line has paired"
                        raise self.error(told, end, theirs)
                    found[i] = j
        return found

    def one_of(self, name: str, names: Sequence[str], what: str, *key: str | int) -> int:
        """Number of the one that is called so, or ``"#number"``."""
        if name.startswith("#") and name[1:].isdecimal() and int(name[1:]) < len(names):
            return int(name[1:])
        places = [i for i, other in enumerate(names) if other == name]
        if len(places) == 1:
            return places[0]
        if places:
            raise self.error(f'{name!r} stands for {len(places)} {what}s; write "#number": one of {places}', *key)
        raise self.error(f"there is no {what} {name!r}{nearest(name, names)}", *key)


def nearest(name: str, names: Iterable[str]) -> str:
    """``"; did you mean …?"``, or nothing when nothing is near.

    A path is also near where a stretch of it that has as many parts as the name is near, or begins with the name, as
    ``net/stem_conv_1/Relu`` for ``stem``.
    """
    paths = dict.fromkeys(filter(None, names))
    stretches: dict[str, str] = {}
    for path in paths:
        for stretch in _stretches(path.split("/"), name.count("/") + 1):
            stretches.setdefault(stretch, path)
    found = difflib.get_close_matches(name, paths, n=_NEAREST, cutoff=0.5)
    found += [stretches[near] for near in difflib.get_close_matches(name, stretches, n=_NEAREST, cutoff=0.7)]
    found += [path for stretch, path in stretches.items() if len(name) >= _LEAST and stretch.startswith(name)]
    shown = list(dict.fromkeys(found))[:_NEAREST]
    return f"; did you mean {' or '.join(map(repr, shown))}?" if shown else ""


def _stretches(parts: Sequence[str], length: int) -> Iterable[str]:
    return ("/".join(parts[i : i + length]) for i in range(len(parts) - length + 1))


def _dotted(key: KeyPath) -> str:
    return ".".join(str(part) for part in key)


def _read(source: str) -> str:
    kind = kind_of(source)
    if kind not in (None, MAPPING):
        order = "; on the command line it is `mapping check MAPPING FILE MODEL`, and elsewhere `--mapping MAPPING`"
        raise MappingError(f"is {kind}, not a mapping in YAML{order}", source=source)
    try:
        with Path(source).open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MappingError(f"is not UTF-8 text: {error.reason} at byte {error.start}", source=source) from error
    except OSError as error:
        raise MappingError(f"cannot be read: {error.strerror}", source=source) from error
    except ValueError as error:
        raise MappingError(f"is no path: {error}", source=repr(source)) from error
    if len(content) > _MAX_BYTES:
        raise MappingError(f"is longer than {_MAX_BYTES} bytes; is it a mapping?", source=source)
    return text


def _parse(text: str, source: str) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    lines: dict[KeyPath, int] = {}
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            _walk(node, (), lines, source, [0])
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise MappingError(f"is not YAML: {reason}", source=source, line=mark.line + 1 if mark else None) from error
    except ValueError as error:
        # PyYAML lets int() and datetime() speak for themselves: 5,000 digits, the 99th of a month.
        raise MappingError(f"has a number or date that is none: {error}", source=source) from error
    except RecursionError as error:
        raise MappingError("is nested too deeply", source=source) from error
    if not isinstance(content, dict):
        raise MappingError("is empty or no mapping; it must begin with `tflrecover: 1`", source=source, line=1)
    return content, lines


def _walk(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], source: str, count: list[int]) -> None:
    count[0] += 1
    if count[0] > _MAX_NODES:
        raise MappingError(f"has more than {_MAX_NODES} entries once its aliases are expanded", source=source)
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            here = (*path, str(key.value))
            line = key.start_mark.line + 1
            if here in seen:
                raise MappingError("is there twice", source=source, line=line, key=_dotted(here))
            seen.add(here)
            _walk(value, here, lines, source, count)
            lines[here] = line
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            _walk(value, (*path, i), lines, source, count)


_FIELDS: dict[str, type[pydantic.BaseModel]] = {
    "tflite": FileGuard,
    "accept": Accept,
    "weights": WeightRule,
    "custom_ops": CustomOp,
}


def _known_keys(path: KeyPath) -> list[str]:
    """Keys that are allowed beside the one that a path ends in."""
    model = MappingModel if len(path) == 1 else _FIELDS.get(str(path[0]), MappingModel)
    return [info.alias or name for name, info in model.model_fields.items()]


# What pydantic finds, in words that say what to write instead.
_ADVICE = {
    "missing": "is missing",
    "string_type": "must be text; put it in quotes",
    "invalid_key": "must be text; put it in quotes",
    "int_type": "must be a whole number",
    "tuple_type": "must be a list, e.g. [a, b]",
    "dict_type": "must hold `name: value` lines; leave the key out if there are none",
    "model_type": "must hold `key: value` pairs",
    "model_attributes_type": "must hold `key: value` pairs",
    "literal_error": "must be {expected}",
    "string_pattern_mismatch": "must be 8 to 64 hexadecimal digits",
}


def _validated(content: dict[str, Any], source: str, lines: AbstractMapping[KeyPath, int]) -> MappingModel:
    try:
        return MappingModel.model_validate(content)
    except pydantic.ValidationError as error:
        found = error.errors()
        # A misspelt key is also one that is missing: the first says more.
        misspelt = {tuple(one["loc"][:-1]) for one in found if one["type"] == "extra_forbidden"}
        told = []
        for one in found:
            location = tuple(one["loc"])
            if one["type"] != "missing" or location[:-1] not in misspelt:
                path, line = _key_path(location), _line(lines, location)
                told.append(MappingError(_advice(one, path), source=source, line=line, key=_dotted(path)))
        raise MappingError.of(sorted(told, key=lambda one: one.line or 0)) from error


def _key_path(location: tuple[str | int, ...]) -> KeyPath:
    """Where pydantic found it, less its own mark for "the key itself"."""
    return location[:-1] if location and location[-1] == "[key]" else location


def _advice(found: Any, path: KeyPath) -> str:
    if found["type"] == "extra_forbidden":
        key = str(path[-1])
        if len(path) == 1 and "/" in key:
            return f"is no key of the format; did you mean `weights: {{{key}: {{from: …}}}}`?"
        return f"is no key of the format{nearest(key, _known_keys(path))}"
    if found["type"] == "missing" and path == ("tflrecover",):
        return f"is missing; add `tflrecover: {VERSION}`"
    if found["type"] == "string_type" and path[:1] and path[0] in _NUMBERED and found["loc"][-1] != "[key]":
        number = _numbered(found["input"])
        if number is not None:
            return number
    template = _ADVICE.get(found["type"])
    if template is None:
        return str(found["msg"]).removeprefix("Value error, ")
    return template.format(**found.get("ctx", {}))


# Keys whose values may be ``"#number"``.
_NUMBERED = ("match", "inputs", "outputs", "ignore")


def _numbered(given: Any) -> str | None:
    """What to write instead of a bare number, or of one that YAML has taken for a comment."""
    if given is None:
        return 'must be text; put a number in quotes: "#0" (without quotes `#` begins a YAML comment)'
    return f'must be text; write "#{given}", in quotes' if type(given) is int else None


def _line(lines: AbstractMapping[KeyPath, int], location: tuple[str | int, ...]) -> int | None:
    """Line of the key, or of the nearest key around it (one that is missing has no line)."""
    path = _key_path(location)
    # A key such as 42 is a number for pydantic and text in the tree of nodes.
    spelled = (path, tuple(map(str, path)), (*path[:-1], str(path[-1])) if path else path)
    return next((lines[p[:n]] for n in range(len(path), -1, -1) for p in spelled if p[:n] in lines), None)
