"""Charts of logged figures at full screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import BindingType

from engine.numbers import UNKNOWN, significant
from engine.records import TurnRecord
from engine.store.series import Chart
from tui.actions.bindings import bindings_for
from tui.actions.registry import Scope
from tui.drawing.braille import Glyphs
from tui.drawing.large_chart import LargeChartScreen, Plot, line_sign
from tui.text.switch_text import made_with


def plot_of(chart: Chart, cursor: int | None, switches: Sequence[tuple[int, str]] = ()) -> Plot:
    """Make a plot of values at 1, 2, 3 and so on. `switches`: the settings used from a turn on, by its number."""
    lines = tuple(tuple((float(at), value) for at, value in enumerate(line.values, start=1)) for line in chart.lines)
    end = float(max([2, *map(len, lines)]))
    marks = tuple((float(number), name) for number, name in switches) if chart.end == f"turn {round(end)}" else ()
    return Plot(lines, 1.0, end, chart.top, marks, cursor=None if cursor is None else cursor + 1.0)


def switches_of(turns: Sequence[TurnRecord]) -> list[tuple[int, str]]:
    """List the turns that begin with another quant, preset or thread count, with the change."""
    made = [made_with(turn.quant, turn.preset, turn.threads) for turn in turns]
    return [(number, name) for number, name in enumerate(made, start=1) if number == 1 or name != made[number - 2]]


class LoggedChartScreen(LargeChartScreen):
    """Shows one chart at a time; Tab switches."""

    KEYS = "{chart_left} {chart_right} read  {next_chart} next  {close_chart} closes"
    HELP = (
        "{chart_left} and {chart_right} read, {chart_first} and {chart_last} jump, {next_chart} shows the next one, {close_chart} closes."
    )
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.CHART, only={"next_chart", "previous_chart"})]

    def __init__(self, charts: Sequence[Chart], *, glyphs: Glyphs, turns: Sequence[TurnRecord] = ()) -> None:
        """`turns` are those of the charts over turns."""
        super().__init__(glyphs=glyphs)
        self._switches = switches_of(turns)
        self._charts = charts
        self._shown = 0
        self._cursor: int | None = None

    @property
    def _length(self) -> int:
        return max((len(line.values) for line in self._charts[self._shown].lines), default=0)

    def action_move(self, steps: int) -> None:
        """Move the cursor by values."""
        last = self._length - 1
        self._cursor = min(last, max(0, (last if self._cursor is None else self._cursor) + steps))
        self.draw()

    def action_jump(self, place: int) -> None:
        """Move the cursor to the first or the last value."""
        self._cursor = 0 if place == 0 else self._length - 1
        self.draw()

    def action_turn(self, step: int) -> None:
        """Show another chart."""
        self._shown = (self._shown + step) % len(self._charts)
        self._cursor = None
        self.draw()

    def draw(self) -> None:
        """Draw the current chart."""
        chart = self._charts[self._shown]
        heading = f"{chart.title}, {chart.unit} ({self._shown + 1} of {len(self._charts)}), {chart.start} to {chart.end}"
        self.show(heading, plot_of(chart, self._cursor, self._switches), self._reading(chart))

    def _reading(self, chart: Chart) -> str:
        if self._cursor is None:
            return "   ".join(self._named(place, chart) for place in range(len(chart.lines)))
        at = self._cursor
        values = [
            f"{self._named(place, chart)} {UNKNOWN if at >= len(line.values) or (value := line.values[at]) is None else significant(value)}"
            for place, line in enumerate(chart.lines)
        ]
        return f"{at + 1:,} of {self._length:,}   {'   '.join(values)}"

    def _named(self, place: int, chart: Chart) -> str:
        name = chart.lines[place].name
        return f"{line_sign(place, self._glyphs)} {name}" if len(chart.lines) > 1 else name
