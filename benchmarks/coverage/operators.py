"""The operators: every builtin of TFLite and every operator of the library."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import tflite

from benchmarks.coverage.tables import code, table
from tflrecover import ops
from tflrecover.rewrite.lower import SHAPE_ONLY
from tflrecover.tflite.flatten import CALLS

# Operators that are no longer there once the graph is lowered, and what becomes of them.
_RESOLVED = {
    **dict.fromkeys(CALLS, "its subgraph takes its place"),
    **dict.fromkeys(SHAPE_ONLY, "a constant"),
    "WHILE": "one symbolic iteration takes its place",
    "IF": "both of its subgraphs and a choice between their results take its place",
    **dict.fromkeys(("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"), "a state, which is a value, takes its place"),
    **dict.fromkeys(("HASHTABLE", "HASHTABLE_IMPORT"), "the constants that fill it take its place"),
}


def builtins() -> list[str]:
    """Every builtin that the schema names, in its order."""
    numbers = {number: name for name, number in vars(tflite.BuiltinOperator).items() if isinstance(number, int)}
    return [numbers[number] for number in sorted(numbers) if not numbers[number].startswith("PLACEHOLDER")]


def text(examples: ModuleType, recovery: ModuleType) -> str:
    """The table of operators, and what is not read.

    Args:
        examples: ``tests/core/op_examples.py``.
        recovery: ``tests/recovery/test_operators.py``.
    """
    proofs = {**dict.fromkeys(examples.FILES, Path(str(recovery.__file__)).name), **recovery.ELSEWHERE}
    listed = builtins()
    known = [name for name in listed if _is_read(name)]
    own = sorted(spec.name for spec in ops.specs() if spec.name not in listed)
    rest = [name for name in listed if name in proofs and name not in known]
    unread = [name for name in listed if name not in known]
    parts = [
        f"{len(known)} of {len(listed)} builtins are read into canonical terms; {len(own)} operators have no builtin. "
        "*evaluated*: in numpy, where constants are computed and where LiteRT cannot run a file. *against LiteRT*: "
        "`tests/core/test_ops.py` compares shape and numbers of a file that holds just this operator. *recovered*: the "
        "test of `tests/recovery` in which a file that holds it becomes a Keras model that computes what LiteRT does.",
        f"{len(proofs)} of the {sum(not name.startswith('STABLEHLO') for name in listed)} builtins that are not "
        "StableHLO's are recovered.",
        table(
            ("operator", "from files", "from TensorFlow", "evaluated", "undone", "against LiteRT", "recovered"),
            [(*_row(name, examples), code(*proofs.get(name, "").split())) for name in [*known, *own, *rest]],
        ),
        "Not evaluated, and why:",
        "\n".join(f"- {code(*names)}: {reason}" for reason, names in _reasons(examples)),
        "Not recovered, and why:",
        "\n".join(f"- {code(name)}: {reason}" for name, reason in recovery.NOT_RECOVERED.items()),
        f"Not read ({len(unread)} builtins; each stays an opaque operator: matched, compared and shown): "
        f"{code(*unread)}.",
    ]
    return "\n\n".join(parts)


def _is_read(name: str) -> bool:
    spec = ops.by_name(name)
    return name in _RESOLVED or ops.tflite_reader(name) is not None or (spec is not None and spec.expand is not None)


def _row(name: str, examples: ModuleType) -> tuple[str, ...]:
    spec = ops.by_name(name)
    if name in _RESOLVED:
        return (code(name), _RESOLVED[name], *[""] * 4)
    if spec is None:
        return (code(name), *[""] * 5)
    return (
        code(name),
        "yes" if spec.tflite is not None else "written out" if spec.expand is not None else "",
        code(*sorted(spec.tf)),
        "yes" if spec.evaluate is not None else "",
        "yes" if spec.inverse is not None else "",
        "yes" if name in examples.FILES else "",
    )


def _reasons(examples: ModuleType) -> Iterator[tuple[str, list[str]]]:
    grouped: dict[str, list[str]] = {}
    for name, reason in examples.NOT_EVALUATED.items():
        grouped.setdefault(reason, []).append(name)
    yield from grouped.items()
