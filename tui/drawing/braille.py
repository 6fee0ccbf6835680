"""Draws series with characters, from values per dot column to rows of text. Pure; independent of time, colours and widgets.

A cell has 2 x 4 braille dots. Without braille, the same columns are drawn as bars of block characters or ASCII.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

DOTS_ACROSS = 2
DOTS_DOWN = 4

_BRAILLE = 0x2800
_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bit of each dot by row and column of the cell."""

_SOLID, _HATCHED = 0xFF, 0xD7
"""Dot patterns of areas: all eight dots, or six."""


class Glyphs(Enum):
    """Characters of charts; for bars, the levels from empty to full."""

    BRAILLE = ""
    BLOCKS = " ▁▂▃▄▅▆▇█"
    """For fonts without braille."""
    HALVES = " ▄█"
    """For the Linux console, whose font has only these two blocks."""
    ASCII = " .:|"
    """For terminals that don't take UTF-8."""


def glyphs_for(*, braille: bool, unicode: bool) -> Glyphs:
    """Return the best set for a terminal, see `tui.terminal.terminal.Terminal`."""
    if braille:
        return Glyphs.BRAILLE
    return Glyphs.HALVES if unicode else Glyphs.ASCII


Columns = Sequence[float | None]
"""One value per dot column, left to right; None where nothing was measured."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """Drawn series."""

    rows: tuple[str, ...]
    """Rows of equal width, top to bottom."""
    owners: tuple[bytes, ...] | None
    """For each cell the number of the series in front; None for a single series."""


def draw(lines: Sequence[Columns], *, high: float, width: int, height: int, glyphs: Glyphs = Glyphs.BRAILLE) -> Canvas:
    """Draw series as areas into `width` x `height` cells, values from zero (bottom) to `high` (top).

    The lower one is in front, so that all are visible. Further series are hatched, to be distinct without colour. Bars show the largest
    value only.
    """
    if width <= 0 or height <= 0 or not lines:
        return Canvas(("",) * max(0, height), None)
    if glyphs is not Glyphs.BRAILLE:
        return Canvas(_bars(lines, high, width, height, glyphs.value), None)
    tops = [_tops(columns, high, width, height) for columns in lines]
    columns = [_cell_column(tuple([(each[2 * x], each[2 * x + 1]) for each in tops]), height) for x in range(width)]
    rows = tuple(map("".join, zip(*(text for text, _ in columns), strict=True)))
    return Canvas(rows, tuple(map(bytes, zip(*(owners for _, owners in columns), strict=True))) if len(lines) > 1 else None)


def _tops(columns: Columns, high: float, width: int, height: int) -> list[int]:
    """Return the height of each dot column in dots."""
    tops = [0 if value is None else dots_high(value, high, height * DOTS_DOWN) for value in columns[: width * DOTS_ACROSS]]
    return tops + [0] * (width * DOTS_ACROSS - len(tops))


def dots_high(value: float, high: float, dots: int) -> int:
    """Return the height of a value in dots, from 1 to `dots`."""
    return min(dots, max(1, round(value / (high or 1.0) * dots)))


@lru_cache(maxsize=8192)
def _cell_column(tops: tuple[tuple[int, int], ...], height: int) -> tuple[str, bytes]:
    """Draw a cell column of areas: its characters, top to bottom, and the number of the front series of each.

    `tops` are the dots of each series on the left and on the right. Cached, since consecutive frames share most columns.
    """
    masks, owners, dots = [0] * height, bytearray(height), height * DOTS_DOWN
    # From back to front; of two alike, the first is in front.
    for number in sorted(range(len(tops)), key=lambda number: (-max(tops[number]), -number)):
        pattern = _HATCHED if number else _SOLID
        for side, tall in enumerate(tops[number]):
            for dot in range(dots - tall, dots):
                if bit := _BITS[dot % DOTS_DOWN][side] & pattern:
                    masks[dot // DOTS_DOWN] |= bit
                    owners[dot // DOTS_DOWN] = number
    return "".join([chr(_BRAILLE + mask) if mask else " " for mask in masks]), bytes(owners)


def _bars(lines: Sequence[Columns], high: float, width: int, height: int, levels: str) -> tuple[str, ...]:
    """Draw one bar per cell, as high as the largest value of its dot columns; values above zero are always visible."""
    steps = len(levels) - 1
    total = height * steps
    fills = []
    for x in range(width):
        here = [value for columns in lines for value in columns[2 * x : 2 * x + 2] if value is not None]
        share = max(here) / (high or 1.0) if here else 0.0
        fills.append(min(total, max(1, round(share * total))) if share > 0 else 0)
    return tuple("".join(levels[min(steps, max(0, fill - (height - 1 - y) * steps))] for fill in fills) for y in range(height))


def spark(values: Sequence[float | None], *, high: float, glyphs: Glyphs) -> str:
    """Return a sparkline with one character per value."""
    levels = Glyphs.BLOCKS.value if glyphs is Glyphs.BRAILLE else glyphs.value
    steps = len(levels) - 1
    return "".join(" " if not value or high <= 0 else levels[max(1, min(steps, round(value / high * steps)))] for value in values)
