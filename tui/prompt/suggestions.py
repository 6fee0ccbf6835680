"""The list of completions above the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.widget import Widget

from engine.text import one_line
from tui.text.cells import cut

MOST_ROWS = 8
"""Most rows of the list; the selection scrolls it."""
LEAST_ABOUT = 12
"""Least cells of the second column; with fewer it is left out."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A completion of the typed word."""

    text: str
    """The replacement of the typed word."""
    shown: str
    """The text in the list, with arguments: `/set KEY VALUE`."""
    about: str = ""


class Suggestions(Widget):
    """The list widget, hidden without suggestions. The prompt keeps the focus and moves the selection."""

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
        """Show these suggestions, the first one selected."""
        if rows != self._rows:
            self._rows, self._selected, self.moved = rows, 0, False
            self.display = bool(rows)
            self.refresh(layout=True)

    def move(self, step: int) -> None:
        """Move the selection by `step` rows, wrapping around."""
        self._selected = (self._selected + step) % len(self._rows)
        self.moved = True
        self.refresh()

    def get_content_height(self, *_: object) -> int:
        """Return one line per row, up to `MOST_ROWS`."""
        return min(MOST_ROWS, len(self._rows))

    def render(self) -> Content:
        """Draw the rows around the selected one."""
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
