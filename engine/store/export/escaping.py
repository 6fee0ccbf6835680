"""Escapes untrusted text in files that other programs open."""

from __future__ import annotations

import re
from itertools import groupby

from engine.text import visible


def fenced(text: str) -> str:
    """Format the text as a Markdown code block, fenced safely whatever fences it contains."""
    shown = visible(text)
    longest = max((sum(1 for _ in run) for character, run in groupby(shown) if character == "~"), default=0)
    fence = "~" * max(3, longest + 1)
    return f"{fence}text\n{shown}\n{fence}\n"


_MARKUP = re.compile(r"[\\`*{}\[\]<>#|~&]|(?<![^\W_])_|_(?![^\W_])")
"""Matches characters that may begin or end markup within a line; an underscore inside a word does not."""


def markdown_cell(value: object) -> str:
    """Format a value as one cell of a Markdown table."""
    text = visible(str(value)).replace("\n", " ").replace("\t", " ")
    return _MARKUP.sub(r"\\\g<0>", text)


_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
"""First characters of cells that a spreadsheet may run as a formula; Excel accepts the fullwidth forms in East Asian locales."""


def spreadsheet_cell(value: object) -> object:
    """Prepare a value for CSV: text that a spreadsheet would run as a formula gets an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA) else value
