"""Dialogs that ask for confirmation, or for a line of text."""

from __future__ import annotations

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, Static

from engine.text import drawable
from tui.dialogs.dialog import Dialog


class Confirm(Dialog[bool]):
    """Asks for confirmation of an irreversible action."""

    def __init__(self, title: str, detail: str, *, yes: str, no: str = "Cancel", safe: bool = False) -> None:
        """`safe`: whether yes loses nothing and has the focus."""
        super().__init__()
        self._title, self._detail, self._yes, self._no, self._safe = title, detail, yes, no, safe

    def compose(self) -> ComposeResult:
        """Lay out title, question and buttons."""
        with Vertical(classes="box question") as dialog:
            dialog.border_title = Content(drawable(self._title))
            yield Static(Content(drawable(self._detail)), classes="detail")
            with Horizontal(classes="buttons"):
                yield Button(self._no, id="no")
                yield Button(self._yes, id="yes", variant="primary" if self._safe else "error")

    def on_mount(self) -> None:
        """Focus the safe answer."""
        self.query_one("#yes" if self._safe else "#no").focus()

    def on_key(self, event: events.Key) -> None:
        """Move between the answers with the arrow keys."""
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
        """Lay out title and input."""
        with Vertical(classes="box question") as dialog:
            dialog.border_title = Content(drawable(self._title))
            dialog.border_subtitle = self.keymap.fill("{accept} saves, {close} cancels")
            yield Input(self._text, select_on_focus=False)

    @on(Input.Submitted)
    def _answer(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip() or None)
