"""Small charts of logged figures, as many as fit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual.widgets import Static

from engine.store.series import Chart
from tui.drawing.braille import DOTS_ACROSS, Columns, Glyphs, draw
from tui.drawing.look import look
from tui.drawing.rows import LINES, Role, cut

LEAST_WIDTH = 36
"""Least width of a chart in cells."""
PICTURE_ROWS = 5
GAP = 3


def spread(values: Sequence[float | None], dots: int) -> Columns:
    """Spread values evenly over dot columns."""
    columns: list[float | None] = []
    for dot in range(dots):
        first = dot * len(values) // dots
        piece = [value for value in values[first : max(first + 1, (dot + 1) * len(values) // dots)] if value is not None]
        finite = [value for value in piece if math.isfinite(value)]
        columns.append(max(finite, default=None))
    return columns


def chart_rows(chart: Chart, width: int, rows: int, glyphs: Glyphs, styles: Mapping[Role, Style]) -> list[Text]:
    """Draw heading and chart, each row exactly `width` cells."""
    top = chart.top
    heading = Text(f"{chart.title} ", styles[Role.TITLE])
    heading.append(f"{chart.unit}, to {top:g}", styles[Role.LABEL])
    names = [f"  {cut(line.name, 24)}" for line in chart.lines] if len(chart.lines) > 1 else []
    if heading.cell_len + sum(map(cell_len, names)) <= width:
        for ink, name in zip(LINES, names, strict=False):
            heading.append(name, styles[ink])
    heading.truncate(width, overflow="ellipsis", pad=True)
    canvas = draw([spread(line.values, width * DOTS_ACROSS) for line in chart.lines], high=top, width=width, height=rows, glyphs=glyphs)
    pictures = []
    for y, row in enumerate(canvas.rows):
        picture = Text(row, styles[LINES[0]])
        for x, owner in enumerate(canvas.owners[y] if canvas.owners is not None else ()):
            if owner:
                picture.stylize(styles[LINES[min(owner, len(LINES) - 1)]], x, x + 1)
        picture.pad_right(max(0, width - cell_len(row)))
        pictures.append(picture)
    return [heading, *pictures]


class LoggedCharts(Static):
    """Shows charts of finished turns."""

    DEFAULT_CSS = """
    LoggedCharts { height: 1fr; width: 1fr; }
    """

    def __init__(self, glyphs: Glyphs, *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)
        self._glyphs = glyphs
        self._charts: Sequence[Chart] = ()

    def show(self, charts: Sequence[Chart]) -> None:
        """Show charts in order, as many as fit."""
        self._charts = charts
        self._draw()

    def on_mount(self) -> None:
        """Follow the theme."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self._draw())

    def on_resize(self) -> None:
        """Draw at the new size."""
        self._draw()

    def _draw(self) -> None:
        width, height = self.size
        across = max(1, (width + GAP) // (LEAST_WIDTH + GAP))
        down = max(0, (height + 1) // (PICTURE_ROWS + 2))
        shown = self._charts[: across * down]
        if not shown or width < 10:
            self.update("")
            return
        across = min(across, -(-len(shown) // down)) if down else across
        each = (width - GAP * (across - 1)) // across
        rows = max(PICTURE_ROWS, (height + 1) // -(-len(shown) // across) - 2)
        styles = look(self.app.theme_variables, self.rich_style)
        lines: list[Text] = []
        for first in range(0, len(shown), across):
            blocks = [chart_rows(chart, each, rows, self._glyphs, styles) for chart in shown[first : first + across]]
            lines += [Text(" " * GAP).join(row) for row in zip(*blocks, strict=True)]
            lines.append(Text())
        self.update(Text("\n").join(lines[:-1]))
