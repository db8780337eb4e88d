"""The pieces that a file of tests is made of: its functions, its classes, and the entries of its dictionaries."""

from __future__ import annotations

import ast
from collections.abc import Iterator

Piece = tuple[str, ast.AST]
REST = ""


def pieces(tree: ast.Module) -> Iterator[Piece]:
    """``(name, code)`` of every piece; what belongs to none has the name ``REST``."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name, node
        elif entries := list(dictionary(node)):
            yield from entries
        else:
            yield REST, node


def dictionary(node: ast.stmt) -> Iterator[Piece]:
    """``(key, value)`` of a dictionary with names for keys that a statement makes or adds to another."""
    value = getattr(node, "value", None)
    if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)) and isinstance(value, ast.Dict):
        for key, made in zip(value.keys, value.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, made


def listed(names: list[str], most: int = 3) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
