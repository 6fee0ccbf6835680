"""The explanation of a pane's figures: formula, source, and settings that change them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.app import ComposeResult
from textual.widgets import Static

from engine.metrics.figures import FIGURES
from engine.metrics.figures.figure import Figure
from engine.metrics.snapshot import Snapshot
from tui.actions.bindings import Keymap
from tui.dialogs.page import Page
from tui.drawing.look import look
from tui.drawing.rows import fit
from tui.panel.pane import Density, Pane

VALUES_WIDTH = 78
"""Width of the rows with the current values, where the screen allows."""

AROUND = 6
"""Cells of the page's frame, padding and scroll bar."""


class ExplainScreen(Page):
    """Shows the values of a pane when it was opened, then one block per figure."""

    DEFAULT_CSS = """
    ExplainScreen .box { width: 84; padding: 0 1; scrollbar-gutter: auto; }
    ExplainScreen .figure { margin-top: 1; }
    """

    def __init__(self, pane: Pane, snapshot: Snapshot) -> None:
        super().__init__(f"{pane.title}: explanation")
        self._pane = pane
        self._snapshot = snapshot

    def compose_page(self) -> ComposeResult:
        """Lay out values and explanations."""
        yield Static(id="values")
        for figure in explained(self._pane.id):
            yield Static(_block(figure, figure.unavailable(self._snapshot), self.keymap), classes="figure")

    def on_mount(self) -> None:
        """Fill in the values, now that the page's colours are known."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self._draw())
        self._draw()

    def _draw(self) -> None:
        values = self.query_one("#values", Static)
        styles = look(self.app.theme_variables, values.rich_style)
        width = max(1, min(VALUES_WIDTH, int(self.app.size.width * 0.96) - AROUND))
        rows = self._pane.rows(self._snapshot, width, Density.FULL)
        lines = [Text.assemble(*((text, styles[role]) for text, role in fit(row, width))) for row in rows]
        values.update(Text("\n").join(lines))


def explained(pane_id: str, figures: Sequence[Figure] = FIGURES) -> list[Figure]:
    """Return the figures of a pane."""
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
