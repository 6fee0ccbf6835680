"""The answers of a comparison, in columns or stacked on a narrow screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Vertical
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static

from engine.events import AnswerGrew, ColumnChanged, ComparisonEnded, ComparisonStarted, Event, ModelLoading
from engine.text import one_line
from tui.actions.bindings import bindings_for
from tui.actions.registry import Scope
from tui.chat.many.column import AnswerColumn
from tui.dialogs.dialog import Dialog
from tui.text import wording

NARROW = 100
"""Width below which answers are stacked."""
LEAST_CELLS = 30
"""Least width of a column."""
AGAIN_S = 0.1
"""Interval of the checks whether the terminal is still behind."""


class AnswersScreen(Dialog[int]):
    """Shows several answers during generation; dismissed with the answer to keep."""

    HELP = """\
## Compare answers

Each column is one answer to the same message; below its name stands what differs from the first column. Answers that the loaded
model can make with other settings are made at once, so their speeds are those beside each other; for another model, quant or context
xchat switches, makes one answer after the other, and switches back. The fastest one that was made alone is highlighted.

The number of a column keeps its answer as the branch, and {accept} that of the selected one; the others stay as versions of the message.
{close} stops all answers, and closes the comparison afterwards: then the branch of before stays.
"""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.ANSWERS)]
    DEFAULT_CSS = """
    AnswersScreen {
        background: $background;
        .box { background: $background; padding: 0; }
        #columns { height: 1fr; layout: horizontal; }
        AnswerColumn { border-left: vkey $rule; }
        .-first { border-left: none; }
        #hints { padding: 0 1; }
        &.-stacked {
            #columns { layout: vertical; }
            AnswerColumn { border-left: none; }
            .-selected { height: 2fr; }
        }
    }
    """

    def __init__(
        self, started: ComparisonStarted, *, stop: Callable[[], None], pause: Callable[[], float], due: Callable[[], bool]
    ) -> None:
        """Create it; `stop` stops all answers; text is shown after `pause()` seconds, when the terminal is `due()`."""
        super().__init__()
        self._started = started
        self._stop = stop
        self._pause = pause
        self._due = due
        first = started.columns[0]
        self._columns = [AnswerColumn(number, column, first) for number, column in enumerate(started.columns, 1)]
        self._columns[0].add_class("-first")
        self._selected = 0
        self._kept: int | None = None
        self._ended = False
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        """Yield the columns and the keys below them."""
        with Vertical(classes="box whole") as box:
            box.border_title = Content(one_line(self._started.user.text)[:400])
            with Container(id="columns"):
                yield from self._columns
            yield Static(id="hints")

    def on_mount(self) -> None:
        """Select the first answer."""
        self._select(0)

    def on_resize(self, event: events.Resize) -> None:
        """Lay out by the size of the screen."""
        width, number = event.size.width, len(self._columns)
        stacked = width < NARROW or width // number < LEAST_CELLS
        self.set_class(stacked, "-stacked")
        for column in self._columns:
            column.set_one_row(stacked)
        self._show_hints(width)

    def on_key(self, event: events.Key) -> None:
        """Keep the answer with the number of the key."""
        keys = self.keymap.keys["keep_answer"]
        if event.key in keys and keys.index(event.key) < len(self._columns):
            event.stop()
            self._keep(keys.index(event.key))

    # Events

    def handle(self, event: Event) -> None:
        """Handle an event of the session."""
        if isinstance(event, ColumnChanged):
            self._columns[event.column].handle(event)
            if isinstance(event.event, AnswerGrew) and self._timer is None:
                self._timer = self.set_timer(self._pause(), self._flush)
        elif isinstance(event, ModelLoading):
            for column in self._columns:
                column.show_state(wording.loading(event) if event.fraction < 1 else "waiting")
        elif isinstance(event, ComparisonEnded):
            self._finish()

    def _flush(self) -> None:
        self._timer = None
        if not self._due():
            self._timer = self.set_timer(AGAIN_S, self._flush)
            return
        for column in self._columns:
            column.flush()

    def _finish(self) -> None:
        self._ended = True
        speeds = [speed for column in self._columns if (speed := column.speed_alone) is not None]
        for column in self._columns:
            column.show_state("not made")
            column.fastest = len(speeds) > 1 and column.speed_alone == max(speeds)
            column.show_head()
        self._show_hints(self.size.width)
        if self._kept is not None:
            self.dismiss(self._columns[self._kept].answer_id)

    # Actions

    def action_close(self) -> None:
        """Stop all answers; close once they have ended."""
        if self._ended:
            self.dismiss(None)
        else:
            self._stop()

    async def action_accept(self) -> None:
        """Keep the selected answer."""
        self._keep(self._selected)

    def _keep(self, number: int) -> None:
        """Keep an answer; stop the others first."""
        if not self._columns[number].begun:
            return
        self._kept = number
        if self._ended:
            self.dismiss(self._columns[number].answer_id)
        else:
            self._stop()

    def action_side(self, step: int) -> None:
        """Select another answer."""
        self._select((self._selected + step) % len(self._columns))

    def action_lines(self, step: int) -> None:
        """Scroll the selected answer by a line."""
        self._columns[self._selected].text.scroll_lines(step)

    def action_pages(self, step: int) -> None:
        """Scroll the selected answer by a page."""
        self._columns[self._selected].text.scroll_pages(step)

    def _select(self, number: int) -> None:
        self._selected = number
        for place, column in enumerate(self._columns):
            column.set_class(place == number, "-selected")

    def _show_hints(self, width: int) -> None:
        shown, numbers = self.keymap.shown, len(self._columns)
        keep = f"{shown('keep_answer')}-{self.keymap.keys['keep_answer'][numbers - 1]}" if self.keymap.keys["keep_answer"][1:] else ""
        close = "close" if self._ended else "stop all"
        hints = [
            (keep, "keep an answer"),
            (shown("accept"), "keep the selected one"),
            (shown("close"), close),
            (shown("answer_right"), "select"),
            (shown("answer_down"), "scroll"),
            (shown("help"), "help"),
        ]
        self.show_hints(hints, width - 4)
