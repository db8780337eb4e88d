"""A report's text with colours, for a terminal."""

from __future__ import annotations

from rich.text import Text

# Pattern and style; where two patterns meet, the later one wins.
STYLES = (
    (r"^\S.*$", "bold"),
    (r"(?<=: )(the model is the file's network|ported, complete and beyond doubt|the numbers agree)$", "green"),
    (r"(?<=: )(ported, complete if the order is the same \(see the note\))$", "yellow"),
    (
        r"(?<=: )(the model is not the file's network|NOT ported|ported in part|the numbers do NOT agree"
        r"|the numbers that could be compared agree, but the model is not the file's network"
        r"|the structure is equal, but the model does not hold the file's weights)$",
        "red",
    ),
    (r"\[(attribute|missing|extra|wiring|shape|constant)\]", "red"),
    (r"\(accepted\)", "green"),
    (r"`[^`\n]*`", "cyan"),
    (r"<- first divergence|out of tolerance$|^  (unresolved|unexplained): .*$", "red"),
)


def coloured(text: str) -> Text:
    """The text, styled; its characters are unchanged, and nothing in it is taken for markup."""
    found = Text(text)
    for pattern, style in STYLES:
        found.highlight_regex(f"(?m){pattern}", style)
    return found
