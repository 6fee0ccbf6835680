"""One answer of a comparison: its settings, text and figures."""

from __future__ import annotations

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from engine.clock import NS_PER_S
from engine.errors import XchatError
from engine.events import AnswerGrew, Column, ColumnChanged, TurnFinished, TurnStarted
from engine.numbers import significant
from engine.presets.settings import difference, shown
from engine.records import TurnRecord
from engine.session.instruments import BESIDE
from engine.text import drawable, one_line, printable
from tui.text import wording
from tui.text.cells import cut
from tui.transcript.transcript import NO_EXTRAS, Extras, Transcript

LEAST_GAPS = 8
"""Fewest gaps between tokens for a speed."""
FIGURES_CELLS = 50
"""Width for the figures beside the name."""


class AnswerText(Transcript, can_focus=False):
    """The text of one answer; the screen scrolls it."""


class AnswerColumn(Vertical):
    """Shows one answer, during and after generation."""

    DEFAULT_CSS = """
    AnswerColumn {
        height: 1fr;
        width: 1fr;
        .head { height: 2; padding: 0 1; text-wrap: nowrap; color: $muted; background: $surface; }
        .figures { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; color: $muted; }
        &.-selected .head { background: $block-cursor-background; color: $block-cursor-foreground; }
        AnswerText { margin-left: 1; }
    }
    """

    def __init__(self, number: int, column: Column, first: Column) -> None:
        """Create the column; `first` is the one it is compared with."""
        super().__init__()
        self._number = number
        self._column = column
        self._differs = differences(column, first)
        self.text = AnswerText()
        self.answer_id: int | None = None
        self.record: TurnRecord | None = None
        self._state = "waiting"
        self._stamps: list[int] = []
        self._tokens = 0
        self._waiting: list[AnswerGrew] = []
        self._one_row = False
        self.fastest = False

    def compose(self) -> ComposeResult:
        """Yield name, text and figures."""
        yield Static(classes="head")
        yield self.text
        yield Static(classes="figures")

    def on_mount(self) -> None:
        """Show the name."""
        self.show_head()

    def on_resize(self) -> None:
        """Truncate the name to the width."""
        self.show_head()

    def set_one_row(self, one_row: bool) -> None:
        """Show name and figures in one row, or in separate rows."""
        self._one_row = one_row
        self.query_one(".head").styles.height = 1 if one_row else 2
        self.query_one(".figures").display = not one_row
        self.show_head()

    # Events

    def handle(self, event: ColumnChanged) -> None:
        """Handle an event of this answer; its text is shown by `flush`."""
        match event.event:
            case TurnStarted() as started:
                self.answer_id = started.answer_id
                self._state = "reading the prompt"
                self.text.begin_answer(started.answer_id, label=self._column.model)
            case AnswerGrew() as grew:
                self._waiting.append(grew)
                self._tokens += len(grew.token_ns)
                self._stamps = [*self._stamps, *grew.token_ns][-64:]
                self._state = "thinking" if grew.in_thinking else "answering"
                return
            case TurnFinished() as finished:
                self.flush()
                self.record = finished.turn
                failure = wording.ending(finished.answer, finished.turn)
                made = Extras(finished.turn.model, one_line(finished.turn.quant), failure=failure)
                self.text.finish(finished.answer, made if failure or made.label else NO_EXTRAS)
            case XchatError() as error:
                self._state = ". ".join(filter(None, (error.title, error.detail)))
            case progress:
                self._state = wording.prefill(progress)
        self.show_head()

    def flush(self) -> bool:
        """Show the text that has arrived; return False when there is none."""
        waiting, self._waiting = self._waiting, []
        if not waiting or self.answer_id is None:
            return False
        moved = next((at for at in reversed(range(len(waiting))) if waiting[at].moved), None)
        fresh = waiting[moved or 0 :]
        text, thinking = "".join(one.text for one in fresh), "".join(one.thinking for one in fresh)
        self.text.grow(self.answer_id, text, thinking, in_thinking=fresh[-1].in_thinking, anew=moved is not None)
        self.show_head()
        return True

    def show_state(self, state: str) -> None:
        """Show what the answer waits for, if it has not begun."""
        if self.answer_id is None and self.record is None:
            self._state = state
            self.show_head()

    @property
    def begun(self) -> bool:
        """Whether there is any answer."""
        return self.answer_id is not None

    # Drawing

    def show_head(self) -> None:
        """Draw name and figures."""
        if not self.is_mounted or not self.size.width:
            return
        width = self.size.width - 2
        name = Content.styled(f"{self._number} ", "bold") + Content.styled(printable(self._column.name, 40), "bold")
        figures = self._figures("tokens/s")
        if cell_len(figures.plain) > width:
            figures = self._figures("t/s")
        if not self._one_row:
            differs = Content(cut(self._differs, width).rstrip())
            self.query_one(".head", Static).update(Content("\n").join([name, differs]), layout=False)
            self.query_one(".figures", Static).update(figures, layout=False)
            return
        room = width - cell_len(name.plain) - 2 - min(FIGURES_CELLS, cell_len(figures.plain)) - 2
        differs = Content(f"  {cut(self._differs, room).rstrip()}" if room >= 12 else "")
        gap = width - cell_len(name.plain) - cell_len(differs.plain) - cell_len(figures.plain)
        self.query_one(".head", Static).update(name + differs + Content(" " * max(1, gap)) + figures, layout=False)

    def _figures(self, unit: str) -> Content:
        if self.record is None:
            live = [wording.count(self._tokens, "token"), *self._live_speed(unit)] if self._tokens else []
            return Content(drawable(" · ".join([self._state, *live])))
        timings = self.record.timings
        speed = timings.predicted_per_second if timings.predicted_n > 1 else None
        parts = [
            Content.styled(f"{significant(speed)} {unit}", "bold $success" if self.fastest else "") if speed else Content(""),
            Content(f"TTFT {wording.duration(timings.ttft_ms)}" if timings.ttft_ms is not None else ""),
            Content(wording.count(timings.predicted_n, "token")),
        ]
        return Content(" · ").join([part for part in parts if part.plain])

    def _live_speed(self, unit: str) -> list[str]:
        span = self._stamps[-1] - self._stamps[0] if len(self._stamps) > LEAST_GAPS else 0
        return [f"{significant((len(self._stamps) - 1) * NS_PER_S / span)} {unit}"] if span else []

    @property
    def speed_alone(self) -> float | None:
        """Tokens/s of an answer generated without parallel ones; None otherwise, and during generation."""
        if self.record is None or self.record.noisy == BESIDE or self.record.timings.predicted_n < LEAST_GAPS:
            return None
        return self.record.timings.predicted_per_second


def differences(column: Column, first: Column) -> str:
    """Return the differences between the settings of an answer and those of the first one."""
    changes = [] if column.model == first.model else [column.model]
    changes += [
        f"{change.key.removeprefix('sampling.')} {printable(shown(change.after), 30)}"
        for change in difference(first.preset, column.preset)
        if change.key not in {"model", "quant"}
    ]
    return ", ".join(changes) or (column.model if column is first else "the same settings")
