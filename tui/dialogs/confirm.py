"""Questions that need an answer before anything happens."""

from __future__ import annotations

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Static

from engine.text import drawable
from tui.dialogs.dialog import Dialog


class Confirm(Dialog[bool]):
    """Asks before something that can't be undone, with what would be lost."""

    def __init__(self, title: str, detail: str, *, yes: str, no: str = "Cancel", safe: bool = False) -> None:
        """`safe` puts the focus on yes: nothing is lost by it."""
        super().__init__()
        self._title, self._detail, self._yes, self._no, self._safe = title, detail, yes, no, safe

    def compose(self) -> ComposeResult:
        """Title, question, buttons."""
        with Vertical(classes="box question") as dialog:
            dialog.border_title = Content(drawable(self._title))
            yield Static(Content(drawable(self._detail)), classes="detail")
            with Horizontal(classes="buttons"):
                yield Button(self._no, id="no")
                yield Button(self._yes, id="yes", variant="primary" if self._safe else "error")

    def on_mount(self) -> None:
        """Focus the answer that loses nothing."""
        self.query_one("#yes" if self._safe else "#no").focus()

    def on_key(self, event: events.Key) -> None:
        """Arrows move between the answers, as Tab does."""
        if event.key in {"left", "right"}:
            event.stop()
            (self.focus_previous if event.key == "left" else self.focus_next)()

    @on(Button.Pressed)
    def _answer(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")


class AskText(Dialog[str]):
    """Asks for one line of text."""

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        """Title and input."""
        with Vertical(classes="box question") as dialog:
            dialog.border_title = Content(drawable(self._title))
            dialog.border_subtitle = f"Enter saves, {self.keymap.shown('close')} cancels"
            yield Input(self._text, select_on_focus=False)

    @on(Input.Submitted)
    def _answer(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip() or None)
