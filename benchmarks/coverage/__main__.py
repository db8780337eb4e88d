"""`make coverage`: writes the derived sections of docs/coverage.md; `make kinds` and `make zoo` write the measured."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

from benchmarks.coverage import forms, layers, operators
from benchmarks.coverage.tables import table

ROOT = Path(__file__).parents[2]
PATH = ROOT / "docs" / "coverage.md"

INTRODUCTION = """# Coverage

What is covered by which test, and what is not. The sections are derived from the code and the tests by `make coverage`,
the last two are measured by `make kinds` and `make zoo`.
"""


def _tests(root: Path, *path: str) -> ModuleType:
    """A file of the tests as a module."""
    name = ".".join(("tests", *path))
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, root.joinpath("tests", *path).with_suffix(".py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _operators(root: Path) -> str:
    return operators.text(_tests(root, "core", "op_examples"), _tests(root, "recovery", "test_operators"))


DERIVED: dict[str, Callable[[Path], str]] = {
    "Operators": _operators,
    "Layers": layers.text,
    "Quantizations and forms of files": forms.text,
}
KINDS, APPLICATIONS = "Layers and models in every form, measured", "Keras Applications, measured"
# How a measured section counts the results of a form of file.
_COUNT = re.compile(r"^- (\w+): (\d.*)$", re.MULTILINE)
_NOTHING = {title: f"Not measured yet: run `make {name}`." for title, name in ((KINDS, "kinds"), (APPLICATIONS, "zoo"))}


def sections(text: str) -> dict[str, str]:
    """Title to contents of the second level."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {title: body.strip() for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def derived(root: Path = ROOT) -> dict[str, str]:
    """The sections that follow from code and tests."""
    return {title: make(root) for title, make in DERIVED.items()}


def summary(listed: Mapping[str, str]) -> str:
    """What the sections say, in a few lines.

    Args:
        listed: Title to text.
    """
    counts = {title: dict(_COUNT.findall(listed[title])) for title in (KINDS, APPLICATIONS)}
    rows = [[form, told, counts[APPLICATIONS].get(form, "")] for form, told in counts[KINDS].items()]
    known = [re.split("[;.]", listed[title], maxsplit=1)[0] for title in ("Operators", "Layers")]
    return "\n".join([*(f"- {told}." for told in known), "", table(["form", *counts], rows)])


def write(measured: Mapping[str, str] | None = None, path: Path = PATH) -> None:
    """Writes the document.

    Args:
        measured: Title to text of measured sections; the others stay as they are.
        path: Where to.
    """
    before = sections(path.read_text()) if path.is_file() else {}
    kept = {title: (measured or {}).get(title, before.get(title, nothing)) for title, nothing in _NOTHING.items()}
    listed = {**derived(), **kept}
    told = {"In short": summary(listed), **listed}
    path.write_text("\n".join([INTRODUCTION, *(f"## {title}\n\n{body.strip()}\n" for title, body in told.items())]))


if __name__ == "__main__":
    write()
