"""Text from outside as one line of cells. Imports no Textual."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size

from tui.text.cells import drawable


def one_line(text: str) -> str:
    """Text of a message or title as one line of cells."""
    return drawable(" ".join(text.split()))


def cut(text: str, cells: int) -> str:
    """`text` in exactly `cells` cells."""
    return set_cell_size(text, cells) if cell_len(text) <= cells else set_cell_size(text, max(0, cells - 1)) + "…"
