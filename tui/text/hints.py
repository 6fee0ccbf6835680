"""Formats a line of key hints."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual.content import Content

GAP = 2


def key_line(hints: Sequence[tuple[str, str]], width: int) -> Content:
    """Format keys with their labels; those without a key, or that don't fit, are left out."""
    pieces: list[Content | str] = []
    used = 0
    for key, words in hints:
        cells = cell_len(f"{key} {words}") + (GAP if pieces else 0)
        if not key or used + cells > width:
            continue
        pieces += [" " * GAP if pieces else "", Content.styled(key, "bold $key"), f" {words}"]
        used += cells
    return Content.assemble(*pieces)
