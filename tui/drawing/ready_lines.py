"""A widget whose lines are ready before they are asked for."""

from __future__ import annotations

from collections.abc import Sequence

from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


class _Finish:
    """Makes ready lines fit for the compositor, and remembers what it made of those that did not change."""

    def __init__(self, width: int, style: Style, background: Color, filters: Sequence[LineFilter]) -> None:
        self.width = width
        self._style = style
        self._background = background
        self._filters = filters
        self._made: dict[int, tuple[Strip, Strip]] = {}

    def __call__(self, row: int, ready: Strip) -> Strip:
        """The line as wide as the widget, with the filters on it."""
        known = self._made.get(row)
        if known is not None and known[0] is ready:
            return known[1]
        strip = ready.adjust_cell_length(self.width, self._style)
        for each in self._filters:
            strip = strip.apply_filter(each, self._background)
        self._made[row] = ready, strip
        return strip


class ReadyLines(Widget):
    """Hands its lines to the compositor as they are, but for filters as `NO_COLOR` needs them; has no border, padding, tint or links.

    Textual 8.2 asks for every line of a widget when one of them changes, and draws those that changed through all its styles: half of
    the time of a frame of streamed text. As a second base it leaves the first one's default CSS in force.
    """

    _finish: _Finish | None = None

    def ready_lines(self, rows: range) -> Sequence[Strip]:
        """The lines to paint in these rows; as `render_line` makes them, without what can't be seen."""
        return [self.render_line(y) for y in rows]

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines of a part of the widget."""
        width = self.outer_size.width
        finish = self._finish
        if finish is None or finish.width != width:
            _, background = self.background_colors
            finish = self._finish = _Finish(width, self.rich_style, background, self.get_line_filters())
        strips = [finish(y, ready) for y, ready in zip(crop.line_range, self.ready_lines(crop.line_range), strict=True)]
        return strips if crop.column_span == (0, width) else [strip.crop(*crop.column_span) for strip in strips]

    def notify_style_update(self) -> None:
        """Colours are others now."""
        super().notify_style_update()
        self._finish = None
