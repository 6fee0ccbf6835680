"""Computes the layout of the panel: the panes that fit, their density and position. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
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
    density: Density | None
    """None for a single line."""
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
        """Return the first cell of a column."""
        return sum(self.widths[:column]) + GAP * column


@lru_cache(maxsize=256)
def figure_rows(pane: Pane, density: Density) -> int:
    """Return the number of figure rows of a pane."""
    return len(pane.rows(EMPTY, COLUMN_WIDTH, density))


def _least(pane: Pane, density: Density) -> int:
    return HEIGHT_OF_TITLE + figure_rows(pane, density) + pane.chart_rows_at(density)


def arrange(panes: Sequence[Pane], width: int, height: int, density: Density | None = None, *, collapsed: Collection[str] = ()) -> Layout:
    """Place `panes` on `width` x `height` cells, in a grid with panes of equal height in each row.

    Without a density each pane gets the highest one that fits: first the core panes with their charts, then the others, then all in full.
    With a density, panes that don't fit are left out. The `collapsed` panes get a line each, below the others.
    """
    if width <= 0 or height <= 0:
        return Layout((), (), len(panes))
    most = max(1, min(len(panes), (width + GAP) // (COLUMN_WIDTH + GAP)))
    lines = [pane for pane in panes if pane.id in collapsed]
    others = [pane for pane in panes if pane.id not in collapsed]

    def chosen_on(columns: int) -> dict[Pane, Density]:
        return _choose(others, columns, height - -(-len(lines) // columns), density)

    chosen = chosen_on(most)
    columns = next(fewer for fewer in range(1, most + 1) if fewer == most or chosen_on(fewer) == chosen)
    share, spare = divmod(width - GAP * (columns - 1), columns)
    widths = tuple(share + (number < spare) for number in range(columns))
    shown = [pane for pane in others if pane in chosen]
    grid = [shown[first : first + columns] for first in range(0, len(shown), columns)]
    room = height - -(-len(lines) // columns)
    placed = list(_placed(grid, chosen, _heights(grid, chosen, room)))
    top = max((place.top + place.height for place in placed), default=0)
    for number, pane in enumerate(lines[: max(0, height - top) * columns]):
        placed.append(Placed(pane, None, number % columns, top + number // columns, HEIGHT_OF_TITLE, 0))
    return Layout(widths, tuple(placed), len(panes) - len(placed))


def _choose(panes: Sequence[Pane], columns: int, height: int, density: Density | None) -> dict[Pane, Density]:
    """Choose the panes that fit, with their density."""
    chosen: dict[Pane, Density] = {}
    for pane, wanted in _steps(panes, density):
        tried = {**chosen, pane: wanted}
        may = pane in chosen or wanted is Density.COMPACT or density is not None
        ordered = [pane for pane in panes if pane in tried]
        tall = sum(_row_least(ordered[first : first + columns], tried) for first in range(0, len(ordered), columns))
        if may and tall <= height:
            chosen = tried
    return chosen


def _steps(panes: Sequence[Pane], density: Density | None) -> Iterator[tuple[Pane, Density]]:
    """Yield the steps to try, in order."""
    if density is not None:
        yield from ((pane, density) for pane in panes)
        return
    for group in (panes[:CORE_PANES], panes[CORE_PANES:]):
        for wanted in (Density.COMPACT, Density.NORMAL):
            yield from ((pane, wanted) for pane in group)
    yield from ((pane, Density.FULL) for pane in panes)


def _row_least(panes: Sequence[Pane], chosen: Mapping[Pane, Density]) -> int:
    return max(_least(pane, chosen[pane]) for pane in panes)


def _heights(grid: Sequence[Sequence[Pane]], chosen: Mapping[Pane, Density], height: int) -> list[int]:
    """Compute the height of each row of the grid; spare rows go to the lowest rows with a chart, to equalize them."""
    heights = [_row_least(row, chosen) for row in grid]
    spare = height - sum(heights)
    while spare > 0:
        growing = [
            number
            for number, row in enumerate(grid)
            if any(pane.chart_rows_at(chosen[pane]) and _chart_height(pane, chosen, heights[number]) < TALLEST_CHART for pane in row)
        ]
        if not growing:
            break
        heights[min(growing, key=heights.__getitem__)] += 1
        spare -= 1
    return heights


def _chart_height(pane: Pane, chosen: Mapping[Pane, Density], height: int) -> int:
    """Return the rows of a pane's chart in a row of the grid."""
    room = height - HEIGHT_OF_TITLE - figure_rows(pane, chosen[pane])
    return min(TALLEST_CHART, pane.chart_that_fits(chosen[pane], room))


def _placed(grid: Sequence[Sequence[Pane]], chosen: Mapping[Pane, Density], heights: Sequence[int]) -> Iterator[Placed]:
    top = 0
    for row, height in zip(grid, heights, strict=True):
        for column, pane in enumerate(row):
            yield Placed(pane, chosen[pane], column, top, height, _chart_height(pane, chosen, height))
        top += height


def expand(pane: Pane, width: int, height: int) -> Layout:
    """Lay out a single pane in full, with the tallest chart that fits."""
    if width <= 0 or height <= 0:
        return Layout((), (), 1)
    density = next((density for density in reversed(Density) if _least(pane, density) <= height), Density.COMPACT)
    figures = HEIGHT_OF_TITLE + figure_rows(pane, density)
    chart = max(0, height - figures) if pane.chart else 0
    return Layout((width,), (Placed(pane, density, 0, 0, figures + chart, chart),), 0)
