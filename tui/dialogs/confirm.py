"""Questions that need an answer before anything happens."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from engine.text import drawable
from tui.actions.bindings import bindings_for
from tui.actions.registry import Scope

DIALOG_CSS = """
    align: center middle;
    background: $background 60%;

    .dialog {
        width: 64;
        max-width: 96%;
        height: auto;
        max-height: 96%;
        padding: 1 2;
        border: round $border;
        background: $surface;
        border-title-color: $heading;
        border-title-style: bold;
        border-subtitle-color: $muted;
    }
    .detail { color: $foreground; margin-bottom: 1; }
    .buttons { height: auto; align-horizontal: right; }
    Button { margin-left: 2; min-width: 12; }
    &:ansi { background: ansi_default; }
"""
"""What all dialogs share."""


class Confirm(ModalScreen[bool]):
    """Asks before something that can't be undone, and says what it takes along. Escape means no."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.DIALOG, only={"close"})]
    DEFAULT_CSS = f"Confirm {{ {DIALOG_CSS} }}"

    def __init__(self, title: str, detail: str, *, yes: str, no: str = "Cancel", safe: bool = False) -> None:
        """`safe` puts the focus on yes: nothing is lost by it."""
        super().__init__()
        self._title, self._detail, self._yes, self._no, self._safe = title, detail, yes, no, safe

    def compose(self) -> ComposeResult:
        """What it is made of."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(drawable(self._title))
            yield Static(Content(drawable(self._detail)), classes="detail")
            with Horizontal(classes="buttons"):
                yield Button(self._no, id="no")
                yield Button(self._yes, id="yes", variant="primary" if self._safe else "error")

    def on_mount(self) -> None:
        """Start on the answer that does no harm."""
        self.query_one("#yes" if self._safe else "#no").focus()

    def on_key(self, event: events.Key) -> None:
        """Arrows move between the answers, as Tab does."""
        if event.key in {"left", "right"}:
            event.stop()
            (self.focus_previous if event.key == "left" else self.focus_next)()

    @on(Button.Pressed)
    def _answer(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_close(self) -> None:
        """No."""
        self.dismiss(False)


class AskText(ModalScreen[str | None]):
    """Asks for one line of text. Escape means none."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.DIALOG, only={"close"})]
    DEFAULT_CSS = f"AskText {{ {DIALOG_CSS} }}"

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        """What it is made of."""
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(drawable(self._title))
            dialog.border_subtitle = "Enter takes it, Esc leaves it"
            yield Input(self._text, select_on_focus=False)

    @on(Input.Submitted)
    def _answer(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip() or None)

    def action_close(self) -> None:
        """Leave it as it was."""
        self.dismiss(None)
