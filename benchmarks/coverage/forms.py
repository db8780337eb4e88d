"""Quantizations and forms of files, each with the tests that speak of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.coverage.sources import listed
from benchmarks.coverage.tables import code, table

# What a form is called, and how tests speak of it.
FORMS: tuple[tuple[str, str], ...] = (
    ("float16 weights", r"fp16|float16"),
    ("dynamic range", r"\bdynamic\b(?!.?batch)"),
    ("full integer, int8", r"\bint8\b"),
    ("int16 activations, int8 weights", r"int16x8"),
    ("uint8 (TOCO)", r"uint8|toco"),
    ("FAKE_QUANT", r"FAKE_QUANT|fake.quant"),
    ("packed: int4, int2", r"int4|int2\b"),
    ("blockwise scales", r"blockwise"),
    ("sparse weights", r"spars|DENSIFY"),
    ("fused recurrent operators", r"UNIDIRECTIONAL_SEQUENCE|BIDIRECTIONAL_SEQUENCE"),
    ("loops (WHILE)", r"WHILE|\bloop"),
    ("unrolled recurrence", r"unroll"),
    ("Flex operators", r"[Ff]lex"),
    ("custom operators", r"[Cc]ustom"),
    ("signatures", r"[Ss]ignature"),
    ("dynamic batch or length", r"dynamic.?batch|shape_signature|dynamic.?length|free_(?:batch|length|sizes?)"),
    ("batch above one", r"batch_of_|batch=[2-9]"),
    ("from_saved_model", r"from_saved_model"),
    ("from_concrete_functions", r"from_concrete_functions"),
    ("channels_first models", r"channels_first"),
    ("tf_keras models", r"tf_keras"),
    ("mixed precision", r"mixed_(?:b?)float16"),
    ("distributed variables", r"MirroredStrategy"),
    ("damaged files", r"damaged|truncated|InvalidFile"),
    ("buffers behind the flatbuffer (over 2 GiB)", r"buffers_behind_the_table"),
)


# They list what there is to test, and test nothing of it.
_LISTS = {"test_coverage.py", "op_examples.py", "builders.py", "lite.py"}
_MOST_FILES = 6


def text(root: Path) -> str:
    """The table of forms, and those of which no test speaks."""
    files = sorted(path for path in (root / "tests").rglob("test_*.py") if path.name not in _LISTS)
    trees = {path.relative_to(root / "tests").as_posix(): path.read_text() for path in files}
    found = {name: _cells(re.compile(pattern), trees) for name, pattern in FORMS}
    lacking = [name for name, tests in found.items() if not tests]
    parts = [
        "Tests below `tests/` that name a form, or use what names it there; KerasHub's backbones are ported by "
        "`benchmarks/kerashub`.",
        table(("form", "tests"), [(name, tests) for name, tests in found.items() if tests]),
    ]
    if lacking:
        parts.append(f"In no test: {', '.join(lacking)}.")
    return "\n\n".join(parts)


def _cells(pattern: re.Pattern[str], contents: Mapping[str, str]) -> str:
    found = {path: names for path, content in contents.items() if (names := _tests(pattern, content))}
    shown = [f"{code(path)}: {listed(found[path])}" for path in list(found)[:_MOST_FILES]]
    rest = len(found) - len(shown)
    return "; ".join(shown) + (f"; and {rest} more files" if rest else "")


def _tests(pattern: re.Pattern[str], content: str) -> list[str]:
    """Tests of a file that match a pattern, or use a function or a constant of the file that does."""
    if not pattern.search(content):
        return []
    sources = {name: _source(content, tree) for name, tree in _named(ast.parse(content))}
    named = {name for name, source in sources.items() if pattern.search(source) or pattern.search(name)}
    users = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in named) or r"(?!)")
    return [name for name, source in sources.items() if name.startswith("test_") and users.search(source)]


def _named(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Functions and constants by their names."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.Assign):
            yield from ((target.id, node) for target in node.targets if isinstance(target, ast.Name))


def _source(content: str, tree: ast.AST) -> str:
    """The code of a piece, a function's with its decorators: what a test is given stands there."""
    parts = [*getattr(tree, "decorator_list", ()), tree]
    return "\n".join(ast.get_source_segment(content, part) or "" for part in parts)
