"""The layers of Keras, and the small models of the tests that have them; the tests are read, not run."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from benchmarks.coverage.sources import dictionary, listed
from benchmarks.coverage.tables import code, table

# The names under which tests know keras.layers.
_ALIASES = {"L", "layers", "keras.layers"}
# Not layers that a model is made of.
_NOT_LAYERS = {"Layer", "InputLayer", "InputSpec", "Wrapper", "Input", "RNN", "StackedRNNCells", "TFSMLayer"}


@dataclass
class Module:
    """One file of models.

    Attributes:
        path: Where it is, from the root of the repository.
        names: Names of its models.
        held: Layer to names of the models that name it; ``""`` where only the file does.
    """

    path: str
    names: list[str] = field(default_factory=list)
    held: dict[str, list[str]] = field(default_factory=dict)


def public_layers() -> list[str]:
    """Every layer that ``keras.layers`` has."""
    import keras

    found = {name: getattr(keras.layers, name) for name in dir(keras.layers)}
    return sorted(
        name
        for name, cls in found.items()
        if isinstance(cls, type) and name not in _NOT_LAYERS and cls.__name__ == name
    )


def modules(root: Path, known: Iterable[str]) -> list[Module]:
    """Every file of models beside the tests."""
    names = set(known)
    files = sorted(path for path in (root / "tests").rglob("*model*.py") if not path.name.startswith("test_"))
    found = (_module(path, root, names) for path in files)
    return [module for module in found if module.held]


def _module(path: Path, root: Path, known: set[str]) -> Module:
    tree = ast.parse(path.read_text())
    functions = {node.name: node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    module = Module(path.relative_to(root).as_posix())
    for name, value in chain.from_iterable(map(dictionary, tree.body)):
        module.names.append(name)
        for layer in sorted(_named(value, functions, known, set())):
            module.held.setdefault(layer, []).append(name)
    for layer in sorted(_mentioned(tree, known) - module.held.keys()):
        module.held[layer] = [""]
    return module


def _named(tree: ast.AST, functions: dict[str, ast.AST], known: set[str], seen: set[str]) -> set[str]:
    """Layers that an expression names, itself or through functions of its module."""
    found = _mentioned(tree, known)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in functions and node.id not in seen:
            seen.add(node.id)
            found |= _named(functions[node.id], functions, known, seen)
    return found


def _mentioned(tree: ast.AST, known: set[str]) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in _ALIASES:
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # Tables of names: "Add Average Concatenate".
            found.update(node.value.split())
    return found & known


def text(root: Path) -> str:
    """The table of layers, and those that no model of the tests has."""
    known = public_layers()
    found = modules(root, known)
    held: dict[str, list[str]] = {}
    for module in found:
        for layer, names in module.held.items():
            held.setdefault(layer, []).append(_models(module, names))
    lacking = [name for name in known if name not in held]
    return "\n\n".join(
        [
            f"{len(held)} of {len(known)} layers are in models that tests port from files without names and run.",
            table(("layer", "models"), [(code(name), "; ".join(held[name])) for name in sorted(held)]),
            f"In no model of the tests: {code(*lacking)}.",
        ]
    )


def _models(module: Module, names: list[str]) -> str:
    file = code(Path(module.path).name)
    return file if names == [""] else f"{file}: {listed(names)}"
