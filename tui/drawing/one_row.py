"""A widget of one row that repaints only the cells that changed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip

from tui.drawing.look import look
from tui.drawing.ready_lines import ReadyLines
from tui.drawing.rows import Role, Row, changed_span


class OneRow(ReadyLines):
    """Shows the result of `row`; subclasses call `redraw` when it may have changed."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._row: Row = ()
        self._styles: Mapping[Role, Style] = {}

    @abstractmethod
    def row(self, width: int) -> Row:
        """Return the row, exactly `width` cells wide."""

    def styles_of_roles(self) -> Mapping[Role, Style]:
        """Return a style for each role, in the colours of the theme."""
        return look(self.app.theme_variables, self.rich_style)

    def on_mount(self) -> None:
        """Follow the theme."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self.restyle())

    def on_resize(self) -> None:
        """Draw at the new width."""
        self.restyle()

    def restyle(self) -> None:
        """Redraw the whole row after a change of width or colours."""
        self._styles = self.styles_of_roles()
        self._row = self.row(self.size.width) if self.size.width else ()
        self.refresh()

    def redraw(self) -> None:
        """Repaint the cells that changed."""
        if not self._styles or not self.size.width:
            return
        before, self._row = self._row, self.row(self.size.width)
        span = changed_span(before, self._row, self.size.width)
        if span is not None:
            self.refresh(Region(span[0], 0, span[1], 1))

    def render_line(self, y: int) -> Strip:
        """Return the row."""
        if y or not self._styles:
            return Strip.blank(self.size.width, self.rich_style)
        return Strip([Segment(text, self._styles[role]) for text, role in self._row])
