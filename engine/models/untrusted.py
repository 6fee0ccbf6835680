"""Texts that strangers wrote (file names, metadata) made safe to print: no control characters, no direction marks, no endless lines."""

from __future__ import annotations

import unicodedata
from pathlib import Path

MAX_TEXT = 200
"""Characters kept of a text that is shown in a line."""

_ACTING = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Unicode categories that a terminal may act on, or that reorder what follows."""


def printable(text: str, limit: int = MAX_TEXT) -> str:
    """`text` on one line with every character that could act replaced by a question mark in a box, cut to `limit` characters."""
    cut = text if len(text) <= limit else f"{text[: limit - 1]}…"
    if cut.isascii() and cut.isprintable():
        return cut
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(char) in _ACTING else char for char in cut)


def file_name(path: Path) -> str:
    """The name of a file, fit for a message."""
    return printable(path.name or str(path))
