"""A widget whose lines are ready before they are asked for."""

from __future__ import annotations

from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


class ReadyLines(Widget):
    """Hands its lines to the compositor as they are, but for filters as `NO_COLOR` needs them; has no border, padding, tint or links.

    Textual 8.2 draws every line of a frame through all its styles, half of the time of a frame of streamed text. As a second base it
    leaves the first one's default CSS in force.
    """

    def ready_line(self, y: int) -> Strip:
        """A line to paint; the same as `render_line`, unless that adds what can't be seen."""
        return self.render_line(y)

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines of a part of the widget."""
        width, style = self.outer_size.width, self.rich_style
        strips = [self.ready_line(y).adjust_cell_length(width, style) for y in crop.line_range]
        _, background = self.background_colors
        for each in self.get_line_filters():
            strips = [strip.apply_filter(each, background) for strip in strips]
        return strips if crop.column_span == (0, width) else [strip.crop(*crop.column_span) for strip in strips]
