"""A logged chart, large: drawn by plotext with axes, and a cursor to read values with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Static

from engine.store.export.chart import Chart
from tui.screens.chart import Plot, inked, plot
from tui.widgets.braille import Glyphs
from tui.widgets.logged_charts import top_of
from tui.widgets.panel_look import look
from tui.widgets.panel_rows import LINES, UNKNOWN, number


def plot_of(chart: Chart, cursor: int | None) -> Plot:
    """From values to points at 1, 2, 3 …; what was not measured splits a line."""
    lines: list[tuple[tuple[float, float], ...]] = []
    inks: list[int] = []
    for place, line in enumerate(chart.lines):
        piece: list[tuple[float, float]] = []
        for at, value in enumerate((*line.values, None), start=1):
            if value is not None:
                piece.append((float(at), value))
            elif piece:
                lines.append(tuple(piece))
                inks.append(min(place + 1, len(LINES)))
                piece = []
    longest = max((len(line.values) for line in chart.lines), default=1)
    return Plot(tuple(lines), tuple(inks), 1.0, float(max(2, longest)), top_of(chart), (), None if cursor is None else cursor + 1.0)


class LoggedChartScreen(ModalScreen[None]):
    """Turns through charts with Tab; Left and Right move the cursor over the measured values."""

    HELP = "Left and right read values, Home and End jump, Tab shows the next chart, Esc closes."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1)", "Left"),
        Binding("right", "move(1)", "Right"),
        Binding("ctrl+left,pageup", "move(-10)", "Far left", show=False),
        Binding("ctrl+right,pagedown", "move(10)", "Far right", show=False),
        Binding("home", "jump(0)", "First", show=False),
        Binding("end", "jump(-1)", "Last", show=False),
        Binding("tab", "turn(1)", "Next chart"),
        Binding("shift+tab", "turn(-1)", "Chart before"),
        Binding("escape,q,enter,c", "dismiss", "Close"),
    ]
    DEFAULT_CSS = """
    LoggedChartScreen { background: $background; }
    LoggedChartScreen #picture { height: 1fr; width: 1fr; }
    LoggedChartScreen .line { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, charts: Sequence[Chart], *, glyphs: Glyphs) -> None:
        super().__init__()
        self._charts = charts
        self._glyphs = glyphs
        self._shown = 0
        self._cursor: int | None = None

    def compose(self) -> ComposeResult:
        """Heading, picture, the value under the cursor."""
        yield Static(id="heading", classes="line", markup=False)
        yield Static(id="picture", markup=False)
        yield Static(id="value", classes="line", markup=False)

    def on_resize(self) -> None:
        """Draw at the new size."""
        self._draw()

    @property
    def _length(self) -> int:
        return max((len(line.values) for line in self._charts[self._shown].lines), default=0)

    def action_move(self, steps: int) -> None:
        """Move the cursor by measured values."""
        last = self._length - 1
        self._cursor = min(last, max(0, (last if self._cursor is None else self._cursor) + steps))
        self._draw()

    def action_jump(self, place: int) -> None:
        """To the first or the last value."""
        self._cursor = 0 if place == 0 else self._length - 1
        self._draw()

    def action_turn(self, step: int) -> None:
        """Another chart."""
        self._shown = (self._shown + step) % len(self._charts)
        self._cursor = None
        self._draw()

    def _draw(self) -> None:
        chart = self._charts[self._shown]
        self.query_one("#heading", Static).update(
            f"{chart.title}, {chart.unit} ({self._shown + 1} of {len(self._charts)}), {chart.start} to {chart.end}"
        )
        picture = self.query_one("#picture", Static)
        width, height = picture.size
        if width < 20 or height < 5:
            picture.update("Too small for a chart: enlarge the terminal.")
            return
        styles = look(self.app.theme_variables, picture.rich_style)
        picture.update(inked(plot(plot_of(chart, self._cursor), width, height, self._glyphs), styles))
        self.query_one("#value", Static).update(self._reading(chart))

    def _reading(self, chart: Chart) -> str:
        if self._cursor is None:
            return "   ".join(line.name for line in chart.lines)
        place = self._cursor
        values = [
            f"{line.name} {UNKNOWN if place >= len(line.values) or (value := line.values[place]) is None else number(value, 2).strip()}"
            for line in chart.lines
        ]
        return f"{place + 1:,} of {self._length:,}   {'   '.join(values)}"
