"""Explain these numbers: the figures of a pane, each with its formula, its sources, and what would change it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from engine.metrics.figures import FIGURES
from engine.metrics.figures.figure import Figure
from engine.metrics.snapshot import Snapshot
from tui.actions.bindings import DEFAULT_KEYMAP, Keymap, bindings_for
from tui.actions.registry import Scope
from tui.drawing.look import look
from tui.drawing.rows import fit
from tui.panel.pane import Density, Pane

VALUES_WIDTH = 78
"""Cells of the rows with the present values, on a screen that has them."""

AROUND = 6
"""Cells of the page's frame, padding and scroll bar."""


class ExplainScreen(ModalScreen[None]):
    """A page over the panel; any of the usual keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.PAGE)]
    DEFAULT_CSS = """
    ExplainScreen { align: center middle; }
    ExplainScreen > VerticalScroll {
        width: 84; max-width: 96%; height: auto; max-height: 94%; border: round $primary; background: $surface; padding: 0 1;
    }
    ExplainScreen .figure { margin-top: 1; }
    """

    def __init__(self, pane: Pane, snapshot: Snapshot) -> None:
        super().__init__()
        self._pane = pane
        self._snapshot = snapshot

    def compose(self) -> ComposeResult:
        """The values now, then one block per figure."""
        keymap = getattr(self.app, "keymap", DEFAULT_KEYMAP)
        with VerticalScroll() as page:
            page.border_title = f"{self._pane.title}: what these numbers are"
            page.border_subtitle = "Esc closes"
            yield Static(id="values")
            for figure in explained(self._pane.id):
                yield Static(_block(figure, figure.unavailable(self._snapshot), keymap), classes="figure")

    def on_mount(self) -> None:
        """The page is styled only now, so the values can take its colours."""
        values = self.query_one("#values", Static)
        styles = look(self.app.theme_variables, values.rich_style)
        width = max(1, min(VALUES_WIDTH, int(self.app.size.width * 0.96) - AROUND))
        rows = self._pane.rows(self._snapshot, width, Density.FULL)
        lines = [Text.assemble(*((text, styles[role]) for text, role in fit(row, width))) for row in rows]
        values.update(Text("\n").join(lines))
        self.query_one(VerticalScroll).focus()


def explained(pane_id: str, figures: Sequence[Figure] = FIGURES) -> list[Figure]:
    """The figures of a pane."""
    return [figure for figure in figures if pane_id in figure.panes]


def _block(figure: Figure, reason: str | None, keymap: Keymap) -> Text:
    unit = f" ({figure.unit})" if figure.unit else ""
    block = Text()
    block.append(f"{figure.name}{unit}\n", "bold")
    if reason is not None:
        block.append(f"Unavailable here: {reason}\n", "italic")
    for label, text in (("How", figure.formula), ("From", figure.source), ("Changes with", keymap.hint(figure.levers, *figure.actions))):
        block.append(f"{label}: ", "dim")
        block.append(f"{text}\n" if label != "Changes with" else text)
    return block
