"""A widget that renders its rows in advance."""

from __future__ import annotations

from collections.abc import Sequence

from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


class _Finish:
    """Pads and filters rows for the compositor; caches those that did not change."""

    def __init__(self, width: int, style: Style, background: Color, filters: Sequence[LineFilter]) -> None:
        self.width = width
        self._style = style
        self._background = background
        self._filters = filters
        self._made: dict[int, tuple[Strip, Strip]] = {}

    def __call__(self, row: int, ready: Strip) -> Strip:
        """Pad a row to the widget's width and apply the filters."""
        known = self._made.get(row)
        if known is not None and known[0] is ready:
            return known[1]
        strip = ready.adjust_cell_length(self.width, self._style)
        for each in self._filters:
            strip = strip.apply_filter(each, self._background)
        self._made[row] = ready, strip
        return strip


class ReadyLines(Widget):
    """Passes its rows to the compositor with only line filters (`NO_COLOR`) applied; has no border, padding, tint or links.

    Textual 8.2 renders every row of a widget when one changes, and draws the changed ones through all styles: half of
    the time of a frame of streamed text. As a second base class, it keeps the default CSS of the first.
    """

    _finish: _Finish | None = None

    def ready_lines(self, rows: range) -> Sequence[Strip]:
        """Strips of these rows, as `render_line` returns them, without offsets."""
        return [self.render_line(y) for y in rows]

    def render_lines(self, crop: Region) -> list[Strip]:
        """Strips of a region of the widget."""
        width = self.outer_size.width
        finish = self._finish
        if finish is None or finish.width != width:
            _, background = self.background_colors
            finish = self._finish = _Finish(width, self.rich_style, background, self.get_line_filters())
        strips = [finish(y, ready) for y, ready in zip(crop.line_range, self.ready_lines(crop.line_range), strict=True)]
        return strips if crop.column_span == (0, width) else [strip.crop(*crop.column_span) for strip in strips]

    def notify_style_update(self) -> None:
        """Drop cached rows when styles change."""
        super().notify_style_update()
        self._finish = None
