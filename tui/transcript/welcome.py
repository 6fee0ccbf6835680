"""Draws the lines of an empty conversation, some of them framed, in the middle of the window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.cells import cell_len
from rich.segment import Segment
from textual.strip import Strip

from tui.text.cells import cut
from tui.transcript.look import Look

WIDEST = 76
"""Most cells of a frame."""
AROUND = 4
"""Cells of a frame beside its text."""


@dataclass(frozen=True, slots=True)
class WelcomeLine:
    """A line of text runs."""

    runs: tuple[tuple[str, str], ...] = ()
    """Drawable text with the name of its style, a field of `Look`."""
    choice: int | None = None
    """The number that chooses it."""
    framed: bool = False
    """Whether it is part of a frame; the first line of a frame is its title."""
    spare: int = 0
    """Priority of leaving it out where rows are short, the highest number first, 0 last."""

    @property
    def cells(self) -> int:
        """Its width, frame included."""
        return sum(cell_len(text) for text, _ in self.runs) + AROUND * self.framed


def centred(lines: Iterable[WelcomeLine], width: int, rows: int, look: Look) -> tuple[list[Strip], list[int | None]]:
    """Centre the lines in a window; also returns the choice of each row."""
    shown = _fitting(list(lines), rows)
    across = min(WIDEST, width - 2, max((line.cells for line in shown), default=0))
    drawn: list[tuple[list[tuple[str, str]], int | None]] = []
    for framed, group in groupby(shown, key=lambda line: line.framed):
        block = list(group)
        drawn += _frame(block, across) if framed else [(_cut(line.runs, across), line.choice) for line in block]
    drawn = drawn[:rows]
    above = max(0, (rows - len(drawn)) // 2)
    left = Segment(" " * max(1, (width - across) // 2), look.base)
    strips = [Strip.blank(width, look.base)] * above
    for runs, _ in drawn:
        segments = [left, *(Segment(text, look.base if style == "base" else look.base + getattr(look, style)) for text, style in runs)]
        strips.append(Strip(segments).adjust_cell_length(width, look.base))
    below = rows - len(strips)
    return strips + [Strip.blank(width, look.base)] * below, [None] * above + [choice for _, choice in drawn] + [None] * below


def _fitting(lines: list[WelcomeLine], rows: int) -> list[WelcomeLine]:
    """Choose the lines that fit; a frame needs a row below its last line."""
    while len(lines) + any(line.framed for line in lines) > rows:
        most = max((line.spare for line in lines), default=0)
        if not most:
            break
        last = max(place for place, line in enumerate(lines) if line.spare == most)
        del lines[last]
    return lines


def _frame(lines: Sequence[WelcomeLine], across: int) -> list[tuple[list[tuple[str, str]], int | None]]:
    """Draw lines in a frame `across` cells wide."""
    title = _cut(lines[0].runs, across - AROUND - 2)
    rule = "─" * (across - AROUND - 1 - _width(title))
    rows: list[tuple[list[tuple[str, str]], int | None]] = [([("╭─ ", "rule"), *title, (f" {rule}╮", "rule")], None)]
    for line in lines[1:]:
        runs = _cut(line.runs, across - AROUND)
        rows.append(([("│ ", "rule"), *runs, (" " * (across - AROUND - _width(runs)), "base"), (" │", "rule")], line.choice))
    return [*rows, ([(f"╰{'─' * (across - 2)}╯", "rule")], None)]


def _cut(runs: Iterable[tuple[str, str]], cells: int) -> list[tuple[str, str]]:
    """Cut runs to a width."""
    kept, room = [], max(0, cells)
    for text, style in runs:
        shown = text if cell_len(text) <= room else cut(text, room).rstrip() if room else ""
        room -= cell_len(shown)
        kept.append((shown, style))
    return kept


def _width(runs: Iterable[tuple[str, str]]) -> int:
    return sum(cell_len(text) for text, _ in runs)
