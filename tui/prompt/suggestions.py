"""What could be typed next, listed above the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.widget import Widget

from engine.text import one_line
from tui.text.cells import cut

MOST_ROWS = 8
"""Rows of the list; the others come into view as the selection moves."""
LEAST_ABOUT = 12
"""Cells below which the second column is left out."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Something that completes what is typed."""

    text: str
    """Takes the place of the word that is being typed."""
    shown: str
    """What the list shows, with what may follow: `/set KEY VALUE`."""
    about: str = ""


class Suggestions(Widget):
    """Shows nothing while there is nothing to suggest. The prompt keeps the focus and moves the selection."""

    DEFAULT_CSS = """
    Suggestions { height: auto; max-height: 8; background: $surface; color: $foreground; display: none; padding: 0 1; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: Sequence[Suggestion] = ()
        self._selected = 0
        self.moved = False
        """Whether the user has moved the selection."""

    @property
    def selected(self) -> Suggestion | None:
        """The selected row; None while nothing is shown."""
        return self._rows[self._selected] if self._rows else None

    def show(self, rows: Sequence[Suggestion]) -> None:
        """Show these, the first one selected."""
        if rows != self._rows:
            self._rows, self._selected, self.moved = rows, 0, False
            self.display = bool(rows)
            self.refresh(layout=True)

    def move(self, step: int) -> None:
        """Select the row so many places further down, wrapping around."""
        self._selected = (self._selected + step) % len(self._rows)
        self.moved = True
        self.refresh()

    def get_content_height(self, *_: object) -> int:
        """A line per row, up to `MOST_ROWS`."""
        return min(MOST_ROWS, len(self._rows))

    def render(self) -> Content:
        """The rows around the selected one."""
        width = self.content_size.width
        first = max(0, min(self._selected - MOST_ROWS // 2, len(self._rows) - MOST_ROWS))
        name_cells = min(max((len(row.shown) for row in self._rows), default=0), max(8, width // 2))
        lines = []
        for place, row in enumerate(self._rows[first : first + MOST_ROWS], start=first):
            name = f"{cut(one_line(row.shown), name_cells):<{name_cells}}"
            room = width - name_cells - 2
            about = cut(one_line(row.about), room) if room >= LEAST_ABOUT else ""
            style = "bold $block-cursor-foreground on $block-cursor-background" if place == self._selected else "$key"
            lines.append(Content.assemble(Content.styled(name, style), "  ", Content.styled(about, "$muted")))
        return Content("\n").join(lines)
