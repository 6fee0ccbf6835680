"""Series drawn with characters, from values per dot column to rows of text. Pure; independent of time, colours and widgets.

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
    """The best set for a terminal, see `tui.terminal.terminal.Terminal`."""
    if braille:
        return Glyphs.BRAILLE
    return Glyphs.HALVES if unicode else Glyphs.ASCII


@dataclass(frozen=True, slots=True)
class Extent:
    """Lowest and highest value of a series within one dot column."""

    low: float
    high: float


Columns = Sequence[Extent | None]
"""One extent per dot column, left to right; None at a gap."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """Drawn series."""

    rows: tuple[str, ...]
    """Rows of equal width, top to bottom."""
    owners: tuple[bytes, ...] | None
    """For each cell the number of the topmost series; None for a single series."""


def draw(lines: Sequence[Columns], *, low: float, high: float, width: int, height: int, glyphs: Glyphs = Glyphs.BRAILLE) -> Canvas:
    """Draw series into `width` x `height` cells, values from `low` (bottom) to `high` (top); the first series is on top.

    Further series are dotted, to be distinct without colour; bars show the first series only.
    """
    if width <= 0 or height <= 0 or not lines:
        return Canvas(("",) * max(0, height), None)
    if glyphs is not Glyphs.BRAILLE:
        return Canvas(_bars(lines[0], low, high, width, height, glyphs.value), None)
    masks = [_line_masks(columns, low, high, width, height, dotted=number > 0) for number, columns in enumerate(lines)]
    if len(masks) == 1:
        return Canvas(tuple("".join([chr(_BRAILLE + mask) if mask else " " for mask in row]) for row in zip(*masks[0], strict=True)), None)
    rows, owners = [], []
    for y in range(height):
        text, owner = [], bytearray(width)
        for x in range(width):
            mask = 0
            for number in range(len(masks) - 1, -1, -1):
                if dots := masks[number][x][y]:
                    mask |= dots
                    owner[x] = number
            text.append(chr(_BRAILLE + mask) if mask else " ")
        rows.append("".join(text))
        owners.append(bytes(owner))
    return Canvas(tuple(rows), tuple(owners))


def _line_masks(columns: Columns, low: float, high: float, width: int, height: int, *, dotted: bool) -> list[tuple[int, ...]]:
    """The braille masks of a series per cell column."""
    strokes = _strokes(columns, low, high, height * DOTS_DOWN, connected=not dotted)
    strokes += [None] * (width * DOTS_ACROSS - len(strokes))
    if dotted:
        strokes[1::2] = [None] * len(strokes[1::2])
    return [_cell_column(strokes[2 * x], strokes[2 * x + 1], height) for x in range(width)]


Stroke = tuple[int, int]
"""First and last dot row, from the top, that a series covers in a dot column."""


def _strokes(columns: Columns, low: float, high: float, dots: int, *, connected: bool) -> list[Stroke | None]:
    """Convert values to dot rows; `connected` extends each stroke to its left neighbour."""
    scale = (dots - 1) / ((high - low) or 1.0)
    bottom = dots - 1
    strokes: list[Stroke | None] = []
    before: Stroke | None = None
    for extent in columns:
        if extent is None:
            before = None
            strokes.append(None)
            continue
        top = bottom - _clip(round((extent.high - low) * scale), bottom)
        base = bottom - _clip(round((extent.low - low) * scale), bottom)
        joined = (top, base)
        if connected and before is not None:
            if before[1] < top:
                joined = (before[1] + 1, base)
            elif before[0] > base:
                joined = (top, before[0] - 1)
        strokes.append(joined)
        before = (top, base)
    return strokes


def _clip(row: int, bottom: int) -> int:
    return 0 if row < 0 else min(row, bottom)


@lru_cache(maxsize=8192)
def _cell_column(left: Stroke | None, right: Stroke | None, height: int) -> tuple[int, ...]:
    """Masks of a cell column, top to bottom. Cached, since consecutive frames share most of them."""
    masks = [0] * height
    for side, stroke in enumerate((left, right)):
        if stroke is not None:
            for dot in range(stroke[0], stroke[1] + 1):
                masks[dot // DOTS_DOWN] |= _BITS[dot % DOTS_DOWN][side]
    return tuple(masks)


def _bars(columns: Columns, low: float, high: float, width: int, height: int, levels: str) -> tuple[str, ...]:
    """One bar per cell, as high as the larger of its two dot columns; values above `low` are always visible."""
    steps = len(levels) - 1
    total = height * steps
    fills = []
    for x in range(width):
        pair = [extent.high for extent in columns[2 * x : 2 * x + 2] if extent is not None]
        share = (max(pair) - low) / ((high - low) or 1.0) if pair else 0.0
        fills.append(min(total, max(1, round(share * total))) if share > 0 else 0)
    return tuple("".join(levels[min(steps, max(0, fill - (height - 1 - y) * steps))] for fill in fills) for y in range(height))


def spark(values: Sequence[float | None], *, high: float, glyphs: Glyphs) -> str:
    """A sparkline with one character per value."""
    levels = Glyphs.BLOCKS.value if glyphs is Glyphs.BRAILLE else glyphs.value
    steps = len(levels) - 1
    return "".join(" " if not value or high <= 0 else levels[max(1, min(steps, round(value / high * steps)))] for value in values)
