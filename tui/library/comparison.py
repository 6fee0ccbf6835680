"""The screen that compares two sessions, or two settings of a model."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from engine.metrics.side_by_side import COMPARED, Difference, Side, side_by_side
from engine.store.export.svg import MOST_POINTS
from engine.store.series import Chart, Series
from tui.actions.bindings import bindings_for
from tui.actions.registry import Scope
from tui.dialogs.dialog import Dialog
from tui.drawing.braille import Glyphs
from tui.library.logged_charts import LoggedCharts
from tui.text.turn_table import advice, difference_row, side_heading, side_layout

HINTS = (("close", "close"), ("compare_charts", "charts"))
"""Actions and their labels in the last row."""
CHART_ROWS = 22
"""Least height for the charts."""


def charts_of(left: Side, right: Side) -> tuple[Chart, ...]:
    """Make the charts of both sides over their compared turns; the first series is the left side."""
    charts = (
        Chart(
            figure.name,
            figure.chart_unit[0],
            "first turn",
            "last turn",
            tuple(Series(side.name, side.values(figure)[-MOST_POINTS:]) for side in (left, right)),
        )
        for figure in COMPARED
        if figure.turn_chart
    )
    return tuple(chart for chart in charts if not chart.empty)


class ComparisonScreen(Dialog[None]):
    """Shows medians over the compared turns of both sides, and charts of these turns."""

    HELP = """\
## Side by side

Medians over the clean turns of each side, with the median absolute deviation after `±`, and the change from left to right. `~` marks
a side without clean turns: its disturbed turns are scaled by the share of their time that was not taken, and `±` is at least the taken
share. `better` and `worse` are shown only where the medians differ by more than either side varies. The charts show both sides over
each other; the right side is hatched, and dotted in large charts.
"""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.COMPARISON)]
    DEFAULT_CSS = """
    ComparisonScreen {
        background: $background;
        #figures { height: auto; max-height: 100%; scrollbar-size-vertical: 1; }
        #figures Static { width: auto; text-wrap: nowrap; }
        LoggedCharts { display: none; height: 1fr; border-top: solid $rule; }
        &.-charts LoggedCharts { display: block; }
    }
    """

    def __init__(self, left: Side, right: Side, *, glyphs: Glyphs) -> None:
        super().__init__()
        self._left, self._right = left, right
        self._glyphs = glyphs
        self._charts = charts_of(left, right)

    def compose(self) -> ComposeResult:
        """Lay out figures, charts and keys."""
        with Vertical(classes="box whole") as frame:
            frame.border_title = "Side by side"
            with VerticalScroll(id="figures"):
                yield Static()
            yield LoggedCharts(self._glyphs)
            yield Static(id="hints")

    def on_mount(self) -> None:
        """Show the charts."""
        self.query_one(LoggedCharts).show(self._charts)
        self.query_one("#figures").focus()

    def on_resize(self, event: events.Resize) -> None:
        """Lay out by the size of the screen."""
        self.set_class(event.size.height >= CHART_ROWS, "-charts")
        self.query_one("#figures Static", Static).update(self._figures(event.size.width - 5))
        self.show_hints([(self.keymap.shown(name), word) for name, word in HINTS], event.size.width - 4)

    def _figures(self, width: int) -> Content:
        layout = side_layout(width)
        names, *details = side_heading(self._left, self._right, layout)
        rows = [Content.styled(difference_row(row, layout), _style(row)) for row in side_by_side(self._left, self._right)]
        notes = [Content.styled(sentence, "$muted") for sentence in advice(self._left, self._right)]
        name, side = layout.name + 2, layout.side
        inks = ("bold $chart-1", "bold $chart-2")
        heads = Content(names).stylize(inks[0], name, name + side).stylize(inks[1], name + side + 2, name + 2 * side + 2)
        return Content("\n").join([heads, *(Content.styled(detail, "$muted") for detail in details), Content(""), *rows, *notes])

    def action_charts(self) -> None:
        """Open the charts at full screen."""
        from tui.library.logged_chart import LoggedChartScreen

        if self._charts:
            self.app.push_screen(LoggedChartScreen(self._charts, glyphs=self._glyphs))


def _style(row: Difference) -> str:
    if row.better is None:
        return ""
    return "$success" if row.better else "$warning"
