"""The sweep as Markdown: a row per kind, a column per form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from benchmarks.kinds.cases import FORMS

_MEANING = """Static sizes, no tensor names, no mapping, twins with other weights. *exact*: the outputs of the original.
*as close*: as close to the original as the file itself is under LiteRT. *no file*: the converter makes none. *broken
file*: it makes one that LiteRT cannot run, or whose outputs are noise, and the port refuses it."""
_HEADER = f"| kind | {' | '.join(FORMS)} |\n" + "|---" * (len(FORMS) + 1) + "|"
GOOD = ("exact", "as close", "no file", "broken file")


def markdown(newest: Mapping[tuple[str, str], Mapping[str, Any]]) -> str:
    """Counts, the table, and what was not ported with its reason."""
    names = list(dict.fromkeys(name for name, _ in newest))
    words = Counter((form, result["word"]) for (_, form), result in newest.items())
    counts = {form: ", ".join(f"{n} {word}" for (f, word), n in sorted(words.items()) if f == form) for form in FORMS}
    rows = [" | ".join((name, *(newest.get((name, form), {}).get("word", "") for form in FORMS))) for name in names]
    reasons = [
        f"- {name} {form}: {result['word']}. {result['detail']}"
        for (name, form), result in newest.items()
        if result["word"] not in ("exact", "as close")
    ]
    parts = [
        _MEANING,
        "\n".join(f"- {form}: {count}" for form, count in counts.items()),
        "\n".join([_HEADER, *(f"| {row} |" for row in rows)]),
        "\n".join(["Not ported, or without a file:", "", *reasons]) if reasons else "",
    ]
    return "\n\n".join(parts) + "\n"
