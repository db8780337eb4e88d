"""Quantizations and forms of files, each with the tests that speak of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path

from benchmarks.coverage.sources import REST, listed, pieces
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
    ("dynamic batch or length", r"dynamic.?batch|free.?(?:batch|size)|shape_signature|shapeSignature|dynamic.?length"),
    ("batch above one", r"batch_of_|batch=[2-9]"),
    ("from_saved_model", r"from_saved_model"),
    ("from_concrete_functions", r"from_concrete_functions"),
    ("channels_first models", r"channels_first"),
    ("tf_keras models", r"tf_keras"),
    ("mixed precision", r"mixed_(?:b?)float16"),
    ("distributed variables", r"MirroredStrategy"),
    ("KerasHub backbones", r"keras_hub"),
    ("damaged files", r"damaged|truncated|InvalidFile"),
    ("buffers behind the flatbuffer (over 2 GiB)", r"buffers.behind"),
)


# They list what there is to test, and test nothing of it.
_LISTS = {"test_coverage.py", "op_examples.py", "builders.py", "lite.py"}


def text(root: Path) -> str:
    """The table of forms, and those of which no test speaks."""
    files = sorted(path for path in (root / "tests").rglob("*.py") if path.name not in _LISTS)
    contents = {path.relative_to(root / "tests").as_posix(): path.read_text() for path in files}
    found = {name: _tests(re.compile(pattern), contents) for name, pattern in FORMS}
    lacking = [name for name, tests in found.items() if not tests]
    parts = [
        "Below `tests/`:",
        table(("form", "tests and models that speak of it"), [(n, tests) for n, tests in found.items() if tests]),
    ]
    if lacking:
        parts.append(f"In no test: {', '.join(lacking)}.")
    return "\n\n".join(parts)


def _tests(pattern: re.Pattern[str], contents: Mapping[str, str]) -> str:
    cells = []
    for path, content in contents.items():
        if not pattern.search(content):
            continue
        named = [
            name
            for name, tree in pieces(ast.parse(content))
            if name != REST and (pattern.search(name) or pattern.search(ast.get_source_segment(content, tree) or ""))
        ]
        cells.append(f"{code(path)}: {listed(named)}" if named else code(path))
    return "; ".join(cells)
