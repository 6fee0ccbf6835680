"""Layout of the panel: which panes fit, at which density, and where. Pure; computed when size or selection change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from engine.metrics.snapshot import EMPTY
from tui.panel.pane import Density, Pane

COLUMN_WIDTH = 38
"""Least width of a column, unless the panel is narrower."""

GAP = 2
"""Cells between columns."""

CORE_PANES = 4
"""Number of first panes that get their charts before other panes are shown."""

HEIGHT_OF_TITLE = 1

TALLEST_CHART = 14
"""Greatest height of a chart in a pane that is not expanded."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A pane with its position, in rows from the top of the panes' area."""

    pane: Pane
    density: Density
    column: int
    top: int
    height: int
    chart_height: int
    """Rows of the chart, its time line included; 0 without one."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The placed panes."""

    widths: tuple[int, ...]
    placed: tuple[Placed, ...]
    left_out: int
    """Number of panes that did not fit."""

    def left_of(self, column: int) -> int:
        """First cell of a column."""
        return sum(self.widths[:column]) + GAP * column


@lru_cache(maxsize=256)
def figure_rows(pane: Pane, density: Density) -> int:
    """Number of figure rows of a pane."""
    return len(pane.rows(EMPTY, COLUMN_WIDTH, density))


def _least(pane: Pane, density: Density) -> int:
    return HEIGHT_OF_TITLE + figure_rows(pane, density) + pane.chart_rows_at(density)


def arrange(panes: Sequence[Pane], width: int, height: int, density: Density | None = None) -> Layout:
    """Place `panes` on `width` x `height` cells.

    Without a density each pane gets as much as fits: first the core panes with their charts, then the others, then all
    in full. With one, panes that don't fit are left out.
    """
    if width <= 0 or height <= 0:
        return Layout((), (), len(panes))
    most = max(1, min(len(panes), (width + GAP) // (COLUMN_WIDTH + GAP)))
    chosen = _choose(panes, most, height, density)
    columns = next(fewer for fewer in range(1, most + 1) if fewer == most or _choose(panes, fewer, height, density) == chosen)
    share, spare = divmod(width - GAP * (columns - 1), columns)
    widths = tuple(share + (number < spare) for number in range(columns))
    shown = [pane for pane in panes if pane in chosen]
    packed = _pack(shown, chosen, columns, height) or []
    placed = [place for number, column in enumerate(packed) for place in _place(column, chosen, number, height)]
    return Layout(widths, tuple(placed), len(panes) - len(shown))


def _choose(panes: Sequence[Pane], columns: int, height: int, density: Density | None) -> dict[Pane, Density]:
    """The panes that fit, with their density."""
    chosen: dict[Pane, Density] = {}
    for pane, wanted in _steps(panes, density):
        tried = {**chosen, pane: wanted}
        may = pane in chosen or wanted is Density.COMPACT or density is not None
        if may and _pack([pane for pane in panes if pane in tried], tried, columns, height) is not None:
            chosen = tried
    return chosen


def _steps(panes: Sequence[Pane], density: Density | None) -> Iterator[tuple[Pane, Density]]:
    """Steps to try, in this order."""
    if density is not None:
        yield from ((pane, density) for pane in panes)
        return
    for group in (panes[:CORE_PANES], panes[CORE_PANES:]):
        for wanted in (Density.COMPACT, Density.NORMAL):
            yield from ((pane, wanted) for pane in group)
    yield from ((pane, Density.FULL) for pane in panes)


def _pack(panes: Sequence[Pane], chosen: Mapping[Pane, Density], columns: int, height: int) -> list[list[Pane]] | None:
    """Panes in order, column by column; None when they don't fit."""
    packed: list[list[Pane]] = [[]]
    room = height
    for pane in panes:
        needed = _least(pane, chosen[pane])
        if needed > room:
            if len(packed) == columns or needed > height:
                return None
            packed.append([])
            room = height
        packed[-1].append(pane)
        room -= needed
    return packed


def _place(panes: Sequence[Pane], chosen: Mapping[Pane, Density], column: int, height: int) -> Iterator[Placed]:
    """Stack a column; remaining rows go to its charts."""
    spare = height - sum(_least(pane, chosen[pane]) for pane in panes)
    charts = [pane for pane in panes if pane.chart_rows_at(chosen[pane])]
    top = 0
    for pane in panes:
        tall = pane.chart_rows_at(chosen[pane])
        if tall:
            more = min(spare // (len(charts) - charts.index(pane)), TALLEST_CHART - tall)
            tall, spare = tall + more, spare - more
        rows = HEIGHT_OF_TITLE + figure_rows(pane, chosen[pane]) + tall
        yield Placed(pane, chosen[pane], column, top, rows, tall)
        top += rows


def expand(pane: Pane, width: int, height: int) -> Layout:
    """A single pane in full, with the tallest chart that fits."""
    if width <= 0 or height <= 0:
        return Layout((), (), 1)
    density = next((density for density in reversed(Density) if _least(pane, density) <= height), Density.COMPACT)
    figures = HEIGHT_OF_TITLE + figure_rows(pane, density)
    chart = max(0, height - figures) if pane.chart else 0
    return Layout((width,), (Placed(pane, density, 0, 0, figures + chart, chart),), 0)
