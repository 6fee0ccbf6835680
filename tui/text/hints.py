"""A line of keys and what they do, as long as there is room for it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual.content import Content

GAP = 2


def key_line(hints: Sequence[tuple[str, str]], width: int) -> Content:
    """Keys with their words from left to right; what does not fit is left out, as is what has no key."""
    pieces: list[Content | str] = []
    used = 0
    for key, words in hints:
        cells = cell_len(f"{key} {words}") + (GAP if pieces else 0)
        if not key or used + cells > width:
            continue
        pieces += [" " * GAP if pieces else "", Content.styled(key, "bold $key"), f" {words}"]
        used += cells
    return Content.assemble(*pieces)
