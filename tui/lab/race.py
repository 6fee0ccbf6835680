"""The screen of races and searches: the confidence interval of each arm as a bar, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from engine.lab.live import Outcome
from engine.lab.progress import Progress, Standing
from engine.lab.statistics import Finding, Interval
from engine.lab.wording import ratio_in_words
from engine.text import drawable, one_line
from tui.actions.bindings import bindings_for
from tui.actions.registry import Scope
from tui.dialogs.dialog import Dialog
from tui.text.cells import cut
from tui.text.wording import count

NAME_CELLS: Final = 26
_LEAST_ROPE: Final = 16
_STYLES: Final = {Finding.FASTER: "bold $success", Finding.SLOWER: "bold $error", Finding.SAME: "$accent"}


class RaceScreen(Dialog[bool]):
    """Shows a running measurement and its result; dismissed with True to keep the faster settings. Closing does not end the measurement."""

    HELP = (
        "## Race and tune\n\nEach bar compares one choice with the first: left is slower, right is faster."
        " The thick part is the 95 % confidence interval; it narrows as more is measured. The dotted lines mark the smallest difference "
        "that matters.\n\n"
        "An answer in progress delays the measurement. While this screen is open, no message can be sent."
        " After closing it the measurement continues in the background, and each answer pauses it. {stop_measuring} ends it early with "
        "the results so far.\n"
    )
    DEFAULT_CSS = """
    RaceScreen {
        .box { width: 110; max-height: 94%; padding: 1 2; }
        .result { height: auto; max-height: 60vh; scrollbar-size-vertical: 1; }
        Static { height: auto; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.RACE)]

    def __init__(self, title: str, stop: Callable[[], object], progress: Progress | None = None, outcome: Outcome | None = None) -> None:
        """`stop` ends the measurement; `progress` and `outcome` are its state so far."""
        super().__init__()
        self._title, self._stop, self._progress, self._outcome = title, stop, progress, outcome

    def compose(self) -> ComposeResult:
        """Yield the bars, and the result below them."""
        with Vertical(classes="box") as box:
            box.border_title = Content(drawable(self._title))
            yield Static(classes="ropes")
            with VerticalScroll(classes="result", can_focus=False):
                yield Static()

    def on_mount(self) -> None:
        """Draw the state so far."""
        self.screen_layout_refresh_signal.subscribe(self, lambda _: self._draw())
        self._draw()

    def show(self, progress: Progress) -> None:
        """Draw a new state."""
        self._progress = progress
        self._draw()

    def finish(self, outcome: Outcome) -> None:
        """Show the result below the last state."""
        self._outcome = outcome
        self._draw()

    def action_stop_measuring(self) -> None:
        """End the measurement with the results so far."""
        if self._outcome is None:
            self._stop()

    async def action_accept(self) -> None:
        """Dismiss to keep the faster settings."""
        if self._outcome is not None and self._outcome.faster is not None:
            self.dismiss(True)

    def _draw(self) -> None:
        if not self.is_mounted:
            return
        box, keys = self.query_one(".box", Vertical), self.keymap
        ropes = self.query_one(".ropes", Static)
        if self._progress is not None:
            ropes.update(drawn(self._progress, max(NAME_CELLS + _LEAST_ROPE, box.content_size.width)))
        else:
            ropes.update(Content("" if self._outcome is not None else "Waiting for the engine …"))
        if self._outcome is None:
            box.border_subtitle = f"{keys.shown('stop_measuring')} ends it · {keys.shown('close')} continues it in the background"
            return
        kept = f"{keys.shown('accept')} keeps the faster settings as a preset · " if self._outcome.faster is not None else ""
        box.border_subtitle = kept + self.close_hint
        lines = ["", self._outcome.verdict, "", *self._outcome.table]
        if self._outcome.run is not None:
            lines.append(f"Saved as run {self._outcome.run}.")
        self.query_one(".result Static", Static).update(Content(drawable("\n".join(lines))))


def drawn(progress: Progress, cells: int) -> Content:
    """Draw a state as bars `cells` cells wide, names included."""
    rope = cells - NAME_CELLS - 1
    span = _span(progress)
    head = f"{progress.stage}: " if progress.stage else ""
    lines = [
        Content.styled(f"{head}{count(progress.units, 'unit')}, {progress.seconds:.0f} of {progress.limit_s:.0f} s", "$muted"),
        Content.styled(" " * (NAME_CELLS + 1) + _scale(span, rope), "$muted"),
    ]
    for number, standing in enumerate(progress.standings):
        name = cut(one_line(standing.name), NAME_CELLS)
        lines.append(Content(f"{name} ") + _rope(standing, progress.stated, span, rope, first=not number))
        lines.append(Content.styled(f"{'':{NAME_CELLS}} {_figure(standing)}", "$muted"))
    return Content("\n").join(lines)


def _span(progress: Progress) -> float:
    """Return half the scale's width as log(speed ratio): all finite intervals, between twice the stated difference and a factor of 4."""
    ends = [2 * math.log1p(progress.stated)]
    for ratio in (standing.ratio for standing in progress.standings):
        if ratio is not None:
            ends += [1.1 * abs(math.log(end)) for end in (ratio.low, ratio.estimate, ratio.high) if 0 < end < math.inf]
    return min(max(ends), math.log(4))


def _scale(span: float, cells: int) -> str:
    left, right = f"{100 * math.expm1(-span):+.0f} %", f"{100 * math.expm1(span):+.0f} %"
    middle = "slower │ faster"
    return f"{left}{middle:^{max(1, cells - len(left) - len(right))}}{right}"


def _rope(standing: Standing, stated: float, span: float, cells: int, *, first: bool) -> Content:
    def at(ratio: float) -> int:
        log = math.log(ratio) if 0 < ratio < math.inf else math.copysign(math.inf, ratio - 1)
        return round((max(-1.0, min(1.0, log / span)) + 1) / 2 * (cells - 1))

    symbols, styles = ["─"] * cells, ["$rule"] * cells
    for limit in (1 / (1 + stated), 1 + stated):
        symbols[at(limit)] = "┊"
    symbols[at(1.0)] = "│"
    ratio = Interval(1.0, 1.0, 1.0) if first else standing.ratio
    if ratio is not None:
        style = _STYLES.get(standing.finding, "$accent") if standing.finding is not None else "$accent"
        bounded = ratio.high < math.inf
        for cell in range(at(ratio.low), at(ratio.high) + 1) if bounded else ():
            symbols[cell], styles[cell] = "━", style
        if bounded and not first:
            symbols[at(ratio.low)], symbols[at(ratio.high)] = "┣", "┫"
        symbols[at(ratio.estimate)], styles[at(ratio.estimate)] = "●", style
    return Content.assemble(*zip(symbols, styles, strict=True))


def _figure(standing: Standing) -> str:
    turn = "" if standing.turn_s is None else f"{standing.turn_s:.3f} s a turn"
    found = f"  {standing.finding}" if standing.finding not in {None, Finding.UNDECIDED} else ""
    return f"{turn}  {ratio_in_words(standing.ratio)}{found}".strip()
