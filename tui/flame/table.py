"""A table of functions on the Line API that renders visible rows only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual import events
from textual.binding import BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from engine.text import drawable
from tui.actions.bindings import bindings_for
from tui.actions.registry import Scope
from tui.flame.look import FlameLook, Tint
from tui.text.cells import cut

GAP = 1
"""Cells between two columns."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column, aligned right; one of `width` 0 fills the remaining width and is aligned left."""

    title: str
    width: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """A row: key and cells. The last cell may be long."""

    key: str
    cells: tuple[str, ...]
    tint: Tint


class RowTable(ScrollView, can_focus=True):
    """Shows rows under a fixed heading, with a cursor."""

    HELP = """\
Own time is spent in the function itself, total time also in the functions that it calls.
A click on a heading sorts by it.
"""
    BINDING_GROUP_TITLE = "Functions"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.TABLE)]
    DEFAULT_CSS = """
    RowTable { height: 1fr; scrollbar-gutter: stable; scrollbar-size-vertical: 1; overflow-x: hidden; }
    """

    @dataclass
    class Moved(Message):
        """The cursor moved to another row."""

        key: str

    @dataclass
    class Chosen(Message):
        """A row was chosen with Enter or a second click."""

        key: str

    @dataclass
    class HeadingClicked(Message):
        """The heading of a column was clicked."""

        column: int

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._columns: tuple[Column, ...] = ()
        self._rows: Sequence[Row] = ()
        self._sorted_by = 0
        self._cursor = 0
        self._search = ""
        self._strips: dict[int, Strip] = {}
        self._look: FlameLook | None = None

    @property
    def key(self) -> str | None:
        """Key of the row under the cursor."""
        return self._rows[self._cursor].key if self._rows else None

    def notify_style_update(self) -> None:
        """Redraw with the theme's colours."""
        self._look = None
        self._strips.clear()
        super().notify_style_update()

    def on_resize(self) -> None:
        """Recompute the widths of columns."""
        self._strips.clear()
        self._measure()

    def on_click(self, event: events.Click) -> None:
        """Select a row, choose it on a second click, or sort by a heading."""
        if event.y == 0:
            column = self._column_at(event.x)
            if column is not None:
                self.post_message(self.HeadingClicked(column))
            return
        row = event.y - 1 + self.scroll_offset.y
        if row == self._cursor:
            self.action_choose()
        elif row < len(self._rows):
            self._go(row)

    def action_move(self, rows: int) -> None:
        """Move the cursor."""
        self._go(self._cursor + rows)

    def action_page(self, pages: int) -> None:
        """Move the cursor by pages."""
        self._go(self._cursor + pages * max(1, self.size.height - 2))

    def action_choose(self) -> None:
        """Choose the row under the cursor."""
        if self.key is not None:
            self.post_message(self.Chosen(self.key))

    def show(self, columns: Sequence[Column], rows: Sequence[Row], *, sorted_by: int) -> None:
        """Show other rows; the cursor stays on its key if that still exists."""
        key = self.key
        self._columns, self._rows, self._sorted_by = tuple(columns), rows, sorted_by
        self._cursor = next((index for index, row in enumerate(rows) if row.key == key), 0)
        self._strips.clear()
        self._measure()
        self._follow()

    def highlight(self, text: str) -> None:
        """Mark the rows whose last cell contains `text`; empty marks none."""
        self._search = text.casefold()
        self._strips.clear()
        self.refresh()

    def select_match(self, step: int) -> None:
        """Move the cursor to the next (1) or previous (-1) row that matches the search."""
        matches = [index for index, row in enumerate(self._rows) if self._matches(row)]
        if matches:
            after = [index for index in matches if (index > self._cursor if step > 0 else index < self._cursor)]
            self._go((after or matches)[0 if step > 0 else -1])

    def render_line(self, y: int) -> Strip:
        """Render the heading or a row."""
        width = self.scrollable_content_region.width
        if self._look is None:
            self._look = FlameLook(self.app.theme_variables, self.rich_style)
        index = y - 1 + self.scroll_offset.y if y else -1
        if index >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        strip = self._strips.get(index)
        if strip is None:
            strip = self._draw(index, width, self._look)
            self._strips[index] = strip
        return strip

    def _draw(self, index: int, width: int, look: FlameLook) -> Strip:
        if index < 0:
            titles = [f"{column.title}{'▾' if place == self._sorted_by else ''}" for place, column in enumerate(self._columns)]
            return Strip([Segment("  " + self._line(titles, width - 2), look.heading)]).adjust_cell_length(width, look.heading)
        row = self._rows[index]
        style = look.chosen if index == self._cursor else look.match if self._matches(row) else look.base
        mark = look.chosen if index == self._cursor else look.block(row.tint, 0)
        text = self._line(row.cells, width - 2)
        return Strip([Segment("  ", mark), Segment(text, style)]).adjust_cell_length(width, style)

    def _line(self, cells: Sequence[str], width: int) -> str:
        room = width - sum(column.width + GAP for column in self._columns if column.width)
        parts = []
        for column, cell in zip(self._columns, cells, strict=True):
            text = drawable(cell)
            if column.width:
                parts.append(" " * (column.width - cell_len(text)) + set_cell_size(text, min(column.width, cell_len(text))))
            else:
                parts.append(cut(text, max(1, room - GAP)))
        return (" " * GAP) + (" " * GAP).join(parts)

    def _matches(self, row: Row) -> bool:
        return bool(self._search) and self._search in row.key.casefold()

    def _column_at(self, x: int) -> int | None:
        position = GAP + 2
        for index, column in enumerate(self._columns):
            if not column.width or x < position + column.width:
                return index
            position += column.width + GAP
        return None

    def _measure(self) -> None:
        self.virtual_size = Size(self.scrollable_content_region.width, len(self._rows) + 1)
        self.refresh()

    def _go(self, row: int) -> None:
        if not self._rows:
            return
        for index in (self._cursor, max(0, min(row, len(self._rows) - 1))):
            self._strips.pop(index, None)
            self.refresh_line(index + 1)
            self._cursor = index
        self._follow()
        self.post_message(self.Moved(self._rows[self._cursor].key))

    def _follow(self) -> None:
        """Scroll to the cursor."""
        top, height = self.scroll_offset.y, max(1, self.size.height - 1)
        if self._cursor < top:
            self.scroll_to(y=self._cursor, animate=False, immediate=True)
        elif self._cursor >= top + height:
            self.scroll_to(y=self._cursor - height + 1, animate=False, immediate=True)
