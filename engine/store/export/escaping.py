"""Text of models and people in files that other programs open: it is shown there, and does nothing."""

from __future__ import annotations

from itertools import groupby

_KEPT = "\n\t"
_PICTURES = {code: 0x2400 + code for code in range(0x20) if chr(code) not in _KEPT} | {0x7F: 0x2421}
_SILENCED = _PICTURES | dict.fromkeys((*range(128, 160), *range(8234, 8239), *range(8294, 8298)), 65533)


def visible(text: str) -> str:
    """The text with control characters as their pictures (␛ for escape) and without marks that turn the direction of what follows."""
    return text.translate(_SILENCED)


def fenced(text: str) -> str:
    """The text as a block of Markdown in which no markup acts, whatever fences it has itself."""
    shown = visible(text)
    longest = max((sum(1 for _ in run) for character, run in groupby(shown) if character == "~"), default=0)
    fence = "~" * max(3, longest + 1)
    return f"{fence}text\n{shown}\n{fence}\n"


def markdown_cell(value: object) -> str:
    """A value as one cell of a Markdown table."""
    text = visible(str(value)).replace("\n", " ").replace("\t", " ")
    return "".join(f"\\{character}" if character in "\\`*_{}[]<>()#+!|~&" else character for character in text)


def spreadsheet_cell(value: object) -> object:
    """A value for CSV: text that a spreadsheet would run as a formula gets an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
