"""The dialog of a running download or quantization: progress, stop, or continue in the background."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, ProgressBar, Static

from engine.text import drawable
from tui.dialogs.dialog import Dialog
from tui.models.model_jobs import Making

TICK_S = 0.25
"""Interval of drawing progress."""


class MakingScreen(Dialog[None]):
    """Shows the progress of a job. Its starter dismisses the screen when the job ends."""

    HELP = (
        "## Downloads and quantizations\n\n{close} hides this dialog: the job continues in the background, and a notice reports its end. "
        "{models} shows it again. Stop ends the job.\n"
    )
    DEFAULT_CSS = "MakingScreen .buttons { margin-top: 1; }"

    def __init__(self, making: Making) -> None:
        super().__init__()
        self.making = making

    def compose(self) -> ComposeResult:
        """Lay out progress and buttons."""
        with Vertical(classes="box question") as dialog:
            dialog.border_title = Content(drawable(self.making.title))
            yield Static("", id="far", markup=False)
            yield ProgressBar(show_eta=False)
            yield Static(f"If it is stopped: {self.making.if_stopped}", markup=False)
            with Horizontal(classes="buttons"):
                yield Button("Stop", id="stop")
                yield Button("Hide", id="hide", variant="primary")

    def on_mount(self) -> None:
        """Start updating the progress."""
        self.making.hidden = False
        self.query_one("#hide").focus()
        self.set_interval(TICK_S, self._show_progress)
        self._show_progress()

    def _show_progress(self) -> None:
        progress = self.making.progress
        if progress is not None:
            self.query_one("#far", Static).update(drawable(progress.sentence))
            self.query_one(ProgressBar).update(total=progress.total or None, progress=progress.done)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "stop":
            event.button.disabled = True
            self.making.stop()
        else:
            self.action_close()

    def action_close(self) -> None:
        """Hide the dialog; the job continues in the background."""
        self.making.hidden = True
        self.dismiss()
