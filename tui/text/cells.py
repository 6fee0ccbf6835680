"""Cuts text to a width. Imports no Textual."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size


def cut(text: str, cells: int) -> str:
    """Pad or cut `text` to `cells` cells."""
    return set_cell_size(text, cells) if cell_len(text) <= cells else set_cell_size(text, max(0, cells - 1)) + "…"
